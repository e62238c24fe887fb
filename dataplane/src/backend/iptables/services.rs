//! Services in the words of iptables.
//!
//! `-m multiport` takes fifteen ports, a range counting as two, for TCP, UDP and SCTP. ICMP has no
//! such match: a range of `type << 8 | code` falls apart into whole types and single codes.

use ringfence_common::abi::policy::protocol;

use super::Family;
use super::condition::End;
use crate::backend::chains::{PortRange, Service};

/// Ports that one `-m multiport` takes (`XT_MULTI_PORTS`); a range takes two.
const SLOTS: usize = 15;

/// Which ports of a packet are the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Asked {
    /// Those of the destination: the packet opens a connection.
    Forward,
    /// Those of the source, and in ICMP the query's that it answers: the packet is taken for an
    /// answer.
    Backward,
}

/// How many ports a rule may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Packing {
    /// As many as fit.
    Multiport,
    /// A port, or a range.
    Single,
}

impl Family {
    /// The number of this family's ICMP.
    pub(in crate::backend) fn icmp(self) -> u8 {
        match self {
            Self::V4 => protocol::ICMP,
            Self::V6 => protocol::ICMPV6,
        }
    }

    /// What a rule says to match one type of this family's ICMP, or a type and code.
    pub(in crate::backend) fn icmp_type(self, what: &str) -> String {
        match self {
            Self::V4 => format!("-p icmp --icmp-type {what}"),
            Self::V6 => format!("-p ipv6-icmp --icmpv6-type {what}"),
        }
    }

    /// Queries of this family's ICMP and their replies.
    pub(in crate::backend) fn queries(self) -> &'static [(u8, u8)] {
        match self {
            Self::V4 => &[(8, 0), (13, 14), (15, 16), (17, 18)],
            Self::V6 => &[(128, 129)],
        }
    }

    /// Errors of this family's ICMP.
    pub(in crate::backend) fn errors(self) -> &'static [u8] {
        match self {
            Self::V4 => &[3, 4, 11, 12],
            Self::V6 => &[1, 2, 3, 4],
        }
    }
}

/// What rules say to match a service, a rule for each. No rule where no packet of the family has
/// it.
pub(in crate::backend) fn words(
    service: &Service,
    family: Family,
    asked: Asked,
    packing: Packing,
) -> Vec<String> {
    match service {
        Service::Everything => vec![String::new()],
        Service::Protocol(number) => vec![format!("-p {}", name(*number))],
        Service::Ports { protocol: number, ranges } if is_icmp(*number) => {
            icmp(*number, ranges, family, asked)
        }
        Service::Ports { protocol, ranges } => ports(*protocol, ranges, asked, packing),
    }
}

/// The protocol's name, or its number where the tools have none.
pub(in crate::backend) fn name(number: u8) -> String {
    match number {
        protocol::ICMP => "icmp".to_owned(),
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMPV6 => "ipv6-icmp".to_owned(),
        protocol::SCTP => "sctp".to_owned(),
        number => number.to_string(),
    }
}

const fn is_icmp(number: u8) -> bool {
    matches!(number, protocol::ICMP | protocol::ICMPV6)
}

fn ports(protocol: u8, ranges: &[PortRange], asked: Asked, packing: Packing) -> Vec<String> {
    let end = match asked {
        Asked::Forward => End::Destination,
        Asked::Backward => End::Source,
    };
    let letter = if end == End::Source { 's' } else { 'd' };
    let protocol = name(protocol);
    let rule = |ranges: &[PortRange]| match ranges {
        [PortRange { first: 0, last: u16::MAX }] => format!("-p {protocol}"),
        [range] => format!("-p {protocol} --{letter}port {}", range_words(*range)),
        ranges => {
            let list: Vec<String> = ranges.iter().map(|range| range_words(*range)).collect();
            format!("-p {protocol} -m multiport --{letter}ports {}", list.join(","))
        }
    };
    match packing {
        Packing::Single => ranges.chunks(1).map(rule).collect(),
        Packing::Multiport => packed(ranges).map(rule).collect(),
    }
}

