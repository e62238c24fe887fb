//! What tables say about a flow: the lookup order, plainly.
//!
//! The decision code of [`ringfence_common`] does this on packets; this is for questions about
//! flows (`ringfence trace`, `matrix`) and for comparing tables with the oracle. Essential
//! traffic that depends on who talks, not on what is in the packet, is part of the answer: a
//! workload to itself, and the host to a workload (semantics 8).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::identity::{AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey, action, forms};
use ringfence_common::verdict::{Decision, Reason};

use super::Tables;
use crate::model::Direction;

/// What each end of a flow decides; both must allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The source's egress.
    pub egress: Decision,
    /// The destination's ingress.
    pub ingress: Decision,
}

impl Sides {
    /// Whether the flow passes.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.egress.passes() && self.ingress.passes()
    }
}

/// Tables, ready to be asked about many flows.
#[derive(Clone, Debug)]
pub struct Answers<'a> {
    tables: &'a Tables,
    addresses: BTreeMap<IpAddr, AddressEntry>,
}

impl<'a> Answers<'a> {
    /// Answers from `tables`.
    #[must_use]
    pub fn new(tables: &'a Tables) -> Self {
        Self { tables, addresses: tables.address_entries() }
    }

    /// What both ends decide about the first packet of a flow; `port` is the destination port, 0
    /// for protocols without ports. An end that is no endpoint of the tables decides nothing.
    #[must_use]
    pub fn ask(&self, source: IpAddr, destination: IpAddr, protocol: u8, port: u16) -> Sides {
        let owner = |address: IpAddr| {
            self.addresses.get(&address).map_or(endpoint::NONE, |entry| entry.endpoint)
        };
        let (from, to) = (owner(source), owner(destination));
        let side = |number: u32, direction, peer: IpAddr| match number {
            endpoint::NONE => Decision::allow(Reason::NotIsolated, 0),
            _ if from == to => Decision::allow(Reason::SelfTraffic, 0),
            _ if direction == Direction::Ingress && from == endpoint::HOST => {
                Decision::allow(Reason::HostToWorkload, 0)
            }
            number => {
                let subject = self.tables.endpoints[&number].subject;
                let peer = self.tables.identity_of(peer);
                self.tables.decide(subject, direction, peer, protocol, port)
            }
        };
        Sides {
            egress: side(from, Direction::Egress, destination),
            ingress: side(to, Direction::Ingress, source),
        }
    }
}

impl Tables {
    /// The identity of an address: its workload's, else that of the longest prefix around it, else
    /// WORLD.
    #[must_use]
    pub fn identity_of(&self, address: IpAddr) -> u32 {
        let longest = IpNet::from(address).prefix_len();
        let prefixes = || {
            (0..=longest).rev().find_map(|length| {
                let net = IpNet::new(address, length).expect("no longer than the address");
                self.prefixes.get(&net.trunc())
            })
        };
        self.addresses.get(&address).or_else(prefixes).copied().unwrap_or(identity::WORLD)
    }

    /// What the policy of `subject` decides in `direction`, `peer` being the other end's identity.
    pub fn decide(
        &self,
        subject: u32,
        direction: Direction,
        peer: u32,
        protocol: u8,
        port: u16,
    ) -> Decision {
        if self.forms(subject, direction) & forms::ENFORCED == 0 {
            return Decision::allow(Reason::NotIsolated, 0);
        }
        match self.entry(subject, direction, peer, protocol, port) {
            None => Decision::deny(Reason::NoRule, 0),
            Some(entry) => match (entry.action, entry.rule) {
                (action::ALLOW, 0) => Decision::allow(Reason::NotIsolated, 0),
                (action::ALLOW, rule) => Decision::allow(Reason::Rule, rule),
                (_, 0) => Decision::deny(Reason::NoRule, 0),
                (_, rule) => Decision::deny(Reason::DenyRule, rule),
            },
        }
    }

    /// The entry that decides: the first hit in the lookup order among the forms the subject has.
    #[must_use]
    pub fn entry(
        &self,
        subject: u32,
        direction: Direction,
        peer: u32,
        protocol: u8,
        port: u16,
    ) -> Option<PolicyEntry> {
        let forms = self.forms(subject, direction);
        let class = PolicyKey::service(direction, protocol, self.class_of(protocol, port));
        let protocol = PolicyKey::any_port(direction, protocol);
        let everything = PolicyKey::any_service(direction);
        [
            (forms::PEER_CLASS, peer, class),
            (forms::PEER_PROTOCOL, peer, protocol),
            (forms::PEER, peer, everything),
            (forms::ANY_CLASS, identity::ANY, class),
            (forms::ANY_PROTOCOL, identity::ANY, protocol),
            (forms::ANY, identity::ANY, everything),
        ]
        .into_iter()
        .filter(|(form, ..)| forms & *form != 0)
        .find_map(|(_, peer, service)| self.policy.get(&PolicyKey { subject, peer, service }))
        .copied()
    }

    fn forms(&self, subject: u32, direction: Direction) -> u8 {
        self.subjects.get(&subject).map_or(0, |subject| subject.forms(direction))
    }

    /// The class of a port: the first port of its interval.
    #[must_use]
    pub fn class_of(&self, protocol: u8, port: u16) -> u16 {
        let starts = self.classes.get(&protocol);
        starts.and_then(|starts| starts.range(..=port).next_back()).copied().unwrap_or(0)
    }
}
