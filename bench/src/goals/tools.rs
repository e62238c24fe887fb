//! The kernel's older filters, loaded and changed by their own tools.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};

use crate::kernel::MeasureError;

/// A host of its own, in which the tools change what they like.
pub struct Tools {
    host: Namespace,
}

impl Tools {
    /// Where the tools are installed.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Missing`] where they are not; [`MeasureError::Refused`].
    pub fn new() -> Result<Self, MeasureError> {
        let tools = [Tool::IptablesLegacy, Tool::Nft];
        if let Some(missing) = require::missing_for_tools(&tools) {
            return Err(MeasureError::Missing(missing));
        }
        let host = Namespace::isolated_host().map_err(MeasureError::refused("make a host"))?;
        Ok(Self { host })
    }

    /// Loads the rules that the engine prints for the tool with iptables-restore; how long that
    /// took.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] when it fails, or not all rules are there afterwards.
    pub fn load_iptables(&self, text: &str) -> Result<Duration, MeasureError> {
        let (took, _) = self.run("iptables-legacy-restore", &[], text)?;
        let (_, said) = self.run("iptables-legacy-save", &[], "")?;
        // Neighbouring addresses share a rule, so there may be fewer than entries.
        let rules = |text: &str| text.lines().filter(|line| line.contains("--dport 443 ")).count();
        check("iptables-restore", rules(&said), rules(text))?;
        Ok(took)
    }

    /// Loads a set of all addresses, with the port of each, with nft; how long that took.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] when it fails, or not all elements are there afterwards.
    pub fn load_nft(&self, addresses: &[Ipv4Addr]) -> Result<Duration, MeasureError> {
        let mut text = "table ip measured\ndelete table ip measured\ntable ip measured {\n  set denied {\n    type ipv4_addr . inet_service\n    elements = {".to_owned();
        for (number, address) in addresses.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let _ = write!(text, "{comma} {address} . 443");
        }
        text.push_str(" }\n  }\n  chain input {\n    type filter hook input priority 0;\n    ip saddr . tcp dport @denied drop\n  }\n}\n");
        let (took, _) = self.run("nft", &["-f", "-"], &text)?;
        let (_, said) = self.run("nft", &["list", "set", "ip", "measured", "denied"], "")?;
        check("nft", said.matches(" . ").count() - 1, addresses.len())?;
        Ok(took)
    }

    /// Runs a tool with `input`: how long it took from its start to its end, and what it said.
    fn run(
        &self,
        tool: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<(Duration, String), MeasureError> {
        let run = || {
            let begin = Instant::now();
            let mut child = Command::new(tool)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()?;
            // Dropping it ends the input.
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes())?;
            }
            let output = child.wait_with_output()?;
            Ok::<_, std::io::Error>((begin.elapsed(), output))
        };
        let refused = || MeasureError::refused(format!("run `{tool}`"));
        let ran = self.host.run(run).map_err(MeasureError::refused("enter a host"))?;
        let (took, output) = ran.map_err(refused())?;
        if !output.status.success() {
            let why = format!("it ended with {}", output.status);
            return Err(MeasureError::Refused { what: format!("run `{tool}`"), why });
        }
        Ok((took, String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

fn check(tool: &str, there: usize, wanted: usize) -> Result<(), MeasureError> {
    if there == wanted {
        return Ok(());
    }
    Err(MeasureError::wrong(tool, format!("{there} of {wanted} entries were there afterwards")))
}
