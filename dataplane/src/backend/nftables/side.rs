//! The chains that ask policy: one for each direction of each subject, and the maps they look in.
//!
//! Each form of [`Form`] is a map for each family and kind of service, asked in the order of the
//! forms. An element leads to its verdict at once. The lines of one form and service never overlap
//! ([`crate::backend::chains`]), so neither do the elements of one map, which nft would refuse.
//!
//! The same maps answer for packets that go against the direction that policy is about: the peer
//! is on the other side then and its service in the source port. Where a denial must not be the
//! end, because the other orientation is asked next, a chain looks in maps whose denials lead
//! there; only policy that denies somebody by name needs such maps of its own.

use std::collections::BTreeMap;

use ringfence_common::abi::policy::{Direction, protocol};

use super::draft::{Draft, Shape};
use super::spelling::{messages, ports, protocol as spelled, v4, v6};
use super::{Chain, Element, Rule};
use crate::backend::chains::{Form, Line, Peers, PortRange, Service, Side};

/// Which way the packets go that a chain asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orientation {
    /// As those that open a connection in the direction of the policy.
    Forward,
    /// As those that answer them.
    Backward,
}

/// A question to policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) subject: u32,
    pub(super) direction: Direction,
    pub(super) orientation: Orientation,
}

impl Question {
    /// The name of the chain that answers it, where a denial is the end.
    pub(super) fn chain(&self) -> String {
        format!("{}_{:08x}{}", word(self.direction), self.subject, self.suffix())
    }

    fn suffix(&self) -> &'static str {
        match self.orientation {
            Orientation::Forward => "",
            Orientation::Backward => "_backward",
        }
    }

    /// The fields of the peer's address and port in the packets it is about.
    fn fields(&self) -> (&'static str, &'static str) {
        let is_peer_the_source =
            (self.direction == Direction::Ingress) == (self.orientation == Orientation::Forward);
        let address = if is_peer_the_source { "saddr" } else { "daddr" };
        let port = if self.orientation == Orientation::Forward { "dport" } else { "sport" };
        (address, port)
    }
}

/// Writes the chain that answers `question`, if it is not there yet, and says its name.
pub(super) fn chain(draft: &mut Draft<'_>, question: Question, side: &Side) -> String {
    let name = question.chain();
    if !draft.begins(&name) {
        return name;
    }
    let mut chain = Chain::named(&name, title(&question));
    chain.rules = lookups(draft, &question, side, Denials::End);
    chain.rules.push(draft.outcomes.decides(side.default));
    draft.chain(chain);
    name
}

/// As [`chain`], but what is denied goes on to `next`; and only TCP is asked about.
pub(super) fn chain_before(
    draft: &mut Draft<'_>,
    question: Question,
    side: &Side,
    next: &str,
) -> String {
    let name = format!("pick_up_{}", question.chain());
    if !draft.begins(&name) {
        return name;
    }
    let mut chain =
        Chain::named(&name, format!("{}; what it denies is asked on", title(&question)));
    let denies = side.lines.iter().any(|line| !line.decided.allows);
    let denials = if denies { Denials::LeadTo(next) } else { Denials::None };
    chain.rules = lookups(draft, &question, side, denials);
    chain.rules.push(if side.default.allows {
        draft.outcomes.decides(side.default)
    } else {
        Rule::leads(format!("goto {next}"), "Denied")
    });
    draft.chain(chain);
    name
}

fn title(question: &Question) -> String {
    let subject = question.subject;
    let what = match (question.direction, question.orientation) {
        (Direction::Egress, Orientation::Forward) => "What policy lets it open",
        (Direction::Ingress, Orientation::Forward) => "Who may open what towards it",
        (Direction::Egress, Orientation::Backward) => {
            "Whether it may have opened what this answers"
        }
        (Direction::Ingress, Orientation::Backward) => "Whether it may be asked what this answers",
    };
    format!("{what} (policy of subject {subject:08x})")
}

const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    }
}

