//! All rules in the order in which they are asked.
//!
//! 1. Tiers, in the order of [`Tier`].
//! 2. Within a tier, priorities, lower first.
//! 3. At the same priority, policy by policy, by name; that order decides nothing but which of
//!    the rules that say the same is named as the reason.
//! 4. Within a policy, rules in document order: what the first one that matches says, the policy
//!    says. Rules that log say nothing, so their position among the others does not matter.
//!
//! Of what the policies of one priority say, deny is stronger than allow and allow than pass
//! (semantics 2: at the same place deny wins; and a decision is stronger than leaving it to
//! others).
//!
//! After the last rule of a tier, a subject that a policy of this tier isolates is refused what
//! nothing decided, unless a rule passed it on to the next tier. After the last tier, what nothing
//! decided is allowed.

use std::collections::BTreeMap;

use super::identities::{Identities, PeerIndex};
use super::number;
use super::select::Index;
use super::services::{Classes, Services, named};
use super::tables::RuleDescription;
use crate::model::{self, Action, Direction, Peers, Policy, Protocol, Tier};

/// Where a decision was made: rules of one place decide alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// By rules of this tier, priority and action. Where the rules of a policy do not all say
    /// the same, that one matches does not tell that it decided; so such a rule is a place of
    /// its own, by its number.
    Rule(Tier, u32, Action, Option<u32>),
    /// At the end of a tier: isolated, and nothing allowed it.
    Isolated,
    /// After the last tier.
    Open,
}

/// A rule with everything resolved that is the same for all its subjects.
pub(super) struct Rule<'a> {
    /// Its number.
    pub(super) number: u32,
    /// Its tier.
    pub(super) tier: Tier,
    /// Its policy's priority there.
    pub(super) priority: u32,
    /// Its policy's position among all.
    pub(super) policy: usize,
    /// Its place.
    pub(super) place: Place,
    /// What it does.
    pub(super) action: Action,
    /// Whom it is about; `None` for everyone.
    pub(super) peers: Option<Vec<PeerIndex>>,
    /// The flows it matches whoever its subject is: peers, `None` for everyone, and services.
    pub(super) matches: Vec<(Option<Vec<PeerIndex>>, Services)>,
    /// Ingress: the ports that it matches, for `peers`, where its subject has ports of these names.
    pub(super) own_ports: Vec<(Protocol, &'a str)>,
}

/// The rules of all policies.
pub(super) struct Rules<'a> {
    /// In the order in which they are asked.
    pub(super) list: Vec<Rule<'a>>,
    /// By direction, and there by policy: positions in `list`.
    pub(super) of_policy: [Vec<Vec<usize>>; 2],
    /// For the tables.
    pub(super) described: BTreeMap<u32, RuleDescription>,
}

impl<'a> Rules<'a> {
    /// The rules of `policies`, which are sorted by name.
    pub(super) fn of(
        policies: &[&'a Policy],
        identities: &Identities,
        index: &mut Index<'a>,
        classes: &Classes,
    ) -> Self {
        let mut order = Vec::new();
        for (policy, of) in policies.iter().enumerate() {
            for direction in [Direction::Ingress, Direction::Egress] {
                for position in 0..of.rules(direction).len() {
                    order.push((of.tier, of.priority, policy, direction, position));
                }
            }
        }
        order.sort_unstable();
        let name =
            |policy: usize, direction, position| policies[policy].rule_name(direction, position);
        // Policies are sorted by name, so this is the order of the rules' names.
        let numbers = number::number(
            "rule",
            order.iter().map(|(_, _, policy, direction, i)| (*policy, *direction, *i)).collect(),
            |(policy, direction, i), hash| hash.text(&name(*policy, *direction, *i).to_string()),
        );
        let mut rules = Self {
            list: Vec::with_capacity(order.len()),
            of_policy: [vec![Vec::new(); policies.len()], vec![Vec::new(); policies.len()]],
            described: BTreeMap::new(),
        };
        for (tier, priority, policy, direction, position) in order {
            let rule = &policies[policy].rules(direction)[position];
            let number = numbers[&(policy, direction, position)];
            rules.of_policy[direction as usize][policy].push(rules.list.len());
            let peers = match &rule.peers {
                Peers::Everyone => None,
                Peers::Any(peers) => Some(index.peers(peers)),
            };
            let mut matches = Vec::new();
            let services = Services::of(&rule.ports, classes);
            if !services.is_empty() {
                matches.push((peers.clone(), services));
            }
            let mut own_ports = Vec::new();
            match direction {
                Direction::Ingress => own_ports.extend(named(&rule.ports)),
                Direction::Egress => {
                    let ports = peers_ports(rule, peers.as_deref(), identities).into_iter();
                    matches.extend(ports.map(|((protocol, port), peers)| {
                        (Some(peers), Services::port(protocol, port, classes))
                    }));
                }
            }
            rules.list.push(Rule {
                number,
                tier,
                priority,
                policy,
                place: Place::Rule(
                    tier,
                    priority,
                    rule.action,
                    says_several(policies[policy], direction).then_some(number),
                ),
                action: rule.action,
                peers,
                matches,
                own_ports,
            });
            let description = RuleDescription {
                name: name(policy, direction, position).to_string(),
                origin: rule.origin.clone(),
            };
            rules.described.insert(number, description);
        }
        rules
    }
}

/// Whether the rules of a policy do not all say the same.
fn says_several(policy: &Policy, direction: Direction) -> bool {
    let rules = policy.rules(direction).iter().map(|rule| rule.action);
    let mut said = rules.filter(|action| *action != Action::Log);
    said.next().is_some_and(|first| said.any(|action| action != first))
}

/// The numbers that the named ports of an egress rule stand for, and for whom of its peers. Only
/// workloads have named ports, so an address of nobody is never among them.
fn peers_ports(
    rule: &model::Rule,
    peers: Option<&[PeerIndex]>,
    identities: &Identities,
) -> BTreeMap<(Protocol, u16), Vec<PeerIndex>> {
    let mut ports: BTreeMap<_, Vec<PeerIndex>> = BTreeMap::new();
    for (protocol, name) in named(&rule.ports) {
        let mut add = |peer: PeerIndex| {
            let subject = identities.peers[peer].subject;
            let numbers = subject
                .into_iter()
                .flat_map(|subject| identities.subjects[subject].ports_named(protocol, name));
            numbers.for_each(|port| ports.entry((protocol, port)).or_default().push(peer));
        };
        match peers {
            Some(peers) => peers.iter().copied().for_each(&mut add),
            None => (0..identities.peers.len()).for_each(&mut add),
        }
    }
    ports
}
