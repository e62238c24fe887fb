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
use super::numbers::number;
use super::select::Index;
use super::services::{Services, named};
use super::tables::RuleDescription;
use crate::model::{self, Action, Direction, Peers, Policy, PolicyName, Protocol, RuleName, Tier};

/// The numbers of a policy's first rules of one direction, in the order of the document, where no
/// other policy has rules. Chains ask rules in the order of their numbers.
#[must_use]
pub fn rule_numbers(policy: &PolicyName, direction: Direction, rules: usize) -> Vec<u32> {
    let name = |index| RuleName { policy: policy.clone(), direction, index }.to_string();
    let names: Vec<(usize, String)> = (0..rules).map(|index| (index, name(index))).collect();
    number("rule", &names, |(_, name), hash| hash.text(name))
}

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
#[derive(Debug)]
pub(super) struct Rule {
    /// Its number.
    pub(super) number: u32,
    /// Its tier.
    pub(super) tier: Tier,
    /// Its policy's priority there.
    pub(super) priority: u32,
    /// Which policy's it is.
    pub(super) policy: usize,
    /// Its place.
    pub(super) place: Place,
    /// What it does.
    pub(super) action: Action,
    /// Whom it is about; `None` for everyone.
    pub(super) peers: Option<Vec<PeerIndex>>,
    /// The services that it matches, for `peers`, whoever the destination is.
    pub(super) services: Services,
    /// Egress: the ports that its named ports stand for, each with the peers that have it.
    pub(super) peer_ports: BTreeMap<(Protocol, u16), Vec<PeerIndex>>,
    /// Ingress: the ports that it matches, for `peers`, where its subject has ports of these names.
    pub(super) own_ports: Vec<(Protocol, String)>,
}

impl Rule {
    /// The rule at a position among those of `policy`, before anyone is known.
    pub(super) fn new(
        (policy, of): (usize, &Policy),
        direction: Direction,
        rule: &model::Rule,
        number: u32,
        says_several: bool,
    ) -> Self {
        let own_ports = match direction {
            Direction::Ingress => {
                named(&rule.ports).map(|(protocol, name)| (protocol, name.to_owned())).collect()
            }
            Direction::Egress => Vec::new(),
        };
        Self {
            number,
            tier: of.tier,
            priority: of.priority,
            policy,
            place: place(of.tier, of.priority, rule.action, says_several.then_some(number)),
            action: rule.action,
            peers: None,
            services: Services::of(&rule.ports),
            peer_ports: BTreeMap::new(),
            own_ports,
        }
    }
}

/// The place of a rule; `number` is its own where the rules of its policy do not all say the same.
pub(super) fn place(tier: Tier, priority: u32, action: Action, number: Option<u32>) -> Place {
    Place::Rule(tier, priority, action, number)
}

/// The rules of all policies.
pub(super) struct Rules {
    /// In the order in which they are asked.
    pub(super) list: Vec<Rule>,
    /// By direction, and there by policy: positions in `list`.
    pub(super) of_policy: [Vec<Vec<usize>>; 2],
    /// For the tables.
    pub(super) described: BTreeMap<u32, RuleDescription>,
}

impl Rules {
    /// The rules of `policies`, which are sorted by name.
    pub(super) fn of<'a>(
        policies: &[&'a Policy],
        identities: &Identities,
        index: &mut Index<'a>,
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
        // Policies are sorted by name, so the order of places is that of the rules' names.
        let names: Vec<_> = order
            .iter()
            .map(|(_, _, policy, direction, position)| {
                let name = policies[*policy].rule_name(*direction, *position).to_string();
                ((*policy, *direction, *position), name)
            })
            .collect();
        let numbers = number("rule", &names, |(_, name), hash| hash.text(name));
        let mut rules = Self {
            list: Vec::with_capacity(order.len()),
            of_policy: [vec![Vec::new(); policies.len()], vec![Vec::new(); policies.len()]],
            described: BTreeMap::new(),
        };
        let several: Vec<[bool; 2]> = policies
            .iter()
            .map(|policy| [Direction::Ingress, Direction::Egress].map(|d| says_several(policy, d)))
            .collect();
        for (((policy, direction, position), name), number) in names.into_iter().zip(numbers) {
            let source = &policies[policy].rules(direction)[position];
            rules.of_policy[direction as usize][policy].push(rules.list.len());
            let several = several[policy][direction as usize];
            let of = (policy, policies[policy]);
            let mut rule = Rule::new(of, direction, source, number, several);
            rule.peers = match &source.peers {
                Peers::Everyone => None,
                Peers::Any(peers) => Some(index.peers(peers)),
            };
            if direction == Direction::Egress {
                rule.peer_ports = peers_ports(source, rule.peers.as_deref(), identities);
            }
            rules.list.push(rule);
            let description = RuleDescription { name, origin: source.origin.clone() };
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
            let all = subject.into_iter().flat_map(|subject| &identities.subjects[subject].ports);
            for port in all.filter(|port| port.is(protocol, name)) {
                ports.entry((protocol, port.number)).or_default().push(peer);
            }
        };
        match peers {
            Some(peers) => peers.iter().copied().for_each(&mut add),
            None => (0..identities.peers.len()).for_each(&mut add),
        }
    }
    ports
}
