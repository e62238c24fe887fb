//! What is asked of a contender: its rules, and the flow that is measured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Case, Family, Mismatch, Position, Tracking};
use crate::workload::Transport;

/// The server's port where rules differ in address.
const PORT: u16 = 5_000;
/// The port of the first rule where rules differ in port. Further rules have every second one, so
/// that no two are one range.
const FIRST_PORT: u16 = 1_024;
/// A port that no rule names: theirs are even.
const UNNAMED_PORT: u16 = u16::MAX;
/// The most rules that differ in port.
const MOST_PORTS: usize = 32_000;
/// The most rules that differ in address: half of them have every second address below the
/// middle, the others above it.
const MOST_ADDRESSES: usize = 4_000_000;

/// Where in their block the peers of the first, the middle and the last rule are, and somebody
/// whom no rule names: others have even numbers. So the four addresses are the same however many
/// rules there are.
const FIRST: u32 = 2;
const MIDDLE: u32 = 0x80_0002;
const LAST: u32 = 0xff_fffe;
const STRANGER: u32 = 0x40_0001;

/// A case, and the transport protocol that its rules and its packets have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The case.
    pub case: Case,
    /// The protocol.
    pub transport: Transport,
}

impl From<Case> for Asked {
    fn from(case: Case) -> Self {
        Self::udp(case)
    }
}

impl From<&Case> for Asked {
    fn from(case: &Case) -> Self {
        Self::udp(*case)
    }
}

impl From<&Self> for Asked {
    fn from(asked: &Self) -> Self {
        *asked
    }
}

/// One end that may reach the server, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The peer.
    pub peer: IpAddr,
    /// The server's port.
    pub port: u16,
}

impl Asked {
    /// A case whose rules and packets are of UDP.
    #[must_use]
    pub const fn udp(case: Case) -> Self {
        Self { case, transport: Transport::Udp }
    }

    /// A case whose rules and packets are of TCP.
    #[must_use]
    pub const fn tcp(case: Case) -> Self {
        Self { case, transport: Transport::Tcp }
    }

    /// The address that the measured packets come from. The port is free.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.matched().map_or_else(|| self.stranger().0, |index| self.allowed(index).peer)
    }

    /// The server's address and the port that the measured packets are for.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        let allowed = self.matched().map(|index| self.allowed(index));
        allowed.map_or_else(|| self.stranger().1, |allowed| self.at_server(allowed.port))
    }

    /// Where packets come from and go to that no rule names: another address where the rules differ
    /// in address, another port where they differ in port.
    #[must_use]
    pub fn stranger(&self) -> (IpAddr, SocketAddr) {
        match self.case.mismatch {
            Mismatch::Address => (self.address(STRANGER), self.at_server(PORT)),
            Mismatch::Port => (self.address(FIRST), self.at_server(UNNAMED_PORT)),
        }
    }

    /// Source and target of packets that some rule allows: of the measured ones, or where those are
    /// denied, of those that the first rule is for.
    pub(super) fn some_allowed(&self) -> (IpAddr, SocketAddr) {
        let allowed = self.allowed(self.matched().unwrap_or(0));
        (allowed.peer, self.at_server(allowed.port))
    }

    /// What each rule allows, in the order of the rules: by address, then by port.
    pub fn rules(&self) -> impl Iterator<Item = Allowed> + use<'_> {
        (0..self.case.rules).map(|index| self.allowed(index))
    }

    /// The number of the rule that matches the measured packets, from 0; nothing where none does. A
    /// control has the same addresses as a filter with so many rules.
    #[must_use]
    pub fn matched(&self) -> Option<usize> {
        let rules = self.case.rules.max(1);
        match self.case.position {
            Position::First => Some(0),
            Position::Middle => Some(rules / 2),
            Position::Last => Some(rules - 1),
            Position::None => None,
        }
    }

    /// What rule `index` allows.
    #[must_use]
    pub fn allowed(&self, index: usize) -> Allowed {
        // What does not fit is refused before (`impossible`), so numbers stay below 2^24.
        let rules = self.case.rules.max(1);
        match self.case.mismatch {
            Mismatch::Address => {
                let number = match index {
                    0 => FIRST,
                    last if last + 1 == rules => LAST,
                    low if low < rules / 2 => FIRST + 2 * low as u32,
                    high => MIDDLE + 2 * (high - rules / 2) as u32,
                };
                Allowed { peer: self.address(number), port: PORT }
            }
            Mismatch::Port => {
                Allowed { peer: self.address(FIRST), port: FIRST_PORT + 2 * index as u16 }
            }
        }
    }

    /// Why this cannot be had of any contender, or not of this one; nothing if it can.
    #[must_use]
    pub fn impossible(&self) -> Option<String> {
        let Case { contender, rules, position, mismatch, tracking, .. } = self.case;
        if mismatch == Mismatch::Port && rules > MOST_PORTS {
            return Some(format!(
                "{rules} rules cannot differ in port alone: there are 65,536 ports, and ports side \
                 by side would be one range"
            ));
        }
        if mismatch == Mismatch::Address && rules > MOST_ADDRESSES {
            return Some(format!("there are not {rules} addresses for as many rules"));
        }
        if contender.is_control() {
            return None;
        }
        if tracking == Tracking::Stateless && !contender.is_bare() {
            return Some(format!("{contender}: Ringfence always tracks connections"));
        }
        if rules == 0 && position != Position::None {
            return Some(format!("{contender}: of no rules none can match"));
        }
        if tracking == Tracking::Established && position == Position::None {
            return Some(format!(
                "{contender}: a connection that no rule allows is never established"
            ));
        }
        None
    }

    fn at_server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(server(self.case.family), port)
    }

    fn address(&self, number: u32) -> IpAddr {
        peer(self.case.family, number)
    }
}

