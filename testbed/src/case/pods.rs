//! The pods of a case.

use std::net::IpAddr;

use ringfence_dataplane::model::{Labels, NamedPort, Protocol, Workload, WorkloadName};

use super::Place;
use super::tree::{Node, Value};
use super::walk::{Object, Walk};

/// A workload of a case.
///
/// Keys: `namespace`, `name`, `labels`; `ip`, or `ips` as a list; `ports`, each with `name`,
/// `protocol` and `port`; `host`, true for the host itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Where it stands.
    pub place: Place,
    /// `namespace` and `name`.
    pub name: WorkloadName,
    /// `labels`.
    pub labels: Labels,
    /// `ip` and `ips`, in their order.
    pub addresses: Vec<IpAddr>,
    /// `ports`: those that have names.
    pub ports: Vec<NamedPort>,
    /// `host`.
    pub host: bool,
}

/// The protocols of ports.
pub(super) const PROTOCOLS: [(&str, Protocol); 3] =
    [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];

impl Pod {
    /// The pod as the model has it.
    #[must_use]
    pub fn workload(&self) -> Workload {
        Workload {
            name: self.name.clone(),
            labels: self.labels.clone(),
            addresses: self.addresses.clone(),
            ports: self.ports.clone(),
            interface: None,
            host: self.host,
        }
    }
}

pub(super) fn read(walk: &mut Walk, case: &Object) -> Vec<Pod> {
    walk.items(case, "pods").iter().filter_map(|item| pod(walk, item)).collect()
}

fn pod(walk: &mut Walk, node: &Node) -> Option<Pod> {
    const KEYS: [&str; 7] = ["namespace", "name", "labels", "ip", "ips", "ports", "host"];
    let pod = walk.object(node, "a pod")?;
    walk.unknown_keys(&pod, &KEYS);
    let namespace = walk.required(&pod, "namespace");
    let name = walk.required(&pod, "name");
    let namespace = namespace.and_then(|node| {
        let text = walk.text(node, "`namespace`")?;
        walk.namespace_name(node.at, text);
        Some(text)
    });
    let name = name.and_then(|node| {
        let text = walk.text(node, "`name`")?;
        walk.name_of(&pod, "name")?;
        if text.is_empty() || text.contains('/') {
            walk.error(
                node.at,
                format!("`{text}` cannot be a pod's name: it is empty or has a `/`"),
            );
        }
        Some(text)
    });
    let labels = pod.get("labels").map(|node| walk.labels(node)).unwrap_or_default();
    let mut addresses: Vec<IpAddr> =
        pod.get("ip").and_then(|ip| own_address(walk, ip)).into_iter().collect();
    addresses.extend(walk.items(&pod, "ips").iter().filter_map(|ip| own_address(walk, ip)));
    let ports = ports(walk, &pod);
    let host = match pod.get("host").map(|node| (node, &node.value)) {
        None | Some((_, Value::Boolean(false))) => false,
        Some((_, Value::Boolean(true))) => true,
        Some((node, other)) => {
            let found = other.describe();
            walk.error(node.at, format!("`host` is {found}; it has to be true or false"));
            false
        }
    };
    let place = walk.place(pod.at);
    Some(Pod { place, name: WorkloadName::new(namespace?, name?), labels, addresses, ports, host })
}

/// The ports of a pod; no two ports of a protocol have one name.
fn ports(walk: &mut Walk, pod: &Object) -> Vec<NamedPort> {
    let mut ports: Vec<NamedPort> = Vec::new();
    for item in walk.items(pod, "ports") {
        let Some(new) = port(walk, item) else { continue };
        let same = |one: &&NamedPort| (&one.name, one.protocol) == (&new.name, new.protocol);
        if let Some(NamedPort { name, protocol, port }) = ports.iter().find(same) {
            if *port == new.port {
                continue;
            }
            let message = format!(
                "`{name}/{protocol}` is the name of port {port} already; give each its own name"
            );
            walk.error(item.at, message);
        }
        ports.push(new);
    }
    ports
}

fn port(walk: &mut Walk, node: &Node) -> Option<NamedPort> {
    let port = walk.object(node, "a port")?;
    walk.unknown_keys(&port, &["name", "protocol", "port"]);
    let number = walk.required(&port, "port")?;
    let number = walk.number(number, "`port`", 1..=u16::MAX.into())?;
    let protocol = match port.get("protocol") {
        Some(node) => walk.word(node, "`protocol` of a pod's port", &PROTOCOLS)?,
        None => Protocol::Tcp,
    };
    let name = walk.optional_text(&port, "name")?.to_owned();
    Some(NamedPort { name, protocol, port: number as u16 })
}

/// An address that a pod can have; those of Workload documents are held to the same.
fn own_address(walk: &mut Walk, node: &Node) -> Option<IpAddr> {
    let address = address(walk, node)?;
    let way_out = match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "write IPv4 addresses as IPv4",
        _ if address.is_unspecified() || address.is_multicast() || address.is_loopback() => {
            "give the one that others reach it at"
        }
        _ => return Some(address),
    };
    walk.error(node.at, format!("`{address}` is no address of a pod; {way_out}"));
    None
}

/// The address that `node` is.
pub(super) fn address(walk: &mut Walk, node: &Node) -> Option<IpAddr> {
    let text = walk.text(node, "an address")?;
    let address = text.parse().ok();
    if is_block(text) {
        let message = format!("`{text}` is a CIDR block; write one address, like `10.1.0.2`");
        walk.error(node.at, message);
        return None;
    }
    if address.is_none() {
        let message = format!("`{text}` is no address; write one like `10.1.0.2` or `fd00::2`");
        walk.error(node.at, message);
    }
    address
}

/// Whether `text` is an address and a prefix length.
pub(super) fn is_block(text: &str) -> bool {
    let parts = text.split_once('/');
    parts.is_some_and(|(address, length)| {
        address.parse::<IpAddr>().is_ok() && length.parse::<u8>().is_ok()
    })
}
