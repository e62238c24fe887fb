//! What policy says, as sets and the rules that ask them.

use std::collections::BTreeMap;

use ringfence_common::abi::policy::{Direction, protocol};
use ringfence_common::verdict::Reason;

use super::Set;
use super::source::prefix;
use crate::backend::chains::{About, Decided, Form, Line, PortRange, Service, Side, log_prefix};
use crate::backend::iptables::{
    Answer, Asked, Condition, End, Family, Packing, Writer, address_words, cover, service_words,
};

/// Ports of a range that become elements, one for each. Wider ranges cost a rule and a set of their
/// own, which a packet pays for; this many elements cost memory only.
pub const EXPANDED: u32 = 16;

/// Sets and rules in the order in which they are asked: by form, and what refuses before what
/// allows.
type Groups = BTreeMap<Key, Group>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    form: Form,
    allows: bool,
    logs: bool,
    /// Whether a rule of a document decides.
    ruled: bool,
    part: Part,
}

/// What a group asks for beside what its elements say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Nothing: the elements have ports, or are about everything.
    Elements,
    /// A service that elements cannot say.
    Service(Service),
    /// As before, for everyone: a rule without a set, of this document rule.
    Rule(Service, u32),
}

struct Group {
    elements: BTreeMap<String, About>,
    decided: Decided,
}

