//! Which workloads are behind which wire, and whether the interfaces are fit to be its ends.
//!
//! # Rules
//!
//! 1. A wire's ends are Ethernet interfaces that are up, and each interface is an end once.
//! 2. Nothing else on this host moves frames from one end to the other: an end has no address (the
//!    IPv6 link-local one aside, which every interface gets by itself), belongs to no bridge or
//!    bond, and the kernel does not forward what arrives on it. Else packets could pass without
//!    being filtered.
//!    Ends that are linked to each other would hand each other every frame for ever.
//! 3. Packets for the host itself do not pass by either: an end has no address, but the kernel takes
//!    packets for any address of the host from any interface. That is the host's own affair, and a
//!    warning says which address, and the way out.
//! 4. A workload whose document names an inner end is behind it. One that names an outer end, or
//!    any other interface, is elsewhere and only a peer; for another interface than an end a
//!    warning says so.
//! 5. A workload that names none is behind the inner end of the only wire. With several wires it
//!    has to say, which is an error.
//! 6. A host is not between the ends: its policy is not enforced here, and a warning says so where
//!    it has any.

mod settings;

use std::collections::BTreeSet;
use std::net::IpAddr;

use self::settings::{Settings, without_v6};
use super::host::{Host, Interface, LinkLayer};
use super::placement::{did_you_mean, similar};
use crate::backend::userspace::live::{Port, Wire};
use crate::compile::{EndpointDescription, Tables};

/// The wires, and what the user should know about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wires {
    /// In the order they were asked for.
    pub wires: Vec<Wire>,
    /// In the order of the interfaces, then of the workloads' names.
    pub warnings: Vec<WireWarning>,
}

/// The inner and the outer end of a wire by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The interface that workloads are behind.
    pub inside: String,
    /// The interface to everybody else.
    pub outside: String,
}

/// Why interfaces cannot be the ends of wires.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// There is no such interface.
    #[error("there is no interface `{interface}` on this host{}", did_you_mean(similar))]
    NoInterface {
        /// The name.
        interface: String,
        /// Names that may have been meant.
        similar: Vec<String>,
    },
    /// An interface is named twice.
    #[error("interface `{interface}` can be one end of one wire only: name each interface once")]
    Twice {
        /// The interface.
        interface: String,
    },
    /// Its frames have no Ethernet header.
    #[error("interface `{interface}` is no Ethernet interface, so frames cannot go on from it")]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// It is down.
    #[error("interface `{interface}` is down: bring it up with `ip link set {interface} up`")]
    Down {
        /// The interface.
        interface: String,
    },
    /// It has an address.
    #[error(
        "interface `{interface}` has the address {address}, so this host itself would take and \
         forward packets there, past the filter: move it elsewhere, or remove it with `ip address \
         flush dev {interface}`"
    )]
    HasAddress {
        /// The interface.
        interface: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// It belongs to another interface.
    #[error(
        "interface `{interface}` is a port of `{master}`, which would forward its frames past the \
         filter: take it out with `ip link set {interface} nomaster`"
    )]
    Enslaved {
        /// The interface.
        interface: String,
        /// The bridge, bond or VRF.
        master: String,
    },
    /// The kernel forwards what arrives on it.
    #[error(
        "this host forwards packets that arrive on `{interface}` and are addressed to its MAC \
         address, past the filter, because `{setting}` is on: end that with `sysctl -w {remedy}`"
    )]
    Forwards {
        /// The interface.
        interface: String,
        /// The setting that is on, with slashes.
        setting: String,
        /// The setting that ends it, with its value.
        remedy: String,
    },
    /// It is linked to another end.
    #[error(
        "the ends `{interface}` and `{other}` are linked to each other (two ends of a veth pair, or \
         one made on top of the other), so every frame would come back for ever: name an interface \
         that leads elsewhere"
    )]
    Linked {
        /// The interface.
        interface: String,
        /// The end that it is linked to.
        other: String,
    },
    /// A workload has to say where it is.
    #[error(
        "workload `{workload}` does not say which of the wires it is behind: give its document \
         `interface:` with one of {}, or with an outer end if it is outside",
        list(insides)
    )]
    WhichWire {
        /// The workload.
        workload: String,
        /// The inner ends.
        insides: Vec<String>,
    },
}