/// The ranges in portions that fit into one match each.
fn packed(ranges: &[PortRange]) -> impl Iterator<Item = &[PortRange]> {
    let mut left = ranges;
    std::iter::from_fn(move || {
        let mut free = SLOTS;
        let fits = |range: &&PortRange| {
            let taken = if range.first == range.last { 1 } else { 2 };
            let fits = taken <= free;
            free = free.saturating_sub(taken);
            fits
        };
        let count = left.iter().take_while(fits).count();
        let (portion, rest) = left.split_at(count);
        left = rest;
        (!portion.is_empty()).then_some(portion)
    })
}

fn range_words(PortRange { first, last }: PortRange) -> String {
    if first == last { first.to_string() } else { format!("{first}:{last}") }
}

fn icmp(number: u8, ranges: &[PortRange], family: Family, asked: Asked) -> Vec<String> {
    let contains = |service: u16| ranges.iter().any(|r| (r.first..=r.last).contains(&service));
    if number != family.icmp() {
        // The ICMP of the other family is no ICMP to anyone; it is asked about as type 0, code 0.
        let is_meant = asked == Asked::Forward && contains(0);
        return if is_meant { vec![format!("-p {}", name(number))] } else { Vec::new() };
    }
    match asked {
        Asked::Forward => types_and_codes(ranges)
            .into_iter()
            .map(|what| {
                what.map_or_else(|| format!("-p {}", name(number)), |what| family.icmp_type(&what))
            })
            .collect(),
        Asked::Backward => {
            let queries = family.queries().iter();
            let asked_for = queries.filter(|(query, _)| contains(u16::from(*query) << 8));
            asked_for.map(|(_, reply)| family.icmp_type(&reply.to_string())).collect()
        }
    }
}