impl Writer<'_> {
    /// What a side (whose it is says `of`) says about packets that have their peer at `peer`: its
    /// sets are kept, and asked in the answers. The last is its default.
    pub(in crate::backend) fn set_answers(
        &mut self,
        side: &Side,
        of: (u32, Direction),
        peer: End,
        asked: Asked,
    ) -> Vec<Answer> {
        let mut groups = Groups::new();
        side.lines.iter().for_each(|line| self.sort(line, &mut groups));
        let mut answers = Vec::new();
        for (key, group) in groups {
            answers.extend(self.set_answer(&key, &group, (of, peer, asked)));
            if !matches!(key.part, Part::Rule(..)) {
                self.sets.insert(self.set_name(&key, of), set(&key, group, of.1, self.family));
            }
        }
        // Elements say types of ICMP as they are, and those of answers are others.
        if asked == Asked::Backward {
            answers.extend(self.icmp_answers(side, peer));
            answers.sort_by_key(|(form, allows, _)| (*form, *allows));
        }
        let mut answers: Vec<Answer> = answers.into_iter().map(|(.., answer)| answer).collect();
        answers.push(self.answer(Condition::default(), side.default));
        answers
    }

    /// Puts a line where it belongs.
    fn sort(&self, line: &Line, groups: &mut Groups) {
        let peers = self.peers(line);
        let mut add = |part: Part, elements: Vec<String>| {
            let Decided { allows, logs, rule } = line.decided;
            let key = Key { form: line.form, allows, logs, ruled: rule != 0, part };
            let group = || Group { elements: BTreeMap::new(), decided: line.decided };
            let group = groups.entry(key).or_insert_with(group);
            let about = self.about(line.decided);
            group.elements.extend(elements.into_iter().map(|one| (one, about.clone())));
        };
        let mut wide = |service: Service| match &peers {
            Some(peers) if peers.is_empty() => {}
            Some(peers) => add(Part::Service(service), peers.clone()),
            None => add(Part::Rule(service, line.decided.rule), Vec::new()),
        };
        match &line.service {
            Service::Everything => {
                if let Some(peers) = peers.filter(|peers| !peers.is_empty()) {
                    add(Part::Elements, peers);
                }
            }
            Service::Protocol(_) => wide(line.service.clone()),
            Service::Ports { protocol, ranges } => {
                let (narrow, rest) = self.split(*protocol, ranges);
                rest.into_iter().for_each(wide);
                let halves = self.family.halves().map(str::to_owned);
                let peers = peers.unwrap_or_else(|| halves.to_vec());
                let pairs = peers
                    .iter()
                    .flat_map(|peer| narrow.iter().map(move |service| format!("{peer},{service}")));
                let pairs: Vec<String> = pairs.collect();
                if !pairs.is_empty() {
                    add(Part::Elements, pairs);
                }
            }
        }
    }

    /// The peers as elements; nothing for everyone.
    fn peers(&self, line: &Line) -> Option<Vec<String>> {
        let nets = cover(&line.peers, self.family)?;
        let words = nets.iter().flat_map(|net| match net.prefix_len() {
            0 => self.family.halves().map(str::to_owned).to_vec(),
            _ => vec![address_words(net)],
        });
        Some(words.collect())
    }

    /// What elements say of the ports (`tcp:80`), and what is left for rules, a service for each.
    fn split(&self, protocol: u8, ranges: &[PortRange]) -> (Vec<String>, Vec<Service>) {
        let (mut narrow, mut wide) = (Vec::new(), Vec::new());
        let is_icmp = [protocol::ICMP, protocol::ICMPV6].contains(&protocol);
        if is_icmp && protocol != self.family.icmp() {
            // The other family's ICMP has neither types nor, in sets, a name.
            let meant = ranges.iter().any(|range| range.first == 0);
            let none = PortRange { first: 0, last: 0 };
            wide.extend(meant.then(|| Service::Ports { protocol, ranges: vec![none] }));
            return (narrow, wide);
        }
        let pieces =
            ranges.iter().flat_map(|range| if is_icmp { types(*range) } else { vec![*range] });
        for PortRange { first, last } in pieces {
            if u32::from(last - first) < EXPANDED {
                narrow.extend((first..=last).map(|port| element(protocol, port)));
            } else {
                wide.push(Service::Ports { protocol, ranges: vec![PortRange { first, last }] });
            }
        }
        (narrow, wide)
    }

    /// How a group is asked: a rule for each way to say its service.
    fn set_answer(
        &self,
        key: &Key,
        group: &Group,
        (of, peer, asked): ((u32, Direction), End, Asked),
    ) -> Vec<(Form, bool, Answer)> {
        let port = if asked == Asked::Forward { End::Destination } else { End::Source };
        let set = format!("-m set --match-set {}", self.set_name(key, of));
        let (peer, port) = (peer.name(), port.name());
        let tcp = if asked == Asked::Forward { "" } else { "-p tcp" };
        let has_ports = matches!(key.form, Form::PeerPorts | Form::Ports);
        let words = match &key.part {
            Part::Elements if has_ports => vec![(tcp.to_owned(), format!("{set} {peer},{port}"))],
            Part::Elements => vec![(String::new(), format!("{set} {peer}"))],
            Part::Service(service) => self.service(service, asked, &format!("{set} {peer}")),
            Part::Rule(service, _) => self.service(service, asked, ""),
        };
        let answer = |(service, set): (String, String)| {
            let when = Condition::default().and(&service).and(&set);
            let answer = match key.part {
                Part::Rule(..) => self.answer(when, group.decided),
                Part::Elements | Part::Service(_) => elements_answer(key, when),
            };
            (key.form, key.allows, answer)
        };
        words.into_iter().map(answer).collect()
    }

    /// The ways to say a service in a rule, each with the set beside it. Of strays, those of TCP:
    /// answers of ICMP come from elsewhere.
    fn service(&self, service: &Service, asked: Asked, set: &str) -> Vec<(String, String)> {
        let (Service::Protocol(number) | Service::Ports { protocol: number, .. }) = service else {
            return Vec::new();
        };
        if asked == Asked::Backward && *number != protocol::TCP {
            return Vec::new();
        }
        let words = service_words(service, self.family, asked, Packing::Multiport);
        words.into_iter().map(|words| (words, set.to_owned())).collect()
    }

    /// What lines about ICMP say about answers: by prefixes, as without sets.
    fn icmp_answers(&self, side: &Side, peer: End) -> Vec<(Form, bool, Answer)> {
        let is_icmp = |line: &&Line| match line.service {
            Service::Everything => false,
            Service::Protocol(number) | Service::Ports { protocol: number, .. } => {
                number == self.family.icmp()
            }
        };
        let mut answers = Vec::new();
        for line in side.lines.iter().filter(is_icmp) {
            let any = Condition::default();
            let conditions = self.conditions(line, peer, Asked::Backward, &any);
            let answer = |when| (line.form, line.decided.allows, self.answer(when, line.decided));
            answers.extend(conditions.into_iter().map(answer));
        }
        answers
    }

    fn set_name(&self, key: &Key, (subject, direction): (u32, Direction)) -> String {
        let direction = match direction {
            Direction::Ingress => "in",
            Direction::Egress => "out",
        };
        let decision = match (key.allows, key.ruled) {
            (true, true) => "a",
            (true, false) => "o",
            (false, true) => "d",
            (false, false) => "n",
        };
        let (family, form) = (prefix(self.family), key.form as u8);
        let log = if key.logs { "l" } else { "" };
        let part = match &key.part {
            Part::Service(service) | Part::Rule(service, _) => service_name(service),
            Part::Elements => String::new(),
        };
        format!("{family}-{direction}-{subject:08x}-{form}{decision}{log}{part}")
    }
}