/// The server's address.
pub(super) fn server(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 20, 0, 1).into(),
        Family::V6 => Ipv6Addr::new(0xfd20, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// Every address that measured packets come from in any case.
pub(super) fn sources() -> impl Iterator<Item = IpAddr> {
    let families = [Family::V4, Family::V6];
    families.into_iter().flat_map(|family| {
        [FIRST, MIDDLE, LAST, STRANGER].into_iter().map(move |number| peer(family, number))
    })
}

/// In 11.0.0.0/8, or in as much of fd11::/96.
fn peer(family: Family, number: u32) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(11 << 24 | number).into(),
        Family::V6 => Ipv6Addr::from_bits(0xfd11 << 112 | u128::from(number)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::lab::Contender;

    fn asked(rules: usize, position: Position, mismatch: Mismatch, family: Family) -> Asked {
        let (contender, tracking) = (Contender::BareNftSet, Tracking::Stateless);
        Case { contender, rules, position, mismatch, tracking, family }.into()
    }

    #[test]
    fn the_measured_packets_come_from_an_address_that_the_client_has() {
        let own: BTreeSet<IpAddr> = sources().collect();
        assert_eq!(own.len(), 8);
        for rules in [1, 2, 3, 10, 1_000, 31_999] {
            for position in [Position::First, Position::Middle, Position::Last, Position::None] {
                for mismatch in [Mismatch::Address, Mismatch::Port] {
                    for family in [Family::V4, Family::V6] {
                        let asked = asked(rules, position, mismatch, family);
                        assert!(own.contains(&asked.source()), "{}", asked.case);
                        assert!(own.contains(&asked.stranger().0), "{}", asked.case);
                        assert_eq!(asked.target().ip(), server(family));
                    }
                }
            }
        }
    }

    #[test]
    fn rules_are_in_order_and_no_two_are_one() {
        for mismatch in [Mismatch::Address, Mismatch::Port] {
            for rules in [1, 2, 3, 4, 10, 31_999] {
                let asked = asked(rules, Position::Middle, mismatch, Family::V4);
                let all: Vec<Allowed> = asked.rules().collect();
                assert_eq!(all.len(), rules);
                let number = |allowed: &Allowed| match allowed.peer {
                    IpAddr::V4(peer) => (u64::from(peer.to_bits()) << 16) + u64::from(allowed.port),
                    IpAddr::V6(peer) => panic!("{peer} is of the other family"),
                };
                let step = if mismatch == Mismatch::Address { 2 << 16 } else { 2 };
                let is_apart = |pair: &[Allowed]| number(&pair[1]) >= number(&pair[0]) + step;
                assert!(all.windows(2).all(is_apart), "{rules} {mismatch:?}");
                let (peer, target) = asked.stranger();
                let stranger = Allowed { peer, port: target.port() };
                assert!(!all.contains(&stranger), "{rules} {mismatch:?}");
                let middle = asked.matched().unwrap();
                assert_eq!(all[middle].peer, asked.source());
                assert_eq!(all[middle].port, asked.target().port());
                assert_eq!(middle, rules / 2);
            }
        }
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let base = asked(10, Position::First, Mismatch::Address, Family::V4);
        let why = |change: &dyn Fn(&mut Case)| {
            let mut asked = base;
            change(&mut asked.case);
            asked.impossible().unwrap_or_default()
        };
        assert_eq!(why(&|_| {}), "");
        assert!(why(&|case| case.contender = Contender::EbpfTcx).contains("always tracks"));
        assert!(why(&|case| case.rules = 0).contains("none can match"));
        let ports = why(&|case| (case.rules, case.mismatch) = (100_000, Mismatch::Port));
        assert!(ports.contains("100000 rules cannot differ in port"), "{ports}");
        let never = why(&|case| {
            (case.tracking, case.position) = (Tracking::Established, Position::None);
        });
        assert!(never.contains("never established"), "{never}");
        let control = why(&|case| (case.contender, case.rules) = (Contender::None, 0));
        assert_eq!(control, "");
    }
}
