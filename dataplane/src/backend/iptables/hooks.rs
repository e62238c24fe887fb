//! What the kernel's chains lead to: known connections first, then who is asked.
//!
//! A forwarded packet meets the egress side of the workload that it comes from and then the
//! ingress side of the one that it is for; a packet for the host the sender's egress side and then
//! the host's ingress side; one of the host's own the other way round. What passes one side
//! returns and meets the next.

use std::collections::BTreeMap;

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;

use super::condition::{Condition, End};
use super::source::{Dhcp, Routers};
use super::writer::{Style, Who, Writer};
use super::{Family, Rule, Table};
use crate::backend::chains::{Entry, Guard, HostGuard};

/// The chain for packets between interfaces.
const FORWARD: &str = "RINGFENCE-FORWARD";
/// The chain for packets to this host.
const INPUT: &str = "RINGFENCE-INPUT";
/// The chain for packets of this host.
const OUTPUT: &str = "RINGFENCE-OUTPUT";

impl<'p> Writer<'p> {
    /// The chains of the three hooks of the filter table, and those that hold them together.
    pub(super) fn hooks(&mut self) {
        let hooks = [
            (FORWARD, "packets between interfaces", self.forward()),
            (INPUT, "packets for this host", self.input()),
            (OUTPUT, "packets of this host", self.output()),
        ];
        for (name, title, rules) in hooks {
            if !rules.is_empty() {
                let mut all: Vec<Rule> = self.loopback(name).into_iter().collect();
                all.extend(self.known(name == FORWARD));
                all.extend(rules);
                self.add(Table::Filter, name, title, all);
            }
        }
        if self.style == Style::Flat {
            self.flat_chains();
        } else {
            self.behind_chains();
        }
    }

    /// The loopback is never filtered; only addresses could be met there.
    fn loopback(&self, chain: &str) -> Option<Rule> {
        let any = Condition::default();
        let on_loopback = match chain {
            INPUT => any.arrives_on("lo"),
            OUTPUT => any.leaves_by("lo"),
            _ => return None,
        };
        let is_met = self.knows_by_address();
        is_met.then(|| Self::leads(&on_loopback, "Loopback", "-j RETURN"))
    }

    /// What belongs to a known connection, and what hosts on a link say to each other.
    fn known(&self, is_forwarded: bool) -> Vec<Rule> {
        let established = Condition::default().and("-m conntrack --ctstate ESTABLISHED");
        let mut rules = vec![Self::passes(&established, Reason::Established)];
        if self.is_essential(essential::RELATED_ERRORS) {
            let related = self.related();
            rules.extend(related.iter().map(|when| Self::passes(when, Reason::Related)));
        }
        let any = Condition::default();
        // The kernel counts the hop limit down before it forwards: what has 1 left there may have
        // come with 2 for someone behind this router. Groups are what listeners speak to.
        let listeners = if is_forwarded { any.address(End::Destination, "ff00::/8") } else { any };
        rules.extend(self.discovery(Routers::Trusted, &listeners));
        rules
    }

    /// ICMP errors about known connections. The kernel also relates redirects, which are no
    /// errors, and whatever its helpers expect. The state comes first: the match of types drops
    /// packets whose header is cut, and those of others are not ours to drop.
    pub(super) fn related(&self) -> Vec<Condition> {
        let condition = |icmp: &str, types: String| {
            let words = format!("-p {icmp} -m conntrack --ctstate RELATED {types}");
            Condition::default().and(&words)
        };
        match self.family {
            Family::V4 => vec![condition("icmp", "-m icmp ! --icmp-type 5".to_owned())],
            Family::V6 => {
                let errors = self.family.errors().iter();
                let types = errors.map(|kind| format!("-m icmp6 --icmpv6-type {kind}"));
                types.map(|types| condition("ipv6-icmp", types)).collect()
            }
        }
    }

    fn forward(&self) -> Vec<Rule> {
        let mut rules = self.senders();
        rules.extend(self.receivers());
        rules
    }