/// What the user should know about the wires.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireWarning {
    /// The kernel has an address there.
    #[error(
        "this host itself has the link-local address {address} on `{interface}` and answers \
         there; `sysctl -w {}` ends that",
        without_v6(interface)
    )]
    LinkLocal {
        /// The interface.
        interface: String,
        /// The address.
        address: IpAddr,
    },
    /// The host takes packets for itself from the ends.
    #[error(
        "packets from the ends reach this host itself at {address} of `{interface}` past the filter, \
         since the kernel takes packets for any of its addresses from every interface: run the \
         filter in a network namespace that has no interface but the ends"
    )]
    ReachesHost {
        /// The interface with the address.
        interface: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// Nobody is behind a wire.
    #[error("no workload is behind `{interface}`, so whatever it sends is denied as spoofed")]
    NobodyBehind {
        /// The inner end.
        interface: String,
    },
    /// A workload names an interface that is no end.
    #[error(
        "workload `{workload}` is behind `{interface}`, which is no end of a wire; it is a peer \
         here, and its policy is not enforced"
    )]
    Elsewhere {
        /// The workload.
        workload: String,
        /// The interface it names.
        interface: String,
    },
    /// Policy selects a host.
    #[error(
        "the policy of host `{workload}` is not enforced: it is not behind a wire. The workloads \
         take what it sends, as from the host that they run on"
    )]
    Host {
        /// The host.
        workload: String,
    },
}

/// Finds the interfaces of `ends` on `host`, and the workloads of `tables` behind them.
///
/// # Errors
///
/// The first [`WireError`].
pub fn wires(tables: &Tables, ends: &[Ends], host: &impl Host) -> Result<Wires, WireError> {
    fit_wires(tables, ends, host, &Settings(settings::read))
}

/// As [`wires`], with the kernel's settings.
fn fit_wires(
    tables: &Tables,
    ends: &[Ends],
    host: &impl Host,
    settings: &Settings<impl Fn(&str) -> Option<String>>,
) -> Result<Wires, WireError> {
    let mut fitting = Fitting { host, taken: BTreeSet::new(), warnings: Vec::new() };
    let mut wires = Vec::new();
    for Ends { inside, outside } in ends {
        let inside = fitting.port(inside, settings)?;
        let outside = fitting.port(outside, settings)?;
        wires.push(Wire { inside, outside, endpoints: BTreeSet::new() });
    }
    fitting.links()?;
    fitting.host_addresses(settings);
    let mut endpoints: Vec<(&u32, &EndpointDescription)> = tables.endpoints.iter().collect();
    endpoints.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let mut warnings = fitting.warnings;
    for (number, endpoint) in endpoints {
        if endpoint.host {
            let subject = tables.subjects.get(&endpoint.subject).copied().unwrap_or_default();
            if subject.ingress_forms | subject.egress_forms != 0 {
                warnings.push(WireWarning::Host { workload: endpoint.name.clone() });
            }
        } else if let Some(wire) = wire_of(endpoint, &wires, &mut warnings)? {
            wires[wire].endpoints.insert(*number);
        }
    }
    let empty = wires.iter().filter(|wire| wire.endpoints.is_empty());
    let nobody = |wire: &Wire| WireWarning::NobodyBehind { interface: wire.inside.name.clone() };
    warnings.extend(empty.map(nobody));
    Ok(Wires { wires, warnings })
}

