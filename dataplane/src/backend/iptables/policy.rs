//! What policy says, as rules: a line for each prefix and portion of ports.

use ringfence_common::abi::identity::endpoint;
use ringfence_common::abi::policy::{Direction, protocol};
use ringfence_common::verdict::Reason;

use super::addresses::{cover, cover_all, words as address_words};
use super::condition::{Condition, End};
use super::endpoints::{Backward, policy_name, reverse};
use super::services::{Asked, Packing, words as service_words};
use super::writer::{Answer, Style, Who, Writer};
use super::{Rule, Table};
use crate::backend::chains::{Line, Service, Side};

/// Names in the title of a chain that stands for several workloads.
const NAMES: usize = 3;

impl Writer<'_> {
    /// The chain of one direction of a subject.
    pub(super) fn policy_chain(&mut self, subject: u32, direction: Direction) {
        let name = policy_name(subject, direction);
        let Some(side) = self.side(subject, direction) else { return };
        if self.has(Table::Filter, &name) {
            return;
        }
        let title = match direction {
            Direction::Egress => format!("policy: where {} may connect to", self.names(subject)),
            Direction::Ingress => format!("policy: who may connect to {}", self.names(subject)),
        };
        let answers = self.answers(side, (subject, direction), direction, Asked::Forward);
        let rules = answers.iter().flat_map(|answer| self.decides(answer)).collect();
        self.add(Table::Filter, &name, &title, rules);
    }

    /// What the side says, its default last, about packets of direction `to`; the side may be that
    /// of the other direction.
    fn answers(
        &mut self,
        side: &Side,
        of: (u32, Direction),
        to: Direction,
        asked: Asked,
    ) -> Vec<Answer> {
        if self.style == Style::Sets {
            self.set_answers(side, of, End::peer(to), asked)
        } else {
            self.prefix_answers(side, End::peer(to), asked, &Condition::default())
        }
    }

    /// What the side says about packets that are known by `at` and have their peer at `peer`.
    pub(super) fn prefix_answers(
        &self,
        side: &Side,
        peer: End,
        asked: Asked,
        at: &Condition,
    ) -> Vec<Answer> {
        let mut answers = Vec::new();
        // Rules are asked in order, so later ones may run over the peers of earlier ones.
        let side = side.widened();
        for line in side.lines.iter().filter(|line| self.is_asked(line, asked)) {
            let conditions = self.conditions(line, peer, asked, at);
            answers.extend(conditions.into_iter().map(|when| self.answer(when, line.decided)));
        }
        answers.push(self.answer(at.clone(), side.default));
        answers
    }

    /// What packets of a line look like whose peer stands at `peer`.
    pub(in crate::backend) fn conditions(
        &self,
        line: &Line,
        peer: End,
        asked: Asked,
        at: &Condition,
    ) -> Vec<Condition> {
        let packing = match self.style {
            Style::Flat => Packing::Single,
            Style::Structured | Style::Sets => Packing::Multiport,
        };
        let services = service_words(&line.service, self.family, asked, packing);
        let with_service = |when: &Condition| -> Vec<Condition> {
            services.iter().map(|words| when.clone().and(words)).collect()
        };
        match cover(&line.peers, self.family) {
            None => with_service(at),
            Some(nets) => {
                let peers = nets.iter().map(|net| at.clone().address(peer, address_words(net)));
                peers.flat_map(|when| with_service(&when)).collect()
            }
        }
    }

    /// The chain that asks about strays of `direction` as answers: the other direction's lines
    /// with the ends exchanged.
    pub(super) fn backward_chain(
        &mut self,
        who: Who<'_>,
        direction: Direction,
        backward: Backward,
        name: &str,
    ) {
        let Some(side) = self.side(who.subject, reverse(direction)) else { return };
        let mut rules = self.host_backward(who, direction, backward);
        let of = (who.subject, reverse(direction));
        for answer in self.answers(side, of, direction, Asked::Backward) {
            match backward {
                Backward::Both => rules.extend(self.decides(&answer)),
                Backward::PickUp => rules.push(pick_up_rule(who, direction, answer)),
            }
        }
        let title = match backward {
            Backward::Both => "policy: answers, where nobody saw the question",
            Backward::PickUp => "policy: connections that are older than these rules, for a while",
        };
        let title = format!("{title}, of {}", self.names(who.subject));
        self.add(Table::Filter, name, &title, rules);
        if backward == Backward::PickUp {
            self.policy_chain(who.subject, direction);
        }
    }

    /// Between the host and its workloads strays count as the host's connections, which it always
    /// may open (semantics 8).
    fn host_backward(&self, who: Who<'_>, direction: Direction, backward: Backward) -> Vec<Rule> {
        if !self.host_reaches_workloads() {
            return Vec::new();
        }
        match (who.is_host(), direction) {
            (false, Direction::Egress) => {
                let to_host = Condition::default().and("-m addrtype --dst-type LOCAL");
                vec![Self::passes(&to_host, Reason::HostToWorkload)]
            }
            (true, Direction::Ingress) => self.of_workloads(End::Source),
            // One orientation is enough, and the host's always is allowed.
            (true, Direction::Egress) if backward == Backward::PickUp => {
                self.of_workloads(End::Destination)
            }
            _ => Vec::new(),
        }
    }

    /// Rules of the host for packets that have a workload of this host at `end`: it always may
    /// talk to them.
    pub(super) fn of_workloads(&self, end: End) -> Vec<Rule> {
        let workloads = self.plan.guards.iter().flat_map(|guard| &guard.addresses);
        let nets = cover_all(workloads, self.family);
        let when = nets.iter().map(|net| Condition::default().address(end, address_words(net)));
        when.map(|when| Self::passes(&when, Reason::HostToWorkload)).collect()
    }

    /// Whether packets that are asked about so can be of that line: strays are TCP or answers of
    /// ICMP.
    pub(in crate::backend) fn is_asked(&self, line: &Line, asked: Asked) -> bool {
        match line.service {
            Service::Everything => true,
            Service::Protocol(number) | Service::Ports { protocol: number, .. } => {
                asked == Asked::Forward || [protocol::TCP, self.family.icmp()].contains(&number)
            }
        }
    }

    /// Whose policy it is.
    fn names(&self, subject: u32) -> String {
        let guards = self.plan.guards.iter().filter(|guard| guard.subject == subject);
        let host = self.plan.host.iter().filter(|host| host.subject == subject);
        let names: Vec<&str> =
            guards.map(|guard| guard.name.as_str()).chain(host.map(|h| h.name.as_str())).collect();
        listed(&names)
    }
}

/// The names, or the first of them and how many more there are: the tools take lines of 10,240
/// bytes.
pub(super) fn listed(names: &[&str]) -> String {
    match names.len() {
        0..=NAMES => names.join(", "),
        count => format!("{} and {} more", names[..NAMES].join(", "), count - NAMES),
    }
}

/// One orientation is enough: where this one refuses, the direction's own is asked.
fn pick_up_rule(who: Who<'_>, direction: Direction, answer: Answer) -> Rule {
    let Answer { when, allows, about, .. } = answer;
    let forward = policy_name(who.subject, direction);
    let target = if allows { "-j RETURN".to_owned() } else { format!("-g {forward}") };
    Rule { matches: when.to_string(), target, about }
}

impl Who<'_> {
    pub(super) fn is_host(&self) -> bool {
        self.endpoint == endpoint::HOST
    }
}