/// `type` for a whole type, `type/code` for a part of one, nothing for all of them.
fn types_and_codes(ranges: &[PortRange]) -> Vec<Option<String>> {
    let mut parts = Vec::new();
    for range in ranges {
        if (range.first, range.last) == (0, u16::MAX) {
            return vec![None];
        }
        for kind in range.first >> 8..=range.last >> 8 {
            let first = if kind == range.first >> 8 { range.first & 0xff } else { 0 };
            let last = if kind == range.last >> 8 { range.last & 0xff } else { 0xff };
            if (first, last) == (0, 0xff) {
                parts.push(Some(kind.to_string()));
            } else {
                parts.extend((first..=last).map(|code| Some(format!("{kind}/{code}"))));
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(protocol: u8, ranges: &[(u16, u16)]) -> Service {
        let range = |(first, last): &(u16, u16)| PortRange { first: *first, last: *last };
        Service::Ports { protocol, ranges: ranges.iter().map(range).collect() }
    }

    fn v4(service: &Service, asked: Asked) -> Vec<String> {
        words(service, Family::V4, asked, Packing::Multiport)
    }

    #[test]
    fn ports_are_packed_fifteen_to_a_rule_and_ranges_take_two() {
        let few = service(protocol::TCP, &[(80, 80)]);
        assert_eq!(v4(&few, Asked::Forward), ["-p tcp --dport 80"]);
        assert_eq!(v4(&few, Asked::Backward), ["-p tcp --sport 80"]);
        let range = service(protocol::SCTP, &[(1, 9)]);
        assert_eq!(v4(&range, Asked::Forward), ["-p sctp --dport 1:9"]);
        let all = service(protocol::UDP, &[(0, u16::MAX)]);
        assert_eq!(v4(&all, Asked::Forward), ["-p udp"]);

        // Seven ranges fill fourteen slots; the next does not fit, though a port would.
        let ranges: Vec<(u16, u16)> = (0..8).map(|n| (10 * n + 1, 10 * n + 2)).collect();
        let many = service(protocol::TCP, &ranges);
        assert_eq!(
            v4(&many, Asked::Forward),
            [
                "-p tcp -m multiport --dports 1:2,11:12,21:22,31:32,41:42,51:52,61:62",
                "-p tcp --dport 71:72",
            ]
        );
        let single: Vec<(u16, u16)> = (0..31).map(|n| (2 * n, 2 * n)).collect();
        let many = service(protocol::UDP, &single);
        let counts: Vec<usize> = v4(&many, Asked::Backward)
            .iter()
            .map(|rule| rule.rsplit(' ').next().unwrap().split(',').count())
            .collect();
        assert_eq!(counts, [15, 15, 1]);
        let flat = words(&many, Family::V4, Asked::Forward, Packing::Single);
        assert_eq!((flat.len(), flat[30].as_str()), (31, "-p udp --dport 60"));
    }

    #[test]
    fn icmp_falls_apart_into_types_and_codes() {
        let asked = |ranges| v4(&service(protocol::ICMP, ranges), Asked::Forward);
        assert_eq!(asked(&[(0x0800, 0x08ff)]), ["-p icmp --icmp-type 8"]);
        assert_eq!(asked(&[(0x0800, 0x0800)]), ["-p icmp --icmp-type 8/0"]);
        assert_eq!(
            asked(&[(0x03fe, 0x0501)]),
            [
                "-p icmp --icmp-type 3/254",
                "-p icmp --icmp-type 3/255",
                "-p icmp --icmp-type 4",
                "-p icmp --icmp-type 5/0",
                "-p icmp --icmp-type 5/1",
            ]
        );
        assert_eq!(asked(&[(0, u16::MAX)]), ["-p icmp"]);
        let last = service(protocol::ICMPV6, &[(0xff00, 0xffff)]);
        let last = words(&last, Family::V6, Asked::Forward, Packing::Single);
        assert_eq!(last, ["-p ipv6-icmp --icmpv6-type 255"]);
    }

    /// Every range of a few types: each code is matched by one rule, if it is in the range.
    #[test]
    fn types_and_codes_are_the_range_and_nothing_else() {
        let ends = [0, 1, 0xff, 0x100, 0x101, 0x1fe, 0x1ff, 0x200, 0x2ff, 0x300];
        for first in ends {
            for last in ends.into_iter().filter(|last| *last >= first) {
                let parts = types_and_codes(&[PortRange { first, last }]);
                for service in 0..0x380_u16 {
                    let (kind, code) = (service >> 8, service & 0xff);
                    let (whole, part) = (Some(kind.to_string()), Some(format!("{kind}/{code}")));
                    let count = parts.iter().filter(|p| **p == whole || **p == part).count();
                    let expected = usize::from((first..=last).contains(&service));
                    assert_eq!(count, expected, "{service:#x} in {first:#x}..={last:#x}");
                }
            }
        }
    }

    #[test]
    fn an_answer_is_asked_about_as_its_query() {
        let ping = service(protocol::ICMP, &[(0x0800, 0x0800)]);
        assert_eq!(v4(&ping, Asked::Backward), ["-p icmp --icmp-type 0"]);
        // Of queries, code 0 is asked.
        let odd = service(protocol::ICMP, &[(0x0801, 0x0d00)]);
        assert_eq!(v4(&odd, Asked::Backward), ["-p icmp --icmp-type 14"]);
        let ping = service(protocol::ICMPV6, &[(0x8000, 0x80ff)]);
        let backward = words(&ping, Family::V6, Asked::Backward, Packing::Multiport);
        assert_eq!(backward, ["-p ipv6-icmp --icmpv6-type 129"]);
    }

    #[test]
    fn the_other_familys_icmp_has_neither_type_nor_code() {
        let zero = service(protocol::ICMPV6, &[(0, 0x7fff)]);
        assert_eq!(v4(&zero, Asked::Forward), ["-p ipv6-icmp"]);
        assert_eq!(v4(&zero, Asked::Backward), Vec::<String>::new());
        let ping = service(protocol::ICMPV6, &[(0x8000, 0x80ff)]);
        assert_eq!(v4(&ping, Asked::Forward), Vec::<String>::new());
        assert_eq!(v4(&Service::Protocol(47), Asked::Forward), ["-p 47"]);
        assert_eq!(v4(&Service::Everything, Asked::Forward), [""]);
    }
}
