//! Who may send what from where: the raw table, before connections are tracked, so that no packet
//! with a foreign source touches one.
//!
//! Steps 5, 7 and 8 of [`ringfence_common::decide`]. Own addresses come first, since almost every
//! packet has one; what is neither own nor a question that interfaces ask before they have an
//! address is refused.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ringfence_common::abi::config::essential;
use ringfence_common::verdict::Reason;

use super::addresses::{cover_all, words};
use super::condition::{Condition, End};
use super::policy::listed;
use super::writer::{Style, Writer};
use super::{Family, Rule, Table};
use crate::backend::chains::{Entry, Guard};

/// Neighbour discovery, router advertisements among it: ICMPv6 types.
const NEIGHBOUR: [u8; 4] = [133, ROUTER_ADVERTISEMENT, 135, 136];
const ROUTER_ADVERTISEMENT: u8 = 134;
const MULTICAST_LISTENER: [u8; 4] = [130, 131, 132, 143];

/// Which side of DHCP a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dhcp {
    Client,
    Server,
}

/// Whether router advertisements count as neighbour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routers {
    Trusted,
    Rogue,
}

impl<'p> Writer<'p> {
    /// The raw table.
    pub(super) fn sources(&mut self) {
        let interfaces = self.workload_interfaces();
        let uplinks = self.uplinks(Condition::arrives_on);
        if interfaces.is_empty() && uplinks.is_empty() {
            return;
        }
        let named = self.plan.host.as_ref().is_some_and(|host| !host.uplinks.is_empty());
        let to_uplink = uplinks.iter().map(|uplink| Self::leads(uplink, "Uplink", "-g RF-UPLINK"));
        let to_uplink: Vec<Rule> = to_uplink.collect();
        let mut rules = if named { to_uplink.clone() } else { Vec::new() };
        rules.extend(self.source_rules(&interfaces));
        if !named {
            rules.extend(to_uplink);
        }
        self.add(Table::Raw, "RINGFENCE-SOURCE", "who may send what from where", rules);
        if self.style == Style::Structured {
            for guards in interfaces.values() {
                self.source_chain(guards);
            }
        }
        self.shared_sources(!interfaces.is_empty(), !uplinks.is_empty());
    }

    /// The guards behind each interface.
    pub(super) fn workload_interfaces(&self) -> BTreeMap<&'p str, Vec<&'p Guard>> {
        let mut interfaces: BTreeMap<&str, Vec<&Guard>> = BTreeMap::new();
        for guard in &self.plan.guards {
            if let Entry::Interface(name) | Entry::Shared(name) = &guard.entry {
                interfaces.entry(name).or_default().push(guard);
            }
        }
        interfaces
    }

    /// The host's uplinks, as `at` asks for them: all interfaces but the loopback where none is
    /// named.
    pub(super) fn uplinks(&self, at: impl Fn(Condition, &str) -> Condition) -> Vec<Condition> {
        let Some(host) = &self.plan.host else { return Vec::new() };
        if host.uplinks.is_empty() {
            return vec![at(Condition::default(), "! lo")];
        }
        host.uplinks.iter().map(|uplink| at(Condition::default(), uplink)).collect()
    }