    fn input(&self) -> Vec<Rule> {
        let any = Condition::default();
        let Some(host) = &self.plan.host else { return self.senders() };
        let target = self.target(Who::from(host), Direction::Ingress);
        let asks = self.side(host.subject, Direction::Ingress).is_some();
        let interfaces = self.workload_interfaces();
        let host_dhcp = |when: &Condition, from| self.dhcp(when, from).filter(|_| asks);
        let mut rules = Vec::new();
        let to_host = |when: &Condition, verb: &str| {
            Self::leads(when, &host.name, &format!("{verb} {target}"))
        };
        let uplinks = |rules: &mut Vec<Rule>| {
            for uplink in self.uplinks(Condition::arrives_on) {
                rules.extend(host_dhcp(&uplink, Dhcp::Server));
                rules.push(to_host(&uplink, "-g"));
            }
        };
        // Senders that are known by address may come in by an uplink, and are asked before.
        let uplinks_first = !host.uplinks.is_empty() && !self.knows_by_address();
        if uplinks_first {
            uplinks(&mut rules);
            rules.extend(host_dhcp(&any, Dhcp::Client));
        } else {
            let workloads = interfaces.keys().map(|name| any.clone().arrives_on(name));
            rules.extend(workloads.filter_map(|when| host_dhcp(&when, Dhcp::Client)));
        }
        rules.extend(self.senders());
        let workloads = interfaces.keys().map(|name| any.clone().arrives_on(name));
        rules.extend(workloads.map(|when| to_host(&when, "-g")));
        if !uplinks_first {
            uplinks(&mut rules);
        }
        rules
    }

    fn output(&self) -> Vec<Rule> {
        let any = Condition::default();
        let mut to_uplinks = Vec::new();
        let mut rules = Vec::new();
        let host = self.plan.host.as_ref();
        let from_host = host.map(|host| (host, self.target(Who::from(host), Direction::Egress)));
        if let Some((host, target)) = &from_host {
            let asks = self.side(host.subject, Direction::Egress).is_some();
            for uplink in self.uplinks(Condition::leaves_by) {
                to_uplinks.extend(self.dhcp(&uplink, Dhcp::Client).filter(|_| asks));
                to_uplinks.push(Self::leads(&uplink, &host.name, &format!("-j {target}")));
            }
        }
        if self.host_reaches_workloads() {
            // Not everything that leaves by a workload's interface is for the workload.
            if let Some((host, target)) = from_host.filter(|(host, _)| self.asks_about(host)) {
                rules.extend(self.host_by_interface(host, &target));
            }
            rules.extend(self.host_to_workloads());
            rules.extend(to_uplinks);
            return rules;
        }
        let names_uplinks = host.is_some_and(|host| !host.uplinks.is_empty());
        if names_uplinks {
            rules.append(&mut to_uplinks);
        }
        if let Some((host, target)) = &from_host {
            rules.extend(self.host_by_interface(host, target));
        }
        rules.extend(self.receivers());
        if !names_uplinks {
            let workloads = self.workload_interfaces();
            let leave = workloads.keys().map(|name| any.clone().leaves_by(name));
            let leave = leave.filter(|_| !to_uplinks.is_empty());
            rules.extend(leave.map(|when| Self::leads(&when, "Done", "-j RETURN")));
            rules.append(&mut to_uplinks);
        }
        rules
    }

    /// What the host sends by its workloads' interfaces, to the chain `target`.
    fn host_by_interface(&self, host: &HostGuard, target: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        for interface in self.workload_interfaces().keys() {
            let when = Condition::default().leaves_by(interface);
            rules.extend(self.dhcp(&when, Dhcp::Server));
            rules.push(Self::leads(&when, &host.name, &format!("-j {target}")));
        }
        rules
    }

    /// Whether policy says anything about the host.
    fn asks_about(&self, host: &HostGuard) -> bool {
        let mut directions = [Direction::Egress, Direction::Ingress].into_iter();
        host.isolated || directions.any(|one| self.side(host.subject, one).is_some())
    }

