//! Recorded frames to verdicts.
//!
//! A capture does not say which interfaces its frames went through, so the addresses do: each
//! workload sits behind an interface of its own, and everybody else behind the uplink. A frame
//! with a workload's source address leaves that workload, and is decided as its egress; a frame
//! to a workload's address is decided as its ingress; between two workloads both are asked, the
//! sender first, and the first denial decides. What goes to a group is decided for its sender
//! alone, since nobody knows who is in the group. Frames that say nothing of places (malformed,
//! not IP) are decided as arriving on the uplink.
//!
//! With [`At`], the capture is one of a single workload's interface: every frame is decided there,
//! and by nobody else.
//!
//! Time is what the capture says; it never goes back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::event::Event;
use ringfence_common::abi::flow::family;
use ringfence_common::abi::identity::{AddressBytes, endpoint};
use ringfence_common::abi::policy::Direction;
use ringfence_common::decide::{Outcome, Place};
use ringfence_common::packet::{Packet, PacketRead, parse};
use ringfence_common::verdict::Verdict;

use super::Record;
use crate::backend::userspace::{Filter, event};
use crate::backend::{Arrival, Desired, Mode, Role, Settings, clock};
use crate::compile::Tables;

/// The interface to everybody who is no workload.
const UPLINK: u32 = 1;

/// The tick of the first frame.
const START: u32 = 1;

/// How frames are to be decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether denials are denied.
    pub mode: Mode,
    /// Everything else that can be chosen.
    pub settings: Settings,
    /// Whose capture it is, if it is one workload's.
    pub at: Option<At>,
}

/// One workload's side of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The workload's endpoint number.
    pub endpoint: u32,
    /// Which way all frames go, seen from the workload; without it, those with one of its source
    /// addresses leave it and all others are for it.
    pub direction: Option<Direction>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// The decision and who made it.
    pub outcome: Outcome,
    /// The frame as far as it was read.
    pub packet: Packet,
    /// The interface and hook that decided. Interfaces are numbered for the replay: 1 is the
    /// uplink, and each workload has its own.
    pub place: (u32, Hook),
}

impl Decided {
    /// The event that the kernel's programs would have reported.
    #[must_use]
    pub fn event(&self, record: &Record) -> Event {
        event(&self.packet, &self.outcome, self.place, record.time_ns, record.length as usize)
    }
}

/// Decides the frames of one capture in their order.
pub struct Replay {
    filter: Filter,
    at: Option<At>,
    /// Address → endpoint.
    owners: BTreeMap<IpAddr, u32>,
    /// Endpoint → interface, for workloads.
    interfaces: BTreeMap<u32, u32>,
    first_ns: Option<u64>,
    latest_ns: u64,
}

impl Replay {
    /// A replay that has seen nothing yet.
    #[must_use]
    pub fn new(tables: &Tables, options: &Options) -> Self {
        let mut numbers = UPLINK + 1..;
        let interface_of = |_: &str| numbers.next().unwrap_or(UPLINK);
        let mut desired = Desired::all_local(tables.clone(), Arrival::Tcx, UPLINK, interface_of);
        desired.mode = options.mode;
        desired.settings = options.settings;
        let owners = tables.endpoints.iter().flat_map(|(number, endpoint)| {
            endpoint.addresses.iter().map(|address| (*address, *number))
        });
        let workloads = desired.interfaces.iter().filter(|one| one.role == Role::Workload);
        let interfaces = workloads
            .flat_map(|one| one.endpoints.iter().map(|number| (*number, one.index)))
            .collect();
        let config = desired.config(1, START, 0);
        Self {
            filter: Filter::new(&desired.host_tables(config)),
            at: options.at,
            owners: owners.collect(),
            interfaces,
            first_ns: None,
            latest_ns: 0,
        }
    }

