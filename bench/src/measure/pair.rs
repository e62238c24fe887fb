//! What measurements are tried on: a client and a server on one wire.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use ringfence_testbed::traffic::{End, Ends, Flow, Generator, Hop, SHORTEST_PAYLOAD};

use crate::goals::wire::{NAME, Wire};
use crate::kernel::MeasureError;

/// Frames of a generator come from so many ports.
const FLOWS: u16 = 16;

const PORT: u16 = 9;

/// A client at the near end and a server at the far end.
pub struct Pair {
    pub wire: Wire,
    from: IpAddr,
    to: IpAddr,
}

impl Pair {
    pub fn v4() -> Self {
        Self::new("10.0.0.1", "10.0.0.2")
    }

    pub fn v6() -> Self {
        Self::new("fd00::1", "fd00::2")
    }

    fn new(from: &str, to: &str) -> Self {
        let (wire, from, to) = (Wire::new().unwrap(), from.parse().unwrap(), to.parse().unwrap());
        wire.address(from, to).unwrap();
        Self { wire, from, to }
    }

    pub fn ends(&self) -> Ends<'_> {
        let to = SocketAddr::new(self.to, PORT);
        Ends { client: &self.wire.near, from: self.from, server: &self.wire.far, to }
    }

    pub fn near(&self) -> End<'_> {
        End { namespace: &self.wire.near, interface: NAME }
    }

    pub fn far(&self) -> End<'_> {
        End { namespace: &self.wire.far, interface: NAME }
    }

    pub fn flow(&self) -> Flow {
        let destination = SocketAddr::new(self.to, PORT);
        Flow { source: SocketAddr::new(self.from, 40_000), destination }
    }

    pub fn generator(&self) -> Generator {
        let hop = Hop::between(self.near(), self.far()).unwrap();
        let flows = self.flow().ports(FLOWS);
        let frames = flows.iter().map(|flow| flow.frame(hop, SHORTEST_PAYLOAD)).collect();
        Generator::open(self.near(), frames).unwrap()
    }

    /// Runs `nft` at the far end; what it says.
    pub fn nft(&self, script: &str) -> String {
        let run = || Command::new("nft").arg(script).output().unwrap();
        let output = self.wire.far.run(run).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Gives the far end a chain that asks `rules` of each packet that arrives, and a counter `c`.
    pub fn filter(&self, rules: &[&str]) {
        self.nft("add table inet t");
        self.nft("add counter inet t c");
        self.nft("add chain inet t input { type filter hook prerouting priority -300; }");
        for rule in rules {
            self.nft(&format!("add rule inet t input {rule}"));
        }
    }

    /// The packets that counter `c` has counted.
    pub fn counted(&self) -> Result<u64, MeasureError> {
        let said = self.nft("list counter inet t c");
        let packets = said.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        let packets = packets.and_then(|count| count.parse().ok());
        packets.ok_or_else(|| MeasureError::wrong("nft", said))
    }
}