    /// Whether some workload is known by its addresses alone, on whatever interface.
    fn knows_by_address(&self) -> bool {
        self.plan.guards.iter().any(|guard| guard.entry == Entry::Addresses)
    }

    /// Who sends it.
    fn senders(&self) -> Vec<Rule> {
        if self.style == Style::Flat {
            let has_rules = !self.plan.guards.is_empty();
            let all = Self::leads(&Condition::default(), "Senders", "-j RF-OUT");
            return has_rules.then_some(all).into_iter().collect();
        }
        let mut rules = Vec::new();
        for guard in &self.plan.guards {
            let target = self.target(Who::from(guard), Direction::Egress);
            let ways = self.sends(guard).into_iter();
            rules.extend(ways.map(|at| Self::leads(&at, &guard.name, &format!("-j {target}"))));
        }
        rules
    }

    /// Whom it is for.
    fn receivers(&self) -> Vec<Rule> {
        if self.style == Style::Flat {
            let has_rules = !self.plan.guards.is_empty();
            let all = Self::leads(&Condition::default(), "Receivers", "-j RF-IN");
            return has_rules.then_some(all).into_iter().collect();
        }
        let mut rules = Vec::new();
        for guard in self.plan.guards.iter().filter(|guard| !is_shared(guard)) {
            let target = self.target(Who::from(guard), Direction::Ingress);
            let ways = self.gets(guard).into_iter();
            rules.extend(ways.map(|at| Self::leads(&at, &guard.name, &format!("-j {target}"))));
        }
        for (interface, guards) in self.shared_interfaces() {
            let when = Condition::default().leaves_by(interface);
            let target = format!("-j {}", behind_name(&guards));
            rules.push(Self::leads(&when, "Behind", &target));
        }
        rules
    }

    /// The host to its workloads (semantics 8): only what belongs to no connection is refused.
    fn host_to_workloads(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for guard in &self.plan.guards {
            let target = format!("-g {}", self.by_host_name(guard));
            let ways = self.gets(guard).into_iter();
            rules.extend(ways.map(|at| Self::leads(&at, &guard.name, &target)));
        }
        for interface in self.shared_interfaces().keys() {
            rules.extend(self.unknown_endpoint(&Condition::default().leaves_by(interface)));
        }
        rules
    }

    /// What is for nobody that is known behind a shared interface.
    pub(super) fn unknown_endpoint(&self, when: &Condition) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.dhcp(when, Dhcp::Server).into_iter().collect();
        rules.extend(self.refuses(when, Reason::UnknownEndpoint));
        rules
    }

    /// The guards behind each interface that has several.
    pub(super) fn shared_interfaces(&self) -> BTreeMap<&'p str, Vec<&'p Guard>> {
        let mut interfaces = self.workload_interfaces();
        interfaces.retain(|_, guards| guards.iter().any(|guard| is_shared(guard)));
        interfaces
    }

    /// Whom a packet for a shared interface is for.
    fn behind_chains(&mut self) {
        let mut chains = Vec::new();
        for (interface, guards) in self.shared_interfaces() {
            let mut rules = Vec::new();
            for guard in &guards {
                let target = self.target(Who::from(*guard), Direction::Ingress);
                for address in guard.addresses.iter().filter(|one| self.family.has(one)) {
                    let when = Condition::default().address(End::Destination, address);
                    rules.push(Self::leads(&when, &guard.name, &format!("-g {target}")));
                }
            }
            rules.extend(self.unknown_endpoint(&Condition::default()));
            chains.push((behind_name(&guards), format!("to those behind {interface}"), rules));
        }
        for (name, title, rules) in chains {
            self.add(Table::Filter, &name, &title, rules);
        }
    }
}

pub(super) fn is_shared(guard: &Guard) -> bool {
    matches!(guard.entry, Entry::Shared(_))
}

/// The chain of an interface, named after the first endpoint behind it.
fn behind_name(guards: &[&Guard]) -> String {
    let first = guards.iter().map(|guard| guard.endpoint).min().unwrap_or_default();
    format!("RF-BEHIND-{first:08x}")
}