/// A map that a chain looks in: its form, the family of the peers, the kind of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    form: Form,
    services: Services,
    peers: Option<Family>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Services {
    Ports,
    Icmp,
    Icmpv6,
    Protocol,
    All,
}

impl Place {
    fn map(&self, question: &Question, prefix: &str) -> String {
        let family = match self.peers {
            None => "",
            Some(Family::V4) => "4",
            Some(Family::V6) => "6",
        };
        let services = match self.services {
            Services::Icmp => "_icmp",
            Services::Icmpv6 => "_icmpv6",
            _ => "",
        };
        // A reply is known by its own type, so backward it takes a map of its own; so does
        // whatever leads on to something else.
        let is_shared = services.is_empty() && prefix.is_empty();
        let suffix = if is_shared { "" } else { question.suffix() };
        let (word, subject, form) = (word(question.direction), question.subject, self.form as u8);
        format!("{prefix}{word}{family}_{subject:08x}_{form}{services}{suffix}")
    }

    fn kind(&self) -> String {
        let peers = match self.peers {
            None => "",
            Some(Family::V4) => "ipv4_addr",
            Some(Family::V6) => "ipv6_addr",
        };
        let services = match self.services {
            Services::Ports => "inet_proto . inet_service",
            Services::Icmp => "icmp_type . icmp_code",
            Services::Icmpv6 => "icmpv6_type . icmpv6_code",
            Services::Protocol => "inet_proto",
            Services::All => "",
        };
        format!("{} : verdict", concatenated(peers, services))
    }

    fn lookup(&self, question: &Question, map: &str) -> String {
        let (address, port) = question.fields();
        let peers = match self.peers {
            None => String::new(),
            Some(Family::V4) => format!("ip {address}"),
            Some(Family::V6) => format!("ip6 {address}"),
        };
        let services = match self.services {
            Services::Ports => format!("meta l4proto . th {port}"),
            Services::Icmp => "icmp type . icmp code".to_owned(),
            Services::Icmpv6 => "icmpv6 type . icmpv6 code".to_owned(),
            Services::Protocol => "meta l4proto".to_owned(),
            Services::All => String::new(),
        };
        format!("{} vmap @{map}", concatenated(&peers, &services))
    }

    /// Whether keys can be more than single values.
    fn has_intervals(&self) -> bool {
        self.peers.is_some() || self.services != Services::Protocol
    }

    fn way(&self) -> &'static str {
        match self.form {
            Form::PeerPorts => "PeerPorts",
            Form::PeerProtocol => "PeerProtocol",
            Form::Peer => "Peer",
            Form::Ports => "Ports",
            Form::Protocol => "Protocol",
        }
    }
}

fn concatenated(first: &str, second: &str) -> String {
    let separator = if first.is_empty() || second.is_empty() { "" } else { " . " };
    format!("{first}{separator}{second}")
}

/// What the denials among the lines of a side lead to.
#[derive(Clone, Copy, Debug)]
enum Denials<'a> {
    /// They are the end, whatever the protocol is.
    End,
    /// There are none; only TCP is asked about.
    None,
    /// To that chain, from maps of their own; only TCP is asked about.
    LeadTo(&'a str),
}

impl Denials<'_> {
    /// Whether a line matters. The maps that others look in as well have to be whole.
    fn matter(self, line: &Line) -> bool {
        let number = match line.service {
            Service::Everything => return true,
            Service::Protocol(number) | Service::Ports { protocol: number, .. } => number,
        };
        match self {
            Self::End => true,
            Self::None => !matches!(number, protocol::ICMP | protocol::ICMPV6),
            Self::LeadTo(_) => number == protocol::TCP,
        }
    }
}

