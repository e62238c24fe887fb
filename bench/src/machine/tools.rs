//! Versions of tools.

use std::process::{Command, Stdio};

/// What `tool --version` says first; `not found` where it cannot be started.
pub fn version(tool: &str) -> String {
    let output = Command::new(tool).arg("--version").stdin(Stdio::null()).output();
    let Ok(output) = output else { return "not found".to_owned() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().unwrap_or(super::UNKNOWN).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_not_there_is_said_to_be_so() {
        assert_eq!(version("no-such-tool-anywhere"), "not found");
    }
}
