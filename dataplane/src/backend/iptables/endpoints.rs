//! What an endpoint's packets meet: what is essential, what opens nothing, then policy.
//!
//! What belongs to no connection and opens none is a *stray*. The kernel calls some of them INVALID
//! and cannot say why: a rule for those stands for every reason that the tables have for them. Of
//! the others, an isolated endpoint takes none. For one that is not, policy has to allow a stray in
//! both orientations: the direction's own chain is asked, and before it the backward one, which has
//! the other direction's lines with the ends exchanged (`unasked` in [`ringfence_common::decide`]).
//! While older connections are picked up, one orientation is enough: the chain for that leads on to
//! the direction's own where the other orientation refuses.

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::{Direction, protocol};
use ringfence_common::verdict::Reason;

use super::condition::{Condition, End};
use super::hooks::is_shared;
use super::services::Asked;
use super::source::Dhcp;
use super::writer::{Style, Who, Writer};
use super::{Rule, Table};
use crate::backend::chains::Guard;

/// TCP that opens no connection.
const MID_STREAM: &str = "-p tcp ! --tcp-flags SYN,ACK SYN";
/// What the kernel takes for the first packet of a connection, as it does with those under way.
const NEW: &str = "-m conntrack --ctstate NEW";

/// UDP-Lite (IANA).
const UDP_LITE: u8 = 136;

/// Chains that are the same for everyone: strays of every endpoint, and of isolated ones.
const INVALID: &str = "RF-INVALID";
const STRAY: &str = "RF-STRAY";
const BY_HOST: &str = "RF-BY-HOST";
const BY_HOST_ISOLATED: &str = "RF-BY-HOST-ISOLATED";

/// What becomes of strays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backward {
    /// Both orientations have to allow them.
    Both,
    /// One is enough.
    PickUp,
}

