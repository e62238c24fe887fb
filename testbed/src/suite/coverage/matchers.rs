//! What the rules say that decide a probe.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ringfence_common::abi::policy::protocol;
use ringfence_dataplane::model::{
    Action, Direction, Inventory, NamespaceScope, Operator, Peer, Peers, Policy, PortMatch, Ports,
    Rule, RuleName, Selector, Tier,
};
use ringfence_dataplane::oracle::{Flow, Oracle, Reason, SideTrace};

use crate::case::{Case, Probe};

/// What rules of `tier` that do `action` are called in the table.
pub fn tier_name(tier: Tier, action: Action) -> String {
    let tier = match tier {
        Tier::Failsafe => "failsafe",
        Tier::Admin => "admin",
        Tier::Developer => "developer",
        Tier::Baseline => "baseline",
    };
    let action = match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Pass => "pass",
        Action::Log => "log",
    };
    format!("tier {tier} {action}")
}

/// The matchers of the rules that decide either side of `probe`, with the side.
pub fn matchers_of(case: &Case, probe: &Probe) -> Vec<(Direction, String)> {
    let mut found = BTreeSet::new();
    for (source, destination) in &probe.pairs {
        let flow = Flow {
            source: *source,
            destination: *destination,
            protocol: probe.service.protocol(),
            port: probe.service.port(),
        };
        let trace = Oracle::new(&case.policies).trace(&flow);
        for (direction, side, peer) in [
            (Direction::Egress, &trace.egress, *destination),
            (Direction::Ingress, &trace.ingress, *source),
        ] {
            let answer = match direction {
                Direction::Egress => &trace.answer.egress,
                Direction::Ingress => &trace.answer.ingress,
            };
            let asked = Asked { case, flow, direction, peer };
            let mut names = asked.excepted(side, answer.reason);
            for rule in &answer.rules {
                names.extend(asked.of_rule(rule));
            }
            let own = if direction == Direction::Egress { *source } else { *destination };
            let subject = case.policies.inventory.owner(own);
            if !answer.rules.is_empty() && subject.is_some_and(|subject| subject.host) {
                names.push(super::HOST.to_owned());
            }
            names.extend(passed(side));
            found.extend(names.into_iter().map(|name| (direction, name)));
        }
    }
    found.into_iter().collect()
}

/// One side of a flow.
struct Asked<'c> {
    case: &'c Case,
    flow: Flow,
    direction: Direction,
    peer: IpAddr,
}

impl Asked<'_> {
    fn inventory(&self) -> &Inventory {
        &self.case.policies.inventory
    }

    fn find(&self, name: &RuleName) -> Option<(&Policy, &Rule)> {
        let mut policies = self.case.policies.policies.iter();
        let policy = policies.find(|policy| policy.name == name.policy)?;
        Some((policy, policy.rules(self.direction).get(name.index)?))
    }

    fn of_rule(&self, name: &RuleName) -> Vec<String> {
        let Some((policy, rule)) = self.find(name) else { return Vec::new() };
        let mut names = vec![tier_name(policy.tier, rule.action)];
        let mut add = |name: &str| names.push(name.to_owned());
        add(match self.flow.protocol {
            protocol::TCP => "protocol TCP",
            protocol::UDP => "protocol UDP",
            protocol::SCTP => "protocol SCTP",
            protocol::ICMP => "protocol ICMP",
            protocol::ICMPV6 => "protocol ICMPv6",
            _ => "protocol other",
        });
        add(if self.peer.is_ipv4() { "family IPv4" } else { "family IPv6" });
        operators(&policy.subjects, &mut add);
        self.peers(rule, &mut add);
        self.services(rule, &mut add);
        names
    }

    fn peers(&self, rule: &Rule, add: &mut impl FnMut(&str)) {
        let Peers::Any(items) = &rule.peers else { return add("peer everyone") };
        for item in items {
            match item {
                Peer::Block(block) if block.contains(self.peer) => add(match self.peer {
                    IpAddr::V4(_) => "peer ipBlock IPv4",
                    IpAddr::V6(_) => "peer ipBlock IPv6",
                }),
                Peer::Block(_) => {}
                Peer::Workloads { namespaces, workloads } => {
                    let Some(owner) = self.inventory().owner(self.peer) else { continue };
                    let Some(namespace) = self.inventory().namespace(&owner.name.namespace) else {
                        continue;
                    };
                    let is_there = namespaces.contains(namespace.name(), namespace.labels());
                    if !is_there || !workloads.matches(&owner.labels) {
                        continue;
                    }
                    operators(workloads, add);
                    match namespaces {
                        NamespaceScope::Named(_) => add("peer podSelector"),
                        NamespaceScope::Selected(selector) => {
                            operators(selector, add);
                            add(if workloads.is_everything() {
                                "peer namespaceSelector"
                            } else {
                                "peer namespaceSelector and podSelector"
                            });
                        }
                    }
                }
            }
        }
    }

    fn services(&self, rule: &Rule, add: &mut impl FnMut(&str)) {
        let Ports::Any(items) = &rule.ports else { return add("service none") };
        let Some(port) = self.flow.port else { return };
        for item in items {
            match item {
                PortMatch::Every(known) if known.number() == self.flow.protocol => {
                    add("service protocol");
                }
                PortMatch::Range(known, range)
                    if known.number() == self.flow.protocol && range.contains(port) =>
                {
                    let is_one = range.first() == range.last();
                    add(if is_one { "service number" } else { "service endPort" });
                }
                PortMatch::Named(known, name) if known.number() == self.flow.protocol => {
                    let destination = self.inventory().owner(self.flow.destination);
                    let mut ports = destination.iter().flat_map(|owner| &owner.ports);
                    let is_it = ports.any(|named| {
                        named.name == *name && named.protocol == *known && named.port == port
                    });
                    if is_it {
                        add("service name");
                    }
                }
                _ => {}
            }
        }
    }

    /// Blocks that would have allowed what was refused, had they no exception.
    fn excepted(&self, side: &SideTrace, reason: Reason) -> Vec<String> {
        if reason != Reason::NoRule {
            return Vec::new();
        }
        let asked = side.policies.iter().flat_map(|policy| &policy.rules);
        let rules = asked.filter(|rule| rule.ports_match && !rule.peers_match);
        let found = rules.filter_map(|rule| self.find(&rule.rule)).any(|(_, rule)| {
            let Peers::Any(items) = &rule.peers else { return false };
            items.iter().any(|item| {
                let Peer::Block(block) = item else { return false };
                block.except().iter().any(|net| net.contains(&self.peer))
            })
        });
        let name = match self.peer {
            IpAddr::V4(_) => "peer ipBlock except IPv4",
            IpAddr::V6(_) => "peer ipBlock except IPv6",
        };
        if found { vec![name.to_owned()] } else { Vec::new() }
    }
}

/// Rules that pass and match; their tier is not asked any further.
fn passed(side: &SideTrace) -> Vec<String> {
    let mut names = Vec::new();
    for policy in &side.policies {
        let mut rules = policy.rules.iter().filter(|rule| rule.matches());
        if rules.any(|rule| rule.action == Action::Pass) {
            names.push(tier_name(policy.tier, Action::Pass));
        }
    }
    names
}

fn operators(selector: &Selector, add: &mut impl FnMut(&str)) {
    for requirement in selector.requirements() {
        add(match requirement.operator {
            Operator::In(_) => "operator In",
            Operator::NotIn(_) => "operator NotIn",
            Operator::Exists => "operator Exists",
            Operator::DoesNotExist => "operator DoesNotExist",
        });
    }
}
