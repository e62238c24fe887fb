//! Client, router and server, and the cables between them.

use std::net::IpAddr;

use super::asked::sources;
use super::error::LabError;
use super::guardian::Guardian;
use super::policies::inventory;
use crate::netns::Namespace;
use crate::topology::{
    FilterBox, GATEWAY_V4, GATEWAY_V6, INSIDE, OUTSIDE_V4, OUTSIDE_V6, Outsider, Place, Topology,
    TopologyError, UPLINK, UPLINK_V4, UPLINK_V6, Wiring,
};
use crate::veth::{Netlink, NetlinkError};

/// An interface of the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
}

/// The namespaces. Everything in them ends when this does.
#[derive(Debug)]
pub(super) struct Network {
    /// Before the namespaces, so that it is gone before they are.
    _guardian: Guardian,
    topology: Topology,
    pub wiring: Wiring,
    pub uplink: Port,
    pub workload: Port,
}

impl Network {
    pub fn build(wiring: Wiring) -> Result<Self, LabError> {
        let client = Outsider { name: "client".to_owned(), addresses: sources().collect() };
        let topology = Topology::build_wired(&inventory(false), &[client], wiring)?;
        let guardian = Guardian::start(topology.host())?;
        let server = named(&topology, super::policies::SERVER);
        let workload = server.interface.clone().expect("a workload sits behind an interface");
        acquaint(&topology, &workload)?;
        let (uplink, workload) = in_network(topology.host(), |netlink| {
            let port = |name: &str| netlink.index(name).map(|index| (name.to_owned(), index));
            Ok((port(UPLINK)?, port(&workload)?))
        })?;
        let port = |(name, index)| Port { name, index };
        Ok(Self {
            _guardian: guardian,
            topology,
            wiring,
            uplink: port(uplink),
            workload: port(workload),
        })
    }

    pub fn client(&self) -> &Namespace {
        &named(&self.topology, "client").namespace
    }

    pub fn router(&self) -> &Namespace {
        self.topology.host()
    }

    pub fn server(&self) -> &Namespace {
        &named(&self.topology, super::policies::SERVER).namespace
    }

    pub fn filter_box(&self) -> Option<&FilterBox> {
        self.topology.filter_box()
    }
}

fn named<'t>(topology: &'t Topology, name: &str) -> &'t Place {
    let mut places = topology.places().iter();
    let found = places.find(|place| place.name.rsplit('/').next() == Some(name));
    found.expect("client and server are described")
}

/// Tells everybody for good where his neighbours are, so that nobody asks during a measurement.
fn acquaint(topology: &Topology, workload: &str) -> Result<(), LabError> {
    let address = |namespace: &Namespace, interface: &str| {
        in_network(namespace, |netlink| netlink.link_address(interface))
    };
    let router = topology.host();
    let (client, server) = (named(topology, "client"), named(topology, super::policies::SERVER));
    let neighbours: [(&Namespace, &str, Vec<IpAddr>, Vec<u8>); 4] = [
        (
            &client.namespace,
            INSIDE,
            vec![UPLINK_V4.into(), UPLINK_V6.into()],
            address(router, UPLINK)?,
        ),
        (
            router,
            UPLINK,
            vec![OUTSIDE_V4.into(), OUTSIDE_V6.into()],
            address(&client.namespace, INSIDE)?,
        ),
        (router, workload, server.addresses.clone(), address(&server.namespace, INSIDE)?),
        (
            &server.namespace,
            INSIDE,
            vec![GATEWAY_V4.into(), GATEWAY_V6.into()],
            address(router, workload)?,
        ),
    ];
    for (namespace, interface, addresses, link_address) in neighbours {
        in_network(namespace, |netlink| {
            let mut addresses = addresses.iter();
            addresses.try_for_each(|one| netlink.add_neighbour(interface, *one, &link_address))
        })?;
    }
    Ok(())
}

fn in_network<T: Send>(
    namespace: &Namespace,
    requests: impl FnOnce(&Netlink) -> Result<T, NetlinkError> + Send,
) -> Result<T, LabError> {
    namespace.run(|| requests(&Netlink::open()?))?.map_err(|source| {
        TopologyError::Network { place: "client, router and server".to_owned(), source }.into()
    })
}
