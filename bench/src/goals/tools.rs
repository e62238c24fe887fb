//! The kernel's older filters, loaded and changed by their own tools.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};

use crate::kernel::MeasureError;
use crate::measure::scene::{Invocation, Said, run};

/// How long a tool may take.
const LIMIT: Duration = Duration::from_secs(120);

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
        let tools = [Tool::IptablesLegacy, Tool::Ipset, Tool::Nft];
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
        let restore = Invocation::line("iptables-legacy-restore", "").reading(text.to_owned());
        let took = self.run(&restore)?.took;
        let said = self.run(&Invocation::line("iptables-legacy-save", ""))?.text;
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
        let took = self.run(&Invocation::line("nft", "-f -").reading(text))?.took;
        let said = self.run(&Invocation::line("nft", "list set ip measured denied"))?.text;
        check("nft", said.matches(" . ").count() - 1, addresses.len())?;
        Ok(took)
    }

    /// Loads a set of all addresses, with the port of each, with ipset; how long that took.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] when it fails, or not all elements are there afterwards.
    pub fn load_ipset(&self, addresses: &[Ipv4Addr]) -> Result<Duration, MeasureError> {
        self.run(&Invocation::line("ipset", "destroy"))?;
        let most = addresses.len();
        let mut text = format!("create denied hash:ip,port maxelem {most}\n");
        for address in addresses {
            let _ = writeln!(text, "add denied {address},tcp:443");
        }
        let took = self.run(&Invocation::line("ipset", "restore").reading(text))?.took;
        let said = self.run(&Invocation::line("ipset", "list -t denied"))?.text;
        let count = said.lines().find_map(|line| line.strip_prefix("Number of entries:"));
        let count = count.and_then(|count| count.trim().parse().ok());
        check("ipset", count.unwrap_or(0), addresses.len())?;
        Ok(took)
    }

    /// Runs a tool on the host.
    fn run(&self, invocation: &Invocation) -> Result<Said, MeasureError> {
        let ran = self.host.run(|| run(invocation, LIMIT));
        ran.map_err(MeasureError::refused("enter a host"))?
    }
}

fn check(tool: &str, there: usize, wanted: usize) -> Result<(), MeasureError> {
    if there == wanted {
        return Ok(());
    }
    Err(MeasureError::wrong(tool, format!("{there} of {wanted} entries were there afterwards")))
}
