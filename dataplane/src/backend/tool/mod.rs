//! Running the tools that change rules: a program, text on its standard input, and what it says.
//!
//! Tools are found here and started without a shell, always in the language of their own messages
//! (`LC_ALL=C`), and never for longer than [`LONGEST`].

mod error;
mod said;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};

pub use self::error::ToolError;
use super::chains::Script;
use crate::compile::RuleDescription;

/// How long a tool may take. Far more than a hundred thousand rules need; a tool that hangs shall
/// not hold the host's lock for ever.
pub const LONGEST: Duration = Duration::from_secs(120);

/// What `-w` of iptables is given: seconds to wait for its lock.
pub const LOCK_SECONDS: &str = "5";

/// Where tools for the administrator are on most hosts.
const USUAL_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// How long to wait between two looks at whether a tool has ended.
const LOOK: Duration = Duration::from_millis(1);

/// Where tools are, and how long they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    folders: Vec<PathBuf>,
    longest: Duration,
}

impl Tools {
    /// The tools that the variable `PATH` of this process leads to, or else those in the folders
    /// where they usually are: the `PATH` of a root shell does not always name those.
    #[must_use]
    pub fn on_path() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
        Self::in_folders(folders.chain(USUAL_FOLDERS.map(PathBuf::from)))
    }

    /// The tools in `folders`; the first that has one counts.
    #[must_use]
    pub fn in_folders(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { folders: folders.into_iter().collect(), longest: LONGEST }
    }

    /// The same tools, that may take no longer than `longest`.
    #[must_use]
    pub fn no_longer_than(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Where `tool` is; nothing if it is not installed.
    #[must_use]
    pub fn find(&self, tool: &str) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            path.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        self.folders.iter().map(|folder| folder.join(tool)).find(is_program)
    }

    /// That `tool` is installed.
    ///
    /// # Errors
    ///
    /// [`ToolError::Missing`] when it is not.
    pub fn require(&self, tool: &str) -> Result<(), ToolError> {
        self.find(tool).map(|_| ()).ok_or_else(|| ToolError::missing(tool))
    }

    /// Runs `tool` with nothing on its standard input and returns what it writes to its standard
    /// output.
    ///
    /// # Errors
    ///
    /// [`ToolError`], also when it ends with another status than 0.
    pub fn ask(&self, tool: &str, arguments: &[&str]) -> Result<String, ToolError> {
        self.feed(tool, arguments, &Script::default(), &BTreeMap::new())
    }

    /// Runs `tool` with `script` on its standard input and returns what it writes to its standard
    /// output. `rules` are what the rule numbers of the script stand for.
    ///
    /// # Errors
    ///
    /// [`ToolError`], also when it ends with another status than 0: [`ToolError::Line`] when it
    /// says which line it refuses.
    pub fn feed(
        &self,
        tool: &str,
        arguments: &[&str],
        script: &Script,
        rules: &BTreeMap<u32, RuleDescription>,
    ) -> Result<String, ToolError> {
        let path = self.find(tool).ok_or_else(|| ToolError::missing(tool))?;
        let mut command = Command::new(path);
        command.args(arguments).env("LC_ALL", "C");
        let ended = run(command, &script.to_string(), self.longest)
            .map_err(|source| ToolError::Host { tool: tool.to_owned(), source })?;
        match ended {
            None => Err(ToolError::TimedOut {
                tool: tool.to_owned(),
                seconds: self.longest.as_secs_f32(),
            }),
            Some(ended) if ended.status.success() => Ok(ended.output),
            Some(ended) => Err(ToolError::of(tool, arguments, &ended.said(), script, rules)),
        }
    }
}

/// A program that has ended.
struct Ended {
    status: ExitStatus,
    output: String,
    errors: String,
}

impl Ended {
    /// What it gives as its reason.
    fn said(&self) -> String {
        let said = if self.errors.trim().is_empty() { &self.output } else { &self.errors };
        if said.trim().is_empty() { format!("no word, {}", self.status) } else { said.clone() }
    }
}

/// Runs a program to its end; nothing if it took longer than `longest` and was stopped.
fn run(mut command: Command, input: &str, longest: Duration) -> io::Result<Option<Ended>> {
    let deadline = Instant::now() + longest;
    // In a group of its own: whoever interrupts this process does not stop a tool halfway.
    command.process_group(0).stdin(whole(input)?).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let output = child.stdout.take().map(read_aside);
    let errors = child.stderr.take().map(read_aside);
    let Some(status) = wait(&mut child, deadline)? else { return Ok(None) };
    let (output, errors) = (received(output, deadline), received(errors, deadline));
    Ok(Some(Ended { status, output: output?, errors: errors? }))
}

/// A file in memory with all of `input`. A pipe would end early if this process did, and a text that
/// is cut can be a text that a tool takes.
fn whole(input: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"ringfence", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Waits for `child`; at `deadline` it is stopped.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Reads to the end in a thread of its own, so that a program that writes much never waits.
fn read_aside(mut from: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut read = Vec::new();
        let result = from.read_to_end(&mut read).map(|_| read);
        // Nobody receives it where the program took too long.
        let _ = send.send(result);
    });
    receive
}

fn received(from: Option<Receiver<io::Result<Vec<u8>>>>, deadline: Instant) -> io::Result<String> {
    let Some(from) = from else { return Ok(String::new()) };
    // The program has ended; only a child that it left behind could keep its output open.
    let rest = deadline.saturating_duration_since(Instant::now()).max(LOOK);
    let read = from.recv_timeout(rest).map_err(io::Error::other)??;
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// The Debian package that `tool` is in.
fn package(tool: &str) -> &'static str {
    match tool {
        "ipset" => "ipset",
        "nft" => "nftables",
        _ => "iptables",
    }
}

#[cfg(test)]
mod tests;
