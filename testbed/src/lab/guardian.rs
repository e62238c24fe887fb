//! Ends what tools still do in a namespace when nobody waits for it any more.
//!
//! A namespace ends with the last process in it. This process's threads end with it, but a tool
//! that it has started goes on, and holds the namespace for as long as it likes. So a shell that
//! was started before all tools waits there for the end of its input, which comes when the
//! [`Guardian`] is dropped or this process is gone, by whatever signal; then it kills every other
//! process in its network namespace, this one aside. The kernel's signal at a parent's death
//! (`PR_SET_PDEATHSIG`) would have to be asked for by each tool itself.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::LabError;
use crate::netns::Namespace;

/// `$1` is the process that must be left alone. `read` returns at the end of the input. A process
/// that ends meanwhile is no failure.
const SCRIPT: &str = r#"
trap '' HUP INT TERM PIPE
read -r end
for process in /proc/[0-9]*; do
  number=${process#/proc/}
  case $number in $$ | $1) continue ;; esac
  if [ "$process/ns/net" -ef "/proc/$$/ns/net" ]; then kill -KILL "$number" 2>/dev/null; fi
done
"#;

/// Keeps a namespace's tools from outliving it.
#[derive(Debug)]
pub(super) struct Guardian {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Guardian {
    /// Starts it in `namespace`.
    pub fn start(namespace: &Namespace) -> Result<Self, LabError> {
        let start = || -> io::Result<Child> {
            Command::new("/bin/sh")
                .args(["-c", SCRIPT, "guardian", &std::process::id().to_string()])
                // In a group of its own: Ctrl-C is not for it.
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        let started = namespace.run(start)?;
        let mut shell = started.map_err(LabError::refused("start `/bin/sh`"))?;
        let input = shell.stdin.take();
        Ok(Self { shell, input })
    }

    /// Kills every other process that is in the namespace now, and waits until that is done.
    pub fn end(&mut self) {
        drop(self.input.take());
        // Where it cannot be waited for, it has been killed, and others' tools end by themselves.
        let _ = self.shell.wait();
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.end();
    }
}