/// Rules 4 and 5; `None` for a workload that is elsewhere.
fn wire_of(
    endpoint: &EndpointDescription,
    wires: &[Wire],
    warnings: &mut Vec<WireWarning>,
) -> Result<Option<usize>, WireError> {
    let Some(interface) = &endpoint.interface else {
        return match wires {
            [_] => Ok(Some(0)),
            _ => Err(WireError::WhichWire {
                workload: endpoint.name.clone(),
                insides: wires.iter().map(|wire| wire.inside.name.clone()).collect(),
            }),
        };
    };
    if let Some(behind) = wires.iter().position(|wire| wire.inside.name == *interface) {
        return Ok(Some(behind));
    }
    if !wires.iter().any(|wire| wire.outside.name == *interface) {
        let (workload, interface) = (endpoint.name.clone(), interface.clone());
        warnings.push(WireWarning::Elsewhere { workload, interface });
    }
    Ok(None)
}

struct Fitting<'h, H> {
    host: &'h H,
    taken: BTreeSet<u32>,
    warnings: Vec<WireWarning>,
}

impl<H: Host> Fitting<'_, H> {
    /// Rules 1 and 2.
    fn port(
        &mut self,
        name: &str,
        settings: &Settings<impl Fn(&str) -> Option<String>>,
    ) -> Result<Port, WireError> {
        let interfaces = self.host.interfaces();
        let found = interfaces.iter().find(|interface| interface.name == name);
        let Some(found) = found else {
            let similar = similar(name, interfaces);
            return Err(WireError::NoInterface { interface: name.to_owned(), similar });
        };
        let interface = name.to_owned();
        if !self.taken.insert(found.index) {
            return Err(WireError::Twice { interface });
        }
        if found.link_layer != LinkLayer::Ethernet {
            return Err(WireError::NotEthernet { interface });
        }
        if let Some(master) = found.master {
            let of = |other: &&Interface| other.index == master;
            let master = interfaces.iter().find(of).map(|master| master.name.clone());
            let master = master.unwrap_or_else(|| "another interface".to_owned());
            return Err(WireError::Enslaved { interface, master });
        }
        self.addresses(found)?;
        if let Some((setting, remedy)) = settings.forwarding(name) {
            return Err(WireError::Forwards { interface, setting, remedy });
        }
        if !found.up {
            return Err(WireError::Down { interface });
        }
        Ok(Port { index: found.index, name: interface })
    }

    fn addresses(&mut self, found: &Interface) -> Result<(), WireError> {
        for own in self.host.addresses().iter().filter(|own| own.interface == found.index) {
            let (interface, address) = (found.name.clone(), own.address);
            match address {
                IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                    self.warnings.push(WireWarning::LinkLocal { interface, address });
                }
                _ => return Err(WireError::HasAddress { interface, address }),
            }
        }
        Ok(())
    }

    /// No end is linked to another.
    fn links(&self) -> Result<(), WireError> {
        let interfaces = self.host.interfaces();
        let ends = || interfaces.iter().filter(|one| self.taken.contains(&one.index));
        for end in ends() {
            if let Some(other) = ends().find(|other| end.link == Some(other.index)) {
                let (interface, other) = (end.name.clone(), other.name.clone());
                return Err(WireError::Linked { interface, other });
            }
        }
        Ok(())
    }

    /// Rule 3: one address for each interface. An address of the loopback network or of a link is
    /// not taken from other interfaces.
    fn host_addresses(&mut self, settings: &Settings<impl Fn(&str) -> Option<String>>) {
        let interfaces = self.host.interfaces();
        let ends = interfaces.iter().filter(|one| self.taken.contains(&one.index));
        let v6 = ends.map(|end| &end.name).any(|name| settings.takes_v6(name));
        for other in interfaces.iter().filter(|one| !self.taken.contains(&one.index)) {
            let is_reached = |address: &IpAddr| match address {
                IpAddr::V4(v4) => !v4.is_loopback(),
                IpAddr::V6(address) => {
                    v6 && !address.is_loopback() && !address.is_unicast_link_local()
                }
            };
            let own = self.host.addresses().iter().filter(|own| own.interface == other.index);
            if let Some(address) = own.map(|own| own.address).find(is_reached) {
                let interface = other.name.clone();
                self.warnings.push(WireWarning::ReachesHost { interface, address });
            }
        }
    }
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests;
