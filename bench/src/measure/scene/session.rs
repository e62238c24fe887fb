//! A program that reads commands for as long as it runs, as a daemon with a session of its own.

use std::io::{PipeReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::is_readable;
use crate::kernel::MeasureError;

/// The program, which ends with this.
#[derive(Debug)]
pub struct Session {
    tool: &'static str,
    child: Child,
    input: ChildStdin,
    output: PipeReader,
}

impl Session {
    /// Starts it in the namespaces of the calling thread.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn start(tool: &'static str, arguments: &[&str]) -> Result<Self, MeasureError> {
        let refused = || MeasureError::refused(format!("run `{tool} {}`", arguments.join(" ")));
        let (output, writer) = std::io::pipe().map_err(refused())?;
        let mut command = Command::new(tool);
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::piped());
        command.stderr(writer.try_clone().map_err(refused())?).stdout(writer);
        let mut child = command.spawn().map_err(refused())?;
        let Some(input) = child.stdin.take() else {
            return Err(MeasureError::wrong(tool, "it has no standard input"));
        };
        Ok(Self { tool, child, input, output })
    }

    /// Says `lines` and waits until it has answered with a line that begins so.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when it ends, says of an error, or has said nothing of the kind
    /// after `limit`.
    pub fn ask(&mut self, lines: &str, answer: &str, limit: Duration) -> Result<(), MeasureError> {
        let refused = |why: String| MeasureError::Refused {
            what: format!("tell `{}`: {}", self.tool, lines.trim()),
            why,
        };
        self.input.write_all(lines.as_bytes()).map_err(|error| refused(error.to_string()))?;
        let deadline = Instant::now() + limit;
        let mut said = String::new();
        let mut buffer = [0; 4_096];
        loop {
            if said.contains("Error:") {
                return Err(refused(said));
            }
            if said.lines().any(|line| line.starts_with(answer)) && said.ends_with('\n') {
                return Ok(());
            }
            let readable = is_readable(&self.output, deadline);
            if !readable.map_err(|error| refused(error.to_string()))? {
                return Err(refused(format!("it has not answered after {limit:?}")));
            }
            match self.output.read(&mut buffer) {
                Ok(0) => return Err(refused(format!("it has ended, and said: {said}"))),
                Ok(length) => said.push_str(&String::from_utf8_lossy(&buffer[..length])),
                Err(error) => return Err(refused(error.to_string())),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing is left to be done if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
