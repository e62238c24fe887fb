//! Frames, one after the other, to a verdict on each: the literal reading of everything in the
//! semantics that needs to know what came before.
//!
//! For a frame that passes the interface of an endpoint, in or out:
//!
//! 1. Nobody knows the interface: denied.
//! 2. It is malformed: denied, each cause with its own reason ([`super::frame`]).
//! 3. It is not IP: essential.
//! 4. Its addresses may not be on a wire: denied.
//! 5. It is discovery or DHCP, if it comes from a workload, from an address of its own, a
//!    link-local one or none: essential, but for router advertisements from a workload, which are
//!    denied.
//! 6. Its source is not one that may come from here: denied.
//! 7. Each end that is decided here is asked, the sender before the receiver
//!    ([`Connections::sides`]), and the first that denies it decides.
//! 8. In audit mode a denial passes and says so.

mod side;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ringfence_common::verdict::{Reason, Verdict};

use self::side::{End, FragmentName};
use super::address::{is_for_many, is_link_local, is_martian_destination, is_martian_source};
use super::connection::{Connection, Tuple};
use super::essential::{Way, is_router_advertisement, kind_of, may_come_from_nobody};
use super::fragment::Fragmented;
use super::frame::{self, Frame, Packet};
use super::settings::{Essential, Mode, Placement, Settings};
use crate::model::{Direction, Inventory, PolicySet, RuleName, WorkloadName};

/// What the oracle says about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What happens to it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rules that decided, all alike; empty where none did. Sorted.
    pub rules: Vec<RuleName>,
}

/// One host that sees frames and remembers what they mean for later ones: any number of them, for
/// as long as they matter. It has no table that could be full.
#[derive(Clone, Debug)]
pub struct Connections {
    set: PolicySet,
    settings: Settings,
    placement: Placement,
    /// Grows by one with every change of policy.
    generation: u64,
    connections: BTreeMap<(End, Tuple), Connection>,
    fragmented: BTreeMap<FragmentName, Fragmented>,
}

/// A reason and the rules that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Judgement {
    reason: Reason,
    rules: Vec<RuleName>,
}

impl From<Reason> for Judgement {
    fn from(reason: Reason) -> Self {
        Self { reason, rules: Vec::new() }
    }
}

impl Connections {
    /// A host that enforces `set` and has seen nothing. Every workload of the inventory is its own
    /// and sits behind an interface of its own.
    #[must_use]
    pub fn new(set: &PolicySet, settings: Settings) -> Self {
        let workloads = set.inventory.workloads().filter(|workload| !workload.host);
        let interfaces = workloads.map(|workload| [workload.name.clone()].into()).collect();
        let placement = Placement { interfaces, ..Placement::default() };
        Self::placed(set, settings, placement)
    }

    /// The same, with the host's own workloads where `placement` says they are; the others are
    /// elsewhere.
    #[must_use]
    pub fn placed(set: &PolicySet, settings: Settings, placement: Placement) -> Self {
        Self {
            set: with_addresses(set, &placement),
            settings,
            placement,
            generation: 0,
            connections: BTreeMap::new(),
            fragmented: BTreeMap::new(),
        }
    }

    /// Replaces the policies and the inventory; what was seen stays seen.
    pub fn replace(&mut self, set: &PolicySet) {
        self.set = with_addresses(set, &self.placement);
        self.generation += 1;
    }

    /// Replaces the policies and the inventory, and everything that was chosen beside them.
    pub fn reconfigure(&mut self, set: &PolicySet, settings: Settings, placement: Placement) {
        (self.settings, self.placement) = (settings, placement);
        self.replace(set);
    }

    /// Forgets everything that was seen.
    pub fn forget(&mut self) {
        self.connections.clear();
        self.fragmented.clear();
    }

    /// Decides a frame that passes the interface which `at` sits behind (the uplink, for the host),
    /// sent by it or to it: `direction` is that of `at`. `now` is the time since the beginning and
    /// never goes back.
    ///
    /// Where `at` is a workload, its own side decides, and so does the host's if the other end is
    /// the host.
    pub fn see(
        &mut self,
        at: &WorkloadName,
        direction: Direction,
        frame: &[u8],
        now: Duration,
    ) -> Seen {
        let way = match direction {
            Direction::Egress => Way::Out,
            Direction::Ingress => Way::In,
        };
        let Judgement { reason, rules } = self.judge(at, way, frame, now);
        let verdict = match self.settings.mode {
            _ if !reason.denies() => Verdict::Allow,
            Mode::Enforce => Verdict::Deny,
            Mode::Audit => Verdict::Audit,
        };
        Seen { verdict, reason, rules }
    }

    fn judge(&mut self, at: &WorkloadName, way: Way, frame: &[u8], now: Duration) -> Judgement {
        let Some(place) = self.place_of(at) else { return Reason::UnknownInterface.into() };
        let packet = match frame::read(frame) {
            Ok(Frame::Ip(packet)) => packet,
            Ok(Frame::NotIp) if self.is_on(Essential::NonIp) => return Reason::NonIp.into(),
            Ok(Frame::NotIp) => return Reason::EssentialOff.into(),
            Err(reason) => return reason.into(),
        };
        let from_nobody = packet.source.is_unspecified() && !may_come_from_nobody(&packet);
        if is_martian_source(packet.source)
            || is_martian_destination(packet.destination)
            || from_nobody
        {
            return Reason::Martian.into();
        }
        let comes_from_here = self.may_come_from(&place, way, packet.source);
        let new_to_the_link = is_link_local(packet.source) || packet.source.is_unspecified();
        let from_workload = matches!(place, Place::Workloads(_)) && way == Way::Out;
        if !from_workload || comes_from_here || new_to_the_link {
            if from_workload && is_router_advertisement(&packet) {
                return Reason::RogueRouter.into();
            }
            if let Some(essential) = kind_of(&packet, way)
                && self.is_on(essential)
            {
                return passes_as(essential).into();
            }
        }
        if !comes_from_here {
            return Reason::Spoofed.into();
        }
        self.ask(&self.sides(&place, way, &packet), &packet, now)
    }

