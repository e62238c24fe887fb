//! Programs that change the kernel's rules: started, timed, and ended if they take too long.

use std::io::{self, PipeReader, Read as _, Seek as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::kernel::MeasureError;

/// A program to be run, and what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The program.
    pub tool: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its standard input.
    pub input: String,
}

impl Invocation {
    /// A program with arguments that are one line, and no input.
    pub fn line(tool: &'static str, arguments: &str) -> Self {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Self { tool, arguments, input: String::new() }
    }

    /// The same, with this input.
    pub fn reading(self, input: String) -> Self {
        Self { input, ..self }
    }
}

/// What a program has said, and how long it took from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When it was started.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// Its output and errors.
    pub text: String,
}

/// Runs a program in the namespaces of the calling thread.
///
/// # Errors
///
/// [`MeasureError::Refused`] when it cannot be started, ends with another status than 0, or has not
/// ended after `limit`; then it is ended.
pub fn run(invocation: &Invocation, limit: Duration) -> Result<Said, MeasureError> {
    let what = || format!("run `{} {}`", invocation.tool, invocation.arguments.join(" "));
    let refused = |error: io::Error| MeasureError::refused(what())(error);
    let (reader, writer) = io::pipe().map_err(refused)?;
    let mut command = Command::new(invocation.tool);
    command.args(&invocation.arguments).env("LC_ALL", "C");
    command.stdin(input(&invocation.input).map_err(refused)?);
    command.stderr(writer.try_clone().map_err(refused)?).stdout(writer);
    let began = Instant::now();
    let mut child = command.spawn().map_err(refused)?;
    // The command keeps the pipe's other end open.
    drop(command);
    let mut text = Vec::new();
    let ended = wait(&mut child, reader, &mut text, began + limit);
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&text).into_owned();
    match ended.map_err(refused)? {
        Some(status) if status.success() => Ok(Said { began, took, text }),
        Some(status) => Err(MeasureError::Refused {
            what: what(),
            why: format!("{status}, it said: {}", text.trim()),
        }),
        None => Err(MeasureError::Refused {
            what: what(),
            why: format!("it has not ended after {limit:?}"),
        }),
    }
}

/// A file in memory with this text, to be read from its beginning.
fn input(text: &str) -> io::Result<Stdio> {
    if text.is_empty() {
        return Ok(Stdio::null());
    }
    let file = memfd_create(c"rules", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

/// Takes what the program says until it has ended; nothing if it had to be ended.
fn wait(
    child: &mut Child,
    mut reader: PipeReader,
    text: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<Option<ExitStatus>> {
    let mut buffer = [0; 4_096];
    loop {
        if !is_readable(&reader, deadline)? {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        match reader.read(&mut buffer)? {
            0 => return child.wait().map(Some),
            length => text.extend(&buffer[..length]),
        }
    }
}

/// Waits until something is to be read, the end among that; whether it was before the deadline.
pub(super) fn is_readable(reader: &impl std::os::fd::AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        let mut wanted = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn what_a_program_reads_and_says_goes_through_whole() {
        // More than a pipe holds.
        let text = "0123456789\n".repeat(20_000);
        let said = run(&Invocation::line("cat", "-").reading(text.clone()), LIMIT).unwrap();
        assert_eq!(said.text, text);
        assert!(said.took > Duration::ZERO);
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_own_words() {
        let mut refused = Invocation::line("sh", "-c");
        refused.arguments.push("echo no such rule >&2; exit 3".to_owned());
        let error = run(&refused, LIMIT).unwrap_err().to_string();
        assert!(error.contains("exit status: 3, it said: no such rule"), "{error}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let begin = Instant::now();
        let error = run(&Invocation::line("sleep", "30"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().ends_with("it has not ended after 50ms"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
