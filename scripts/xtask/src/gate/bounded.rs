//! Running a program that has to end in time.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// To stdout.
    pub stdout: String,
    /// To stderr.
    pub stderr: String,
}

/// Runs `command`, and ends it when it takes longer than `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Ended> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
    let mut child = Guard(child);
    let stdout = read(child.0.stdout.take());
    let stderr = read(child.0.stderr.take());
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            bail!("`{name}` did not end within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    };
    Ok(Ended { status, stdout: text(stdout)?, stderr: text(stderr)? })
}

/// A process that ends with this value.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Reads all in a thread of its own, so that nobody waits for the other pipe.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}

fn text(reader: JoinHandle<io::Result<Vec<u8>>>) -> Result<String> {
    let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    String::from_utf8(read?).context("a program wrote something else than text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_writes_and_how_it_ends() {
        let ended = run(
            Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]),
            Duration::from_secs(60),
        );
        let ended = ended.unwrap();
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(ended.status.code(), Some(3));
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let begin = Instant::now();
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("`sleep` did not end"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