impl Writer<'_> {
    /// The chains of all endpoints.
    pub(super) fn endpoints(&mut self) {
        let plan = self.plan;
        let whos = plan.guards.iter().map(Who::from).chain(plan.host.iter().map(Who::from));
        for who in whos {
            for direction in [Direction::Egress, Direction::Ingress] {
                if self.style != Style::Flat || who.is_host() {
                    self.endpoint(who, direction);
                }
                self.backward_chains(who, direction);
            }
        }
        for guard in &plan.guards {
            self.by_host(guard);
        }
    }

    fn endpoint(&mut self, who: Who<'_>, direction: Direction) {
        let name = endpoint_name(who, direction);
        if self.target(who, direction) == name {
            let title = match direction {
                Direction::Egress => format!("from {}", who.name),
                Direction::Ingress => format!("to {}", who.name),
            };
            let rules = self.part(who, direction, &Condition::default());
            self.add(Table::Filter, &name, &title, rules);
        }
        if self.side(who.subject, direction).is_some() {
            self.policy_chain(who.subject, direction);
        }
    }

    /// The chain that packets of the endpoint go to: its own, or that of its only rule.
    pub(super) fn target(&self, who: Who<'_>, direction: Direction) -> String {
        match self.part(who, direction, &Condition::default()).as_slice() {
            [only] if only.matches.is_empty() && only.target.len() > 3 => {
                only.target[3..].to_owned()
            }
            _ => endpoint_name(who, direction),
        }
    }

    /// What packets of the endpoint meet that are known by `at`.
    pub(super) fn part(&self, who: Who<'_>, direction: Direction, at: &Condition) -> Vec<Rule> {
        let mut rules = self.itself(who, at);
        let is_asked = self.side(who.subject, direction).is_some();
        // The host's is settled in the hooks, where the interface is known.
        if is_asked && !who.is_host() {
            let from = match direction {
                Direction::Egress => Dhcp::Client,
                Direction::Ingress => Dhcp::Server,
            };
            rules.extend(self.dhcp(at, from));
        }
        rules.extend(self.strays(who, direction, at));
        if !is_asked {
            return rules;
        }
        if self.style == Style::Flat && !who.is_host() {
            if let Some(side) = self.side(who.subject, direction) {
                let peer = End::peer(direction);
                let answers = self.prefix_answers(side, peer, Asked::Forward, at);
                rules.extend(answers.iter().flat_map(|answer| self.decides(answer)));
            }
        } else {
            if who.is_host() && direction == Direction::Egress && self.host_reaches_workloads() {
                rules.extend(self.of_workloads(End::Destination));
            }
            let target = format!("-g {}", policy_name(who.subject, direction));
            rules.push(Self::leads(at, "Policy", &target));
        }
        rules
    }

    /// To itself.
    fn itself(&self, who: Who<'_>, at: &Condition) -> Vec<Rule> {
        if !self.is_essential(essential::SELF) {
            return Vec::new();
        }
        let own: Vec<String> = who
            .addresses
            .iter()
            .filter(|one| self.family.has(one))
            .map(ToString::to_string)
            .collect();
        let ends = |end| match at.at(end) {
            Some(address) => vec![address.to_owned()],
            None => own.clone(),
        };
        let mut rules = Vec::new();
        for source in ends(End::Source) {
            for destination in ends(End::Destination) {
                let when = at.clone().address(End::Source, &source);
                let when = when.address(End::Destination, &destination);
                rules.push(Self::passes(&when, Reason::SelfTraffic));
            }
        }
        rules
    }

    fn strays(&self, who: Who<'_>, direction: Direction, at: &Condition) -> Vec<Rule> {
        let mut rules = Vec::new();
        let asked =
            [direction, reverse(direction)].map(|one| self.side(who.subject, one).is_some());
        if let Some(time) = self.pick_up.as_ref().filter(|_| asked.contains(&true)) {
            let when = at.clone().and(MID_STREAM).and(NEW).and(time);
            rules.push(if asked == [true, true] {
                let chain = backward_name(who.subject, direction, Backward::PickUp);
                Self::leads(&when, "PickUp", &format!("-g {chain}"))
            } else {
                Self::passes(&when, Reason::PickedUp)
            });
        }
        if who.isolated {
            rules.push(Self::leads(at, "Stray", &format!("-j {STRAY}")));
            return rules;
        }
        rules.push(Self::leads(at, "Invalid", &format!("-j {INVALID}")));
        if asked[1] {
            rules.extend(self.stray_rules(who, direction, at));
        }
        rules
    }

    /// Strays, to be asked about backward.
    fn stray_rules(&self, who: Who<'_>, direction: Direction, at: &Condition) -> Vec<Rule> {
        let target = format!("-j {}", backward_name(who.subject, direction, Backward::Both));
        let strays = self.stray_words().into_iter();
        strays.map(|words| Self::leads(&at.clone().and(&words), "Backward", &target)).collect()
    }

    /// Strays that the kernel knows as such: TCP in mid-stream, and answers to no question.
    fn stray_words(&self) -> Vec<String> {
        let replies = self.family.queries().iter();
        let replies = replies.map(|(_, reply)| self.family.icmp_type(&reply.to_string()));
        [MID_STREAM.to_owned()].into_iter().chain(replies).collect()
    }

    /// The chains for strays that the rules of [`Self::strays`] lead to.
    fn backward_chains(&mut self, who: Who<'_>, direction: Direction) {
        for backward in [Backward::PickUp, Backward::Both] {
            let name = backward_name(who.subject, direction, backward);
            if self.leads_to(Table::Filter, &name) {
                self.backward_chain(who, direction, backward, &name);
            }
        }
    }

    /// The chain for what the host sends to the workload, which it always may (semantics 8).
    fn by_host(&mut self, guard: &Guard) {
        let name = self.by_host_name(guard);
        if !self.leads_to(Table::Filter, &name) {
            return;
        }
        let (who, any) = (Who::from(guard), Condition::default());
        let mut rules = Vec::new();
        let picks_up = self.pick_up.as_ref().filter(|_| guard.isolated);
        let picks_up = picks_up.map(|time| any.clone().and(MID_STREAM).and(NEW).and(time));
        rules.extend(picks_up.map(|when| Self::passes(&when, Reason::PickedUp)));
        let (way, strays) = if guard.isolated { ("Stray", STRAY) } else { ("Invalid", INVALID) };
        rules.push(Self::leads(&any, way, &format!("-j {strays}")));
        if name != BY_HOST && !guard.isolated {
            rules.extend(self.stray_rules(who, Direction::Ingress, &any));
        }
        rules.push(Self::passes(&any, Reason::HostToWorkload));
        let whom = if guard.isolated { "isolated" } else { "open" };
        let title = format!("the host may always talk to its workloads, here to {whom} ones");
        self.add(Table::Filter, &name, &title, rules);
        self.backward_chains(who, Direction::Ingress);
    }

    pub(super) fn by_host_name(&self, guard: &Guard) -> String {
        match (guard.isolated, self.side(guard.subject, Direction::Egress)) {
            (true, _) => BY_HOST_ISOLATED.to_owned(),
            (false, None) => BY_HOST.to_owned(),
            (false, Some(_)) => format!("{BY_HOST}-{:08x}", guard.subject),
        }
    }

    /// The chains that everyone shares.
    pub(super) fn shared(&mut self) {
        if self.leads_to(Table::Filter, STRAY) {
            let title = "what opens nothing: isolated endpoints take none of it";
            let rules = self.stray_chain();
            self.add(Table::Filter, STRAY, title, rules);
        }
        if self.leads_to(Table::Filter, INVALID) {
            let title = "errors about no connection, and what does not fit its connection";
            let rules = self.invalid_chain();
            self.add(Table::Filter, INVALID, title, rules);
        }
    }

    fn stray_chain(&self) -> Vec<Rule> {
        let any = Condition::default();
        let mut rules = vec![Self::leads(&any, "Invalid", &format!("-j {INVALID}"))];
        for (place, words) in self.stray_words().iter().enumerate() {
            let reason = if place == 0 { Reason::NoConnection } else { Reason::UnexpectedReply };
            rules.extend(self.refuses(&any.clone().and(words), reason));
        }
        rules
    }

    fn invalid_chain(&self) -> Vec<Rule> {
        let any = Condition::default();
        let mut rules = Vec::new();
        if !self.is_essential(essential::RELATED_ERRORS) {
            let related = self.related();
            let off = related.iter().flat_map(|when| self.refuses(when, Reason::EssentialOff));
            rules.extend(off);
        }
        for kind in self.family.errors() {
            let when = any.clone().and(&self.family.icmp_type(&kind.to_string()));
            rules.extend(self.refuses(&when, Reason::Unrelated));
        }
        // The kernel takes for invalid what it does not track of ICMP, the other family's ICMP, and
        // all of UDP-Lite, whose checksums it cannot check. Policy is asked about each packet.
        for number in [protocol::ICMP, protocol::ICMPV6, UDP_LITE] {
            let when = any.clone().and(&format!("-p {}", super::services::name(number)));
            rules.push(Self::leads(&when, "NotTracked", "-j RETURN"));
        }
        let invalid = any.and("-m conntrack --ctstate INVALID");
        rules.extend(self.refuses(&invalid, Reason::InvalidTransition));
        rules
    }

    /// Both directions of all workloads in a chain each.
    pub(super) fn flat_chains(&mut self) {
        let guards = &self.plan.guards;
        let mut out = Vec::new();
        let mut into = Vec::new();
        for guard in guards {
            for at in self.sends(guard) {
                out.extend(self.part(Who::from(guard), Direction::Egress, &at));
            }
            for at in self.gets(guard) {
                into.extend(self.part(Who::from(guard), Direction::Ingress, &at));
                if is_shared(guard) && self.side(guard.subject, Direction::Ingress).is_none() {
                    into.push(Self::passes(&at, Reason::NotIsolated));
                }
            }
        }
        for interface in self.shared_interfaces().keys() {
            into.extend(self.unknown_endpoint(&Condition::default().leaves_by(interface)));
        }
        for (name, title, rules) in
            [("RF-OUT", "from workloads", out), ("RF-IN", "to workloads", into)]
        {
            if self.leads_to(Table::Filter, name) {
                self.add(Table::Filter, name, title, rules);
            }
        }
    }
}

pub(super) fn reverse(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

fn endpoint_name(who: Who<'_>, direction: Direction) -> String {
    match direction {
        Direction::Egress => format!("RF-FROM-{:08x}", who.endpoint),
        Direction::Ingress => format!("RF-TO-{:08x}", who.endpoint),
    }
}

pub(super) fn policy_name(subject: u32, direction: Direction) -> String {
    match direction {
        Direction::Egress => format!("RF-OUT-{subject:08x}"),
        Direction::Ingress => format!("RF-IN-{subject:08x}"),
    }
}

fn backward_name(subject: u32, direction: Direction, backward: Backward) -> String {
    let suffix = match backward {
        Backward::Both => 'B',
        Backward::PickUp => 'P',
    };
    format!("{}-{suffix}", policy_name(subject, direction))
}
