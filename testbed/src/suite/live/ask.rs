//! From a probe of a case to the packets that ask it.

use std::net::{IpAddr, Ipv6Addr};

use ringfence_common::verdict::Verdict;
use ringfence_dataplane::model::{Inventory, Protocol};

use crate::case::{self, Probe};
use crate::prober::{Ask, Service};
use crate::topology;

/// The packets that `probe` is asked with, one for each pair of addresses.
///
/// # Errors
///
/// Why it cannot be asked on a real network.
pub(super) fn asks(probe: &Probe, inventory: &Inventory) -> Result<Vec<Ask>, String> {
    if probe.service.port() == Some(0) {
        return Err("nobody can listen on port 0".to_owned());
    }
    probe.pairs.iter().map(|pair| ask(probe, *pair, inventory)).collect()
}

fn ask(probe: &Probe, (from, to): (IpAddr, IpAddr), inventory: &Inventory) -> Result<Ask, String> {
    let ends = [from, to].map(|address| inventory.owner(address));
    for (address, owner) in [from, to].into_iter().zip(ends) {
        if is_nobodys(address) {
            return Err(format!("no interface can have the address {address}"));
        }
        if owner.is_none() && topology::is_reserved(address) {
            return Err(format!("the network itself needs the address {address}"));
        }
    }
    match ends {
        [None, None] => return Err("neither end is on this host".to_owned()),
        [Some(from), Some(to)] if from.name == to.name && probe.expect != Verdict::Allow => {
            return Err("what an end sends to itself passes no interface".to_owned());
        }
        _ => {}
    }
    Ok(Ask { from, to, service: service(&probe.service) })
}

fn service(service: &case::Service) -> Service {
    match *service {
        case::Service::Port { protocol, port, .. } => match protocol {
            Protocol::Tcp => Service::Tcp(port),
            Protocol::Udp => Service::Udp(port),
            Protocol::Sctp => Service::Sctp(port),
        },
        case::Service::Icmp { kind, code, .. } => Service::Icmp { kind, code },
        case::Service::Other(number) => Service::Other(number),
    }
}

/// Whether no interface of the testbed can have this address.
fn is_nobodys(address: IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.octets()[0] == 0,
        // IPv4-mapped addresses never leave a host (RFC 4291 §2.5.5.2).
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some() || v6 == Ipv6Addr::UNSPECIFIED,
    };
    is_special || address.is_loopback() || address.is_multicast()
}
