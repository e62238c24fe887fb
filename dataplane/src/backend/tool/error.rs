//! Why a tool could not do what it was told.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::stat::{major, minor};

use super::{LOCK_SECONDS, package, said};
use crate::backend::chains::Script;
use crate::compile::RuleDescription;

/// Why a tool could not do what it was told. Each message says the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It is not installed.
    #[error(
        "`{tool}` is not installed, or in no folder of PATH: install it with \
         `apt-get install {package}`, or add its folder to PATH"
    )]
    Missing {
        /// The tool.
        tool: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Somebody else holds the lock of iptables.
    #[error(
        "`{tool}` has waited {LOCK_SECONDS} seconds for the lock of iptables, `{lock}`, which \
         {holder} holds: wait until that is done or stop it, then try again"
    )]
    Locked {
        /// The tool.
        tool: String,
        /// The file that is locked.
        lock: String,
        /// Who holds it.
        holder: String,
    },
    /// It refuses a line.
    #[error("`{tool}` refuses line {number}, `{text}`{}: {said}", of_rule(rule.as_deref()))]
    Line {
        /// The tool.
        tool: String,
        /// The line's number, from 1.
        number: usize,
        /// The line.
        text: String,
        /// The rule of a document that the line comes from, if it comes from one.
        rule: Option<Box<RuleDescription>>,
        /// What the tool said.
        said: String,
    },
    /// It failed and blames no line.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// The tool and its arguments.
        command: String,
        /// What the tool said.
        said: String,
    },
    /// It did not end.
    #[error(
        "`{tool}` was stopped after {seconds} s: see what keeps the host so busy, and apply again"
    )]
    TimedOut {
        /// The tool.
        tool: String,
        /// How long it was waited for.
        seconds: f32,
    },
    /// It could not be started or heard.
    #[error("`{tool}` cannot be run")]
    Host {
        /// The tool.
        tool: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ToolError {
    pub(super) fn missing(tool: &str) -> Self {
        Self::Missing { tool: tool.to_owned(), package: package(tool) }
    }

    /// The error that `tool` means with `words`, having been given `script`.
    pub(super) fn of(
        tool: &str,
        arguments: &[&str],
        words: &str,
        script: &Script,
        rules: &BTreeMap<u32, RuleDescription>,
    ) -> Self {
        let tool = tool.to_owned();
        if let Some(lock) = said::locked_file(words) {
            let holder = holder(Path::new(&lock)).unwrap_or_else(|| "another program".to_owned());
            return Self::Locked { tool, lock, holder };
        }
        let line = said::failing_line(words);
        let line =
            line.and_then(|number| Some((number, script.lines.get(number.checked_sub(1)?)?)));
        let Some((number, line)) = line else {
            let command = [&[tool.as_str()], arguments].concat().join(" ");
            return Self::Failed { command, said: said::reason(words) };
        };
        let said = match line.text.as_str() {
            "COMMIT" => format!(
                "{} (the kernel refuses the table as a whole; its log, see `dmesg`, may say why)",
                said::reason(words)
            ),
            _ => said::reason(words),
        };
        let rule = script.rule_of(number).map(|rule| {
            let unknown = || RuleDescription { name: format!("rule {rule:08x}"), origin: None };
            Box::new(rules.get(&rule).cloned().unwrap_or_else(unknown))
        });
        Self::Line { tool, number, text: line.text.clone(), rule, said }
    }
}

fn of_rule(rule: Option<&RuleDescription>) -> String {
    let Some(rule) = rule else { return String::new() };
    let origin = rule.origin.as_ref().map_or_else(String::new, |origin| format!(" at {origin}"));
    format!(", which comes from `{}`{origin}", rule.name)
}

/// Who holds the lock of a file, by what the kernel lists (proc_locks(5)).
fn holder(lock: &Path) -> Option<String> {
    let file = fs::metadata(lock).ok()?;
    let file = format!("{:02x}:{:02x}:{}", major(file.dev()), minor(file.dev()), file.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; with who waits, `->` stands before `FLOCK`.
    let process = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_held = words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&file.as_str());
        is_held.then(|| words.get(4).copied()).flatten()
    })?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(format!("process {process} (`{}`)", name.trim()))
}
