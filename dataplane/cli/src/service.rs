//! Services on the command line: `5432/tcp`, `http/tcp`, `icmp`.

use std::fmt;
use std::str::FromStr;

use ringfence_dataplane::model::{Inventory, Protocol, Workload};

/// Protocols without ports that have names here (IANA).
const PORTLESS: [(&str, u8); 5] =
    [("icmp", 1), ("gre", 47), ("esp", 50), ("ah", 51), ("icmpv6", 58)];

/// A service as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A port by number.
    Port(Protocol, u16),
    /// The port that the destination calls so.
    Named(Protocol, String),
    /// A protocol without ports.
    Portless(u8),
}

/// A service as a packet has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resolved {
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port.
    pub port: Option<u16>,
}

impl Service {
    /// The service with `destination` as its destination; `None` if that has no port of the name.
    pub fn resolve(&self, destination: Option<&Workload>) -> Option<Resolved> {
        let (protocol, port) = match self {
            Self::Portless(protocol) => return Some(Resolved { protocol: *protocol, port: None }),
            Self::Port(protocol, port) => (*protocol, *port),
            Self::Named(protocol, name) => {
                let mut ports = destination?.ports.iter();
                let port = ports.find(|p| p.name == *name && p.protocol == *protocol)?;
                (*protocol, port.port)
            }
        };
        Some(Resolved { protocol: protocol.number(), port: Some(port) })
    }

    /// The services that workloads name among their ports, each once.
    pub fn named_in(inventory: &Inventory) -> Vec<Self> {
        let ports = inventory.workloads().flat_map(|workload| &workload.ports);
        let mut services: Vec<Resolved> = ports
            .map(|port| Resolved { protocol: port.protocol.number(), port: Some(port.port) })
            .collect();
        services.sort_unstable();
        services.dedup();
        services.into_iter().filter_map(Self::of).collect()
    }

    /// The service of a packet.
    pub fn of(resolved: Resolved) -> Option<Self> {
        let with_ports = Protocol::ALL.into_iter().find(|p| p.number() == resolved.protocol);
        match (with_ports, resolved.port) {
            (Some(protocol), Some(port)) => Some(Self::Port(protocol, port)),
            (None, None) => Some(Self::Portless(resolved.protocol)),
            _ => None,
        }
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if let Some((_, protocol)) = PORTLESS.iter().find(|(name, _)| *name == lower) {
            return Ok(Self::Portless(*protocol));
        }
        let (port, protocol) = lower.split_once('/').unwrap_or((&lower, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            other => return Err(format!("`{other}` is not one of tcp, udp and sctp")),
        };
        if let Ok(port) = port.parse() {
            return Ok(Self::Port(protocol, port));
        }
        let is_name = !port.is_empty()
            && port.bytes().any(|byte| byte.is_ascii_alphabetic())
            && port.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_name {
            Ok(Self::Named(protocol, port.to_owned()))
        } else {
            Err(format!("`{port}` is neither a port from 0 to 65535 nor the name of one"))
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(protocol, port) => write!(f, "{port}/{protocol}"),
            Self::Named(protocol, name) => write!(f, "{name}/{protocol}"),
            Self::Portless(number) => match PORTLESS.iter().find(|(_, of)| of == number) {
                Some((name, _)) => f.write_str(&name.to_ascii_uppercase()),
                None => write!(f, "protocol {number}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_and_written() {
        for (text, written) in [
            ("5432/tcp", "5432/TCP"),
            ("53/UDP", "53/UDP"),
            ("8080", "8080/TCP"),
            ("http/sctp", "http/SCTP"),
            ("icmp", "ICMP"),
            ("ICMPv6", "ICMPV6"),
        ] {
            assert_eq!(text.parse::<Service>().map(|s| s.to_string()), Ok(written.into()));
        }
        for wrong in ["", "/tcp", "70000/tcp", "80/http", "80/", "-1/tcp", "a b/tcp"] {
            assert!(wrong.parse::<Service>().is_err(), "`{wrong}` is no service");
        }
    }
}