    /// Decides the next frame.
    #[must_use = "an outcome that is dropped is a packet that passes"]
    pub fn decide(&mut self, record: &Record) -> Decided {
        let frame = Recorded(record);
        let now = self.tick(record.time_ns);
        let (first, rest) = self.places(&frame);
        let mut decided = self.decide_at(&frame, first, now);
        let Some(place) = rest.filter(|_| decided.outcome.decision.passes()) else {
            return decided;
        };
        let next = self.decide_at(&frame, place, now);
        // In audit mode the first denial is the one that is told.
        let audited = decided.outcome.decision.verdict == Verdict::Audit;
        if !audited || !next.outcome.decision.passes() {
            decided = next;
        }
        decided
    }

    fn decide_at(
        &mut self,
        frame: &Recorded<'_>,
        (ifindex, hook): (u32, Hook),
        now: u32,
    ) -> Decided {
        let outcome = self.filter.decide_read(frame, &Place::new(ifindex, hook, now));
        Decided { outcome, packet: *self.filter.packet(), place: (ifindex, hook) }
    }

    /// Where the frame is seen: the first place, and the one after that if there is one.
    fn places(&self, frame: &Recorded<'_>) -> ((u32, Hook), Option<(u32, Hook)>) {
        let arriving = (UPLINK, Hook::TcIngress);
        let mut packet = Packet::default();
        let is_placed = parse(frame, &mut packet).is_ok() && packet.family != 0;
        let owner = |bytes: &AddressBytes| {
            let owner = || self.owners.get(&address(packet.family, bytes)).copied();
            if is_placed { owner() } else { None }
        };
        let (source, destination) = (owner(&packet.source), owner(&packet.destination));
        if let Some(at) = self.at {
            let leaves = at
                .direction
                .map_or(source == Some(at.endpoint), |direction| direction == Direction::Egress);
            return (self.at_endpoint(at.endpoint, leaves), None);
        }
        let workload = |owner: Option<u32>| owner.filter(|number| *number != endpoint::HOST);
        let to = workload(destination).filter(|to| Some(*to) != source);
        let to = to.map(|number| self.at_endpoint(number, false));
        match (source, to) {
            // The host is asked where its packets reach the workload.
            (Some(endpoint::HOST), Some(to)) => (to, None),
            (Some(number), to) => (self.at_endpoint(number, true), to),
            (None, to) => (arriving, to),
        }
    }

    /// Where what leaves an endpoint, or is for it, is seen.
    fn at_endpoint(&self, number: u32, leaves: bool) -> (u32, Hook) {
        match (self.interfaces.get(&number), leaves) {
            (Some(interface), true) => (*interface, Hook::TcIngress),
            (Some(interface), false) => (*interface, Hook::TcEgress),
            // The host is on the other side of its interface.
            (None, true) => (UPLINK, Hook::TcEgress),
            (None, false) => (UPLINK, Hook::TcIngress),
        }
    }

    fn tick(&mut self, time_ns: u64) -> u32 {
        let first = *self.first_ns.get_or_insert(time_ns);
        self.latest_ns = self.latest_ns.max(time_ns);
        let passed = Duration::from_nanos(self.latest_ns.saturating_sub(first));
        START.wrapping_add(clock::ticks_in(passed))
    }
}

fn address(of_family: u8, bytes: &AddressBytes) -> IpAddr {
    if of_family == family::V4 {
        let [.., a, b, c, d] = *bytes;
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes))
    }
}

/// A recorded frame: as long as it was, as readable as it was recorded.
struct Recorded<'a>(&'a Record);

impl PacketRead for Recorded<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.bytes.as_slice().read(offset)
    }

    type Header<'b>
        = &'b [u8]
    where
        Self: 'b;

    fn header<const N: usize>(&self, offset: usize) -> Option<&[u8]> {
        self.0.bytes.as_slice().header::<N>(offset)
    }

    fn length(&self) -> usize {
        self.0.length as usize
    }

    fn length_at_hand(&self) -> usize {
        self.length()
    }

    fn tags_outside(&self) -> usize {
        0
    }
}
