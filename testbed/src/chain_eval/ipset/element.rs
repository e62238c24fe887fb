//! Elements as ipset(8) writes them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Subnets};

use super::{Kind, Set};
use crate::chain_eval::unread::protocol_number;

/// What an element has beside its prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Other {
    Nothing,
    Service { protocol: u8, port: u16 },
    Interface(String),
}

/// All elements that one text stands for: ranges are several.
pub fn parse(set: &Set, text: &str) -> Result<Vec<(IpNet, Other)>, String> {
    let (address, rest) = match text.split_once(',') {
        Some((address, rest)) => (address, Some(rest)),
        None => (text, None),
    };
    let others = match (set.kind, rest) {
        (Kind::Net, None) => vec![Other::Nothing],
        (Kind::NetPort, Some(rest)) => services(rest)?,
        (Kind::NetInterface, Some(name)) if (1..=15).contains(&name.len()) => {
            vec![Other::Interface(name.to_owned())]
        }
        _ => return Err(format!("`{text}` is no element of this type of set")),
    };
    let nets = nets(set, address)?;
    let pairs = nets.iter().flat_map(|net| others.iter().map(|other| (*net, other.clone())));
    Ok(pairs.collect())
}

/// An address, a prefix, or in IPv4 a range.
fn nets(set: &Set, text: &str) -> Result<Vec<IpNet>, String> {
    let wrong = || format!("`{text}` is no address of this set's family");
    if let Some((first, last)) = text.split_once('-') {
        let first: Ipv4Addr = first.parse().map_err(|_| wrong())?;
        let last: Ipv4Addr = last.parse().map_err(|_| wrong())?;
        if set.is_v6 || first > last {
            return Err(wrong());
        }
        return Ok(Ipv4Subnets::new(first, last, 0).map(IpNet::from).collect());
    }
    let net = match text.contains('/') {
        true => text.parse::<IpNet>().map_err(|_| wrong())?,
        false => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| wrong())?,
    };
    if net.addr().is_ipv6() != set.is_v6 {
        return Err(wrong());
    }
    if net.prefix_len() == 0 && set.kind != Kind::NetInterface {
        return Err("this type of set takes no prefix of everyone".to_owned());
    }
    Ok(vec![net.trunc()])
}

/// `[protocol:]port[-port]`; TCP where no protocol is named, `type/code` for ICMP.
fn services(text: &str) -> Result<Vec<Other>, String> {
    let wrong = || format!("`{text}` is no service");
    let (protocol, ports) = match text.split_once(':') {
        Some((name, ports)) => (protocol_number(name).ok_or_else(wrong)?, ports),
        None => (6, text),
    };
    if let (1 | 58, Some((kind, code))) = (protocol, ports.split_once('/')) {
        let (kind, code): (u8, u8) =
            (kind.parse().map_err(|_| wrong())?, code.parse().map_err(|_| wrong())?);
        return Ok(vec![Other::Service { protocol, port: u16::from_be_bytes([kind, code]) }]);
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) =
        (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    let has_ports = matches!(protocol, 6 | 17 | 132 | 136);
    if first > last || !has_ports && (first, last) != (0, 0) {
        return Err(wrong());
    }
    Ok((first..=last).map(|port| Other::Service { protocol, port }).collect())
}