    /// Asks each side in turn. In audit mode the first would-be denial is told, and the others see
    /// the packet all the same, for it passes.
    fn ask(&mut self, sides: &[(Option<End>, Way)], packet: &Packet, now: Duration) -> Judgement {
        let mut told: Judgement = Reason::NotSubject.into();
        for (end, way) in sides {
            let judgement = match end {
                Some(end) => self.side(end, *way, packet, now),
                None => Reason::UnknownEndpoint.into(),
            };
            if !told.reason.denies() {
                told = judgement;
            }
            if told.reason.denies() && self.settings.mode == Mode::Enforce {
                break;
            }
        }
        told
    }

    /// The ends that are decided at a place: the workload behind the interface, and the host, which
    /// is behind all of them. What is for everyone or for a group is for the host too. Whatever goes
    /// to an interface with one workload behind it is for this workload: the interface comes first,
    /// the address second (safety P12). Where several are behind it, one of them has to have the
    /// address. Where nobody is concerned, nothing is decided.
    fn sides(&self, place: &Place, way: Way, packet: &Packet) -> Vec<(Option<End>, Way)> {
        let source = self.owner(packet.source);
        let destination = self.owner(packet.destination);
        // A host that the inventory does not describe has no policy to ask.
        let described = self.set.inventory.workloads().any(|workload| workload.host);
        let from_host = described && source == Some(End::Host);
        let for_host = destination == Some(End::Host) || is_for_many(packet.destination);
        let to_host = described && for_host;
        let mut sides = Vec::new();
        match (place, way) {
            (Place::Workloads(_), Way::Out) => {
                sides.push((source, Way::Out));
                sides.extend(to_host.then_some((Some(End::Host), Way::In)));
            }
            (Place::Workloads(behind), Way::In) => {
                sides.extend(from_host.then_some((Some(End::Host), Way::Out)));
                let receiver = match behind.as_slice() {
                    [only] => Some(only),
                    behind => behind.iter().find(|end| destination.as_ref() == Some(end)),
                };
                sides.push((receiver.cloned(), Way::In));
            }
            (Place::Uplink, Way::Out) => {
                sides.extend(from_host.then_some((Some(End::Host), Way::Out)));
            }
            (Place::Uplink, Way::In) => sides.extend(to_host.then_some((Some(End::Host), Way::In))),
        }
        sides
    }

    /// Semantics 13: what leaves a workload's interface has an address of a workload behind it; what
    /// comes in by the uplink has none of this host.
    fn may_come_from(&self, place: &Place, way: Way, source: IpAddr) -> bool {
        match (place, way) {
            (Place::Workloads(behind), Way::Out) => {
                self.owner(source).is_some_and(|owner| behind.contains(&owner))
            }
            (Place::Uplink, Way::In) => {
                !self.owner(source).is_some_and(|owner| self.is_of_this_host(&owner))
            }
            _ => true,
        }
    }

    /// Where `at` is; nothing if it is not on this host.
    fn place_of(&self, at: &WorkloadName) -> Option<Place> {
        if self.set.inventory.workload(at).is_some_and(|workload| workload.host) {
            return Some(Place::Uplink);
        }
        let interface = self.placement.interfaces.iter().find(|behind| behind.contains(at))?;
        Some(Place::Workloads(interface.iter().cloned().map(End::Workload).collect()))
    }

    fn is_of_this_host(&self, end: &End) -> bool {
        match end {
            End::Host => true,
            End::Workload(name) => {
                self.placement.interfaces.iter().any(|behind| behind.contains(name))
            }
        }
    }

    /// Whose address it is.
    fn owner(&self, address: IpAddr) -> Option<End> {
        match self.set.inventory.owner(address) {
            Some(workload) if workload.host => Some(End::Host),
            Some(workload) => Some(End::Workload(workload.name.clone())),
            None => self.placement.host_addresses.contains(&address).then_some(End::Host),
        }
    }

    fn is_on(&self, essential: Essential) -> bool {
        !self.settings.essential_off.contains(&essential)
    }
}

/// `set`, in which the host has all its addresses, if it is described.
fn with_addresses(set: &PolicySet, placement: &Placement) -> PolicySet {
    let mut inventory = Inventory::default();
    for namespace in set.inventory.namespaces() {
        inventory.add_namespace(namespace.clone());
    }
    for workload in set.inventory.workloads() {
        let mut workload = workload.clone();
        if workload.host {
            let free = |address: &&IpAddr| set.inventory.owner(**address).is_none();
            workload.addresses.extend(placement.host_addresses.iter().filter(free));
        }
        inventory.add_workload(workload).expect("names and addresses are those of an inventory");
    }
    PolicySet { policies: set.policies.clone(), inventory }
}

/// What is behind an interface.
enum Place {
    Workloads(Vec<End>),
    Uplink,
}

/// The reason for which essential traffic passes.
fn passes_as(essential: Essential) -> Reason {
    match essential {
        Essential::NonIp => Reason::NonIp,
        Essential::NeighbourDiscovery => Reason::NeighbourDiscovery,
        Essential::MulticastListener => Reason::MulticastListener,
        Essential::RelatedErrors => Reason::Related,
        Essential::Dhcp => Reason::Dhcp,
        Essential::SelfTraffic => Reason::SelfTraffic,
        Essential::HostToWorkload => Reason::HostToWorkload,
    }
}
