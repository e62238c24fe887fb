//! Elements as ipset(8) writes them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Subnets};

use super::{Kind, Set};
use crate::chain_eval::unread::protocol_number;

/// The port of a protocol, as sets know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    pub protocol: u8,
    pub port: u16,
}

impl Service {
    /// That of a set of addresses alone.
    pub const NONE: Self = Self { protocol: 0, port: 0 };
}

/// All elements that one text stands for: ranges are several.
pub fn parse(set: &Set, text: &str) -> Result<Vec<(IpNet, Service)>, String> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() != set.kind.dimensions() {
        return Err(format!("`{text}` is no element of this type of set"));
    }
    let (address, port) = match (set.kind.has_address(), set.kind.has_port()) {
        (true, true) => (Some(parts[0]), Some(parts[1])),
        (true, false) => (Some(parts[0]), None),
        _ => (None, Some(parts[0])),
    };
    let everyone = IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let nets = address.map_or(Ok(vec![everyone]), |text| nets(set, text))?;
    let services = port.map_or(Ok(vec![Service::NONE]), |text| services(set, text))?;
    let pairs = nets.iter().flat_map(|net| services.iter().map(|service| (*net, *service)));
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
        let shortest = if set.kind.has_prefix() { 0 } else { 32 };
        return Ok(Ipv4Subnets::new(first, last, shortest).map(IpNet::from).collect());
    }
    let net = match text.contains('/') {
        true => text.parse::<IpNet>().map_err(|_| wrong())?,
        false => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| wrong())?,
    };
    if net.addr().is_ipv6() != set.is_v6 {
        return Err(wrong());
    }
    if net.prefix_len() == 0 || !set.kind.has_prefix() && net.prefix_len() != net.max_prefix_len() {
        return Err(format!("this type of set takes no prefix as short as that of `{text}`"));
    }
    Ok(vec![net.trunc()])
}

/// `[protocol:]port[-port]`; TCP where no protocol is named. `bitmap:port` names none.
fn services(set: &Set, text: &str) -> Result<Vec<Service>, String> {
    let wrong = || format!("`{text}` is no port of this type of set");
    let (protocol, ports) = match text.split_once(':') {
        Some(_) if set.kind == Kind::Port => return Err(wrong()),
        Some((name, ports)) => (protocol_number(name).ok_or_else(wrong)?, ports),
        None if set.kind == Kind::Port => (0, text),
        None => (6, text),
    };
    if matches!(protocol, 1 | 58) && !ports.contains('-') && ports.contains('/') {
        let (kind, code) = ports.split_once('/').ok_or_else(wrong)?;
        let (kind, code): (u8, u8) =
            (kind.parse().map_err(|_| wrong())?, code.parse().map_err(|_| wrong())?);
        return Ok(vec![Service { protocol, port: u16::from_be_bytes([kind, code]) }]);
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) =
        (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    let has_ports = set.kind == Kind::Port || matches!(protocol, 6 | 17 | 132);
    if first > last || !has_ports && (first, last) != (0, 0) {
        return Err(wrong());
    }
    Ok((first..=last).map(|port| Service { protocol, port }).collect())
}