/// What is decided about all elements of a set; which rule decides, they say themselves.
fn elements_answer(key: &Key, when: Condition) -> Answer {
    let reason = match (key.allows, key.ruled) {
        (true, true) => Reason::Rule,
        (true, false) => Reason::NotIsolated,
        (false, true) => Reason::DenyRule,
        (false, false) => Reason::NoRule,
    };
    let about = About::way("Element");
    let report = log_prefix(reason, 0);
    Answer { when, allows: key.allows, logs: key.logs, report, about }
}

fn set(key: &Key, group: Group, direction: Direction, family: Family) -> Set {
    let has_ports = matches!(key.form, Form::PeerPorts | Form::Ports);
    let kind = if has_ports && key.part == Part::Elements { "hash:net,port" } else { "hash:net" };
    Set {
        kind: kind.to_owned(),
        family,
        form: Some(key.form),
        denies: !key.allows,
        direction: Some(direction),
        elements: group.elements,
    }
}

/// A letter for the protocol, and the ports in hex.
fn service_name(service: &Service) -> String {
    let letter = |number: u8| match number {
        protocol::ICMP => "i".to_owned(),
        protocol::TCP => "t".to_owned(),
        protocol::UDP => "u".to_owned(),
        protocol::ICMPV6 => "j".to_owned(),
        protocol::SCTP => "s".to_owned(),
        number => format!("p{number:02x}"),
    };
    match service {
        Service::Everything => String::new(),
        Service::Protocol(number) => letter(*number),
        Service::Ports { protocol, ranges } => {
            let ports = ranges.iter().map(|r| format!("{:04x}{:04x}", r.first, r.last));
            letter(*protocol) + &ports.collect::<String>()
        }
    }
}

/// Whole types of a range of ICMP, and the codes before and behind them.
fn types(PortRange { first, last }: PortRange) -> Vec<PortRange> {
    if (first, last) == (0, u16::MAX) {
        return vec![PortRange { first, last }];
    }
    let of =
        |kind: u16| PortRange { first: first.max(kind << 8), last: last.min(kind << 8 | 0xff) };
    (first >> 8..=last >> 8).map(of).collect()
}

/// A port as ipset says it.
fn element(number: u8, port: u16) -> String {
    let code = || format!("{}/{}", port >> 8, port & 0xff);
    match number {
        protocol::ICMP => format!("icmp:{}", code()),
        protocol::ICMPV6 => format!("icmpv6:{}", code()),
        protocol::TCP => format!("tcp:{port}"),
        protocol::UDP => format!("udp:{port}"),
        protocol::SCTP => format!("sctp:{port}"),
        number => format!("{number}:{port}"),
    }
}
