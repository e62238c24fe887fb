//! What tables say about a flow.
//!
//! The lookup order is that of [`ringfence_common::decide`], which is asked here as packets ask it.
//! Essential traffic that depends on who talks, not on what is in the packet, is part of the
//! answer: a workload to itself, and the host to a workload (semantics 8). This is for questions
//! about flows (`ringfence trace`, `matrix`) and for comparing tables with the oracle.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use ipnet::IpNet;
use ringfence_common::abi::config::{Attachment, Config, Hook};
use ringfence_common::abi::identity::{AddressBytes, AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{Endpoint, PolicyEntry, PolicyKey};
use ringfence_common::abi::table::Station;
use ringfence_common::decide::{self, Question};
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
            // To an endpoint of these tables: those of other hosts are left to policy.
            _ if from == endpoint::HOST && to != endpoint::NONE => {
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

    /// What the policy of `subject` decides in `direction`, `peer` being the other end's identity
    /// and `port` the destination's, 0 for protocols without ports.
    pub fn decide(
        &self,
        subject: u32,
        direction: Direction,
        peer: u32,
        protocol: u8,
        port: u16,
    ) -> Decision {
        let forms = self.subjects.get(&subject).map_or(0, |subject| subject.forms(direction));
        let question = Question { subject, peer, direction, forms, protocol, port };
        decide::policy(&Policy(self), &question)
    }

    /// The class of a port: the first port of its interval.
    #[must_use]
    pub fn class_of(&self, protocol: u8, port: u16) -> u16 {
        let starts = self.classes.get(&protocol);
        starts.and_then(|starts| starts.range(..=port).next_back()).copied().unwrap_or(0)
    }

    /// The last port of a class; `None` if no class has this number.
    #[must_use]
    pub fn last_port(&self, protocol: u8, class: u16) -> Option<u16> {
        let starts = self.classes.get(&protocol);
        if class != 0 && !starts.is_some_and(|starts| starts.contains(&class)) {
            return None;
        }
        let after = (Bound::Excluded(class), Bound::Unbounded);
        let next = starts.and_then(|starts| starts.range(after).next());
        Some(next.map_or(u16::MAX, |next| next - 1))
    }
}

/// The policy of tables as the shared decision reads it. Installed nowhere: without configuration,
/// attachments and endpoints of a host, a packet would be denied.
struct Policy<'a>(&'a Tables);

impl decide::Tables for Policy<'_> {
    fn epoch(&self) -> u32 {
        0
    }

    fn config(&self) -> Option<&Config> {
        None
    }

    fn attachment(&self, _: u32, _: Hook) -> Option<Attachment> {
        None
    }

    fn station(&self, _: u32, _: Hook) -> Option<Station> {
        None
    }

    fn address(&self, _: &Config, _: u8, _: &AddressBytes) -> AddressEntry {
        AddressEntry { identity: identity::UNKNOWN, endpoint: endpoint::NONE }
    }

    fn endpoint(&self, _: u32) -> Option<Endpoint> {
        None
    }

    fn class(&self, protocol: u8, port: u16) -> u16 {
        self.0.class_of(protocol, port)
    }

    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        self.0.policy.get(key).copied()
    }
}