/// The lookups of a side, in the order of the forms, with their maps.
fn lookups(
    draft: &mut Draft<'_>,
    question: &Question,
    side: &Side,
    denials: Denials<'_>,
) -> Vec<Rule> {
    let prefix = if matches!(denials, Denials::LeadTo(_)) { "pick_up_" } else { "" };
    let mut places: BTreeMap<Place, String> = BTreeMap::new();
    let mut known: BTreeMap<Place, bool> = BTreeMap::new();
    for line in side.lines.iter().filter(|line| denials.matter(line)) {
        let verdict = match denials {
            Denials::LeadTo(next) if !line.decided.allows => format!("goto {next}"),
            _ => draft.outcomes.verdict(line.decided),
        };
        let element = Element { verdict, about: draft.outcomes.about(line.decided) };
        for (place, keys) in keys(line, question.orientation) {
            let map = places.entry(place).or_insert_with(|| place.map(question, prefix));
            // The same map may have been filled for the other orientation.
            if *known.entry(place).or_insert_with(|| draft.has_map(map)) {
                continue;
            }
            let kind = place.kind();
            let shape = Shape { kind: &kind, intervals: place.has_intervals() };
            for key in keys {
                draft.element(map, shape, key, element.clone());
            }
        }
    }
    let rule =
        |(place, map): (&Place, &String)| Rule::leads(place.lookup(question, map), place.way());
    places.iter().map(rule).collect()
}

/// The maps that a line stands in, and its keys there.
fn keys(line: &Line, orientation: Orientation) -> Vec<(Place, Vec<String>)> {
    let (services, service_keys) = services(&line.service, orientation);
    if service_keys.is_empty() && services != Services::All {
        return Vec::new();
    }
    let place = |peers| Place { form: line.form, services, peers };
    let Peers::Of { v4: peers_v4, v6: peers_v6 } = &line.peers else {
        return vec![(place(None), service_keys)];
    };
    let mut found = Vec::new();
    // ICMP is of IPv4 alone, ICMPv6 of IPv6.
    if !peers_v4.is_empty() && services != Services::Icmpv6 {
        found.push((place(Some(Family::V4)), products(peers_v4.iter().map(v4), &service_keys)));
    }
    if !peers_v6.is_empty() && services != Services::Icmp {
        found.push((place(Some(Family::V6)), products(peers_v6.iter().map(v6), &service_keys)));
    }
    found
}

fn products(peers: impl Iterator<Item = String>, services: &[String]) -> Vec<String> {
    if services.is_empty() {
        return peers.collect();
    }
    let with_each = |peer: String| services.iter().map(move |key| format!("{peer} . {key}"));
    peers.flat_map(with_each).collect()
}

fn services(service: &Service, orientation: Orientation) -> (Services, Vec<String>) {
    match service {
        Service::Everything => (Services::All, Vec::new()),
        Service::Protocol(number) => (Services::Protocol, vec![spelled(*number)]),
        Service::Ports { protocol: number, ranges } => {
            let kind = match *number {
                protocol::ICMP => Services::Icmp,
                protocol::ICMPV6 => Services::Icmpv6,
                _ => {
                    let key =
                        |range: &PortRange| format!("{} . {}", spelled(*number), ports(*range));
                    return (Services::Ports, ranges.iter().map(key).collect());
                }
            };
            let ranges = match orientation {
                Orientation::Forward => ranges.clone(),
                Orientation::Backward => replies(*number, ranges),
            };
            (kind, ranges.iter().flat_map(|range| messages(*number, *range)).collect())
        }
    }
}

/// The replies to those queries that are among `ranges`. A query's code is 0 (RFC 792, RFC 4443
/// §4.1), and a reply's does not count.
fn replies(of_protocol: u8, ranges: &[PortRange]) -> Vec<PortRange> {
    let kinds: &[(u8, u8)] = if of_protocol == protocol::ICMP {
        &[(8, 0), (13, 14), (15, 16), (17, 18)]
    } else {
        &[(128, 129)]
    };
    let is_in = |query: u8| {
        let message = u16::from(query) << 8;
        ranges.iter().any(|range| (range.first..=range.last).contains(&message))
    };
    let all_codes = |reply: u8| PortRange {
        first: u16::from_be_bytes([reply, 0]),
        last: u16::from_be_bytes([reply, u8::MAX]),
    };
    kinds.iter().filter(|(query, _)| is_in(*query)).map(|(_, reply)| all_codes(*reply)).collect()
}