    fn source_rules(&mut self, interfaces: &BTreeMap<&str, Vec<&Guard>>) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.style == Style::Sets
            && let Some(own) = self.own_addresses_set()
        {
            let when = Condition::default().and(&format!("-m set --match-set {own} src,src"));
            rules.push(Self::leads(&when, "OwnAddress", "-g RF-OWN"));
        }
        for (interface, guards) in interfaces {
            let when = Condition::default().arrives_on(interface);
            match self.style {
                Style::Structured => {
                    let target = format!("-g {}", source_name(guards));
                    rules.push(Self::leads(&when, &names(guards), &target));
                }
                Style::Flat => rules.extend(self.own_sources(guards, &when)),
                Style::Sets => rules.push(Self::leads(&when, &names(guards), "-g RF-STRANGER")),
            }
        }
        rules
    }

    fn own_sources(&self, guards: &[&Guard], when: &Condition) -> Vec<Rule> {
        let own = guards.iter().flat_map(|guard| &guard.addresses);
        let own = own.filter(|address| self.family.has(address));
        let own = own.map(|address| when.clone().address(End::Source, address));
        let mut rules: Vec<Rule> =
            own.map(|when| Self::leads(&when, "OwnAddress", "-g RF-OWN")).collect();
        rules.push(Self::leads(when, "Stranger", "-g RF-STRANGER"));
        rules
    }

    fn source_chain(&mut self, guards: &[&Guard]) {
        let rules = self.own_sources(guards, &Condition::default());
        let title = format!("from {}: its own addresses", names(guards));
        self.add(Table::Raw, &source_name(guards), &title, rules);
    }

    /// What all interfaces share.
    fn shared_sources(&mut self, has_workloads: bool, has_uplinks: bool) {
        if has_workloads {
            let title = "from a workload's own address: not to where no packet goes";
            let rules = self.own_chain();
            self.add(Table::Raw, "RF-OWN", title, rules);
            let title = "from another address: what interfaces ask before they have one";
            let rules = self.stranger();
            self.add(Table::Raw, "RF-STRANGER", title, rules);
            if self.family == Family::V6 {
                let title = "from no address or a link-local one: discovery and nothing else";
                let rules = self.link();
                self.add(Table::Raw, "RF-LINK", title, rules);
            }
        }
        if has_uplinks {
            let rules = self.uplink();
            let title = "from the network: no address of this host or its workloads";
            self.add(Table::Raw, "RF-UPLINK", title, rules);
        }
        let rules = self.martians();
        self.add(Table::Raw, "RF-MARTIAN", "addresses that may not be on a wire", rules);
        if self.family == Family::V6 {
            let rules = self.nobody();
            self.add(Table::Raw, "RF-NOBODY", "from `::`: discovery and nothing else", rules);
        }
    }

    fn own_chain(&self) -> Vec<Rule> {
        let mut rules = self.martian_destinations();
        rules.extend(self.rogue_routers());
        rules
    }

    fn stranger(&self) -> Vec<Rule> {
        let any = Condition::default();
        let mut rules = vec![Self::leads(&any, "Martian", "-j RF-MARTIAN")];
        match self.family {
            Family::V4 => {
                let nobody = any.clone().address(End::Source, "0.0.0.0");
                rules.extend(self.dhcp(&nobody, Dhcp::Client));
            }
            Family::V6 => {
                for source in ["::", "fe80::/10"] {
                    let when = any.clone().address(End::Source, source);
                    rules.push(Self::leads(&when, "Link", "-g RF-LINK"));
                }
            }
        }
        rules.extend(self.refuses(&any, Reason::Spoofed));
        rules
    }

    fn link(&self) -> Vec<Rule> {
        let any = Condition::default();
        let mut rules = self.rogue_routers();
        rules.extend(self.discovery(Routers::Rogue, &any));
        rules.extend(self.dhcp(&any, Dhcp::Client));
        rules.extend(self.refuses(&any, Reason::Spoofed));
        rules
    }

    fn uplink(&mut self) -> Vec<Rule> {
        let any = Condition::default();
        let mut rules = vec![Self::leads(&any, "Martian", "-j RF-MARTIAN")];
        rules.extend(self.discovery(Routers::Trusted, &any));
        rules.extend(self.dhcp(&any, Dhcp::Server));
        if self.style == Style::Sets {
            if let Some(local) = self.local_addresses_set() {
                let when = any.and(&format!("-m set --match-set {local} src"));
                rules.extend(self.refuses(&when, Reason::Spoofed));
            }
        } else {
            for net in cover_all(self.local_addresses(), self.family) {
                let when = any.clone().address(End::Source, words(&net));
                rules.extend(self.refuses(&when, Reason::Spoofed));
            }
        }
        rules
    }

    /// The guards whose interface is known. Where others sit is not: they may be anywhere.
    pub(in crate::backend) fn placed(&self) -> impl Iterator<Item = &'p Guard> {
        self.plan.guards.iter().filter(|guard| !matches!(guard.entry, Entry::Addresses))
    }

    /// The addresses of the host and of its workloads behind interfaces.
    fn local_addresses(&self) -> impl Iterator<Item = &IpAddr> {
        let host = self.plan.host.iter().flat_map(|host| &host.addresses);
        self.placed().flat_map(|guard| &guard.addresses).chain(host)
    }

    /// `is_martian` of [`ringfence_common::decide`].
    fn martians(&self) -> Vec<Rule> {
        let mut rules = self.martian_destinations();
        let from = |source: &str| Condition::default().address(End::Source, source);
        match self.family {
            Family::V4 => {
                for source in ["127.0.0.0/8", "224.0.0.0/4", "255.255.255.255"] {
                    rules.extend(self.refuses(&from(source), Reason::Martian));
                }
                let asks = from("0.0.0.0").and("-p udp --sport 68 --dport 67");
                rules.push(Self::leads(&asks, "AsksForAddress", "-j RETURN"));
                rules.extend(self.refuses(&from("0.0.0.0"), Reason::Martian));
            }
            Family::V6 => {
                for source in ["::1", "::ffff:0:0/96", "ff00::/8"] {
                    rules.extend(self.refuses(&from(source), Reason::Martian));
                }
                rules.push(Self::leads(&from("::"), "Nobody", "-g RF-NOBODY"));
            }
        }
        rules
    }

    fn martian_destinations(&self) -> Vec<Rule> {
        let destinations = match self.family {
            Family::V4 => ["127.0.0.0/8", "0.0.0.0"],
            Family::V6 => ["::/127", "::ffff:0:0/96"],
        };
        let to = destinations.iter();
        let to = to.map(|net| Condition::default().address(End::Destination, net));
        to.flat_map(|when| self.refuses(&when, Reason::Martian)).collect()
    }

    /// Discovery may come from nobody, whatever its hop limit; who reads that comes later.
    fn nobody(&self) -> Vec<Rule> {
        let discovery = NEIGHBOUR.iter().chain(&MULTICAST_LISTENER);
        let when = discovery.map(|kind| self.family.icmp_type(&kind.to_string()));
        let when = when.map(|words| Condition::default().and(&words));
        let mut rules: Vec<Rule> =
            when.map(|when| Self::leads(&when, "Discovery", "-j RETURN")).collect();
        rules.extend(self.refuses(&Condition::default(), Reason::Martian));
        rules
    }

    fn rogue_routers(&self) -> Vec<Rule> {
        if self.family == Family::V4 {
            return Vec::new();
        }
        let when = Condition::default().and(&Self::discovery_words(ROUTER_ADVERTISEMENT, 255));
        self.refuses(&when, Reason::RogueRouter)
    }

    /// Neighbour discovery that passes, and listener discovery where `listeners` holds.
    pub(super) fn discovery(&self, routers: Routers, listeners: &Condition) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.family == Family::V4 {
            return rules;
        }
        let any = Condition::default();
        let mut passes = |when: &Condition, kind: u8, hop_limit: u8, reason| {
            let when = when.clone().and(&Self::discovery_words(kind, hop_limit));
            rules.push(Self::passes(&when, reason));
        };
        if self.is_essential(essential::NEIGHBOUR_DISCOVERY) {
            let is_rogue = |kind: u8| kind == ROUTER_ADVERTISEMENT && routers == Routers::Rogue;
            let kinds = NEIGHBOUR.into_iter().filter(|kind| !is_rogue(*kind));
            kinds.for_each(|kind| passes(&any, kind, 255, Reason::NeighbourDiscovery));
        }
        if self.is_essential(essential::MULTICAST_LISTENER) {
            for kind in MULTICAST_LISTENER {
                passes(listeners, kind, 1, Reason::MulticastListener);
            }
        }
        rules
    }

    /// The hop limit comes first: the match of types drops packets whose header is cut.
    fn discovery_words(kind: u8, hop_limit: u8) -> String {
        format!("-p ipv6-icmp -m hl --hl-eq {hop_limit} -m icmp6 --icmpv6-type {kind}")
    }

    /// DHCP that passes.
    pub(super) fn dhcp(&self, when: &Condition, from: Dhcp) -> Option<Rule> {
        let (client, server) = match self.family {
            Family::V4 => (68, 67),
            Family::V6 => (546, 547),
        };
        let (source, destination) = match from {
            Dhcp::Client => (client, server),
            Dhcp::Server => (server, client),
        };
        let words = format!("-p udp --sport {source} --dport {destination}");
        let when = when.clone().and(&words);
        self.is_essential(essential::DHCP).then(|| Self::passes(&when, Reason::Dhcp))
    }
}

/// The chain of an interface, named after the first endpoint behind it.
fn source_name(guards: &[&Guard]) -> String {
    let first = guards.iter().map(|guard| guard.endpoint).min().unwrap_or_default();
    format!("RF-SRC-{first:08x}")
}

fn names(guards: &[&Guard]) -> String {
    let names: Vec<&str> = guards.iter().map(|guard| guard.name.as_str()).collect();
    listed(&names)
}
