//! Which interfaces a packet passes on a host that has all workloads, and whose side each decides.

use ringfence_dataplane::model::{Direction, Workload, WorkloadName};

use super::backend::At;

/// An interface on a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station<'c> {
    /// The interface.
    pub at: At<'c>,
    /// The way through it, as [`super::Backend::see`] takes it.
    pub direction: Direction,
    /// Whether the source's egress is decided there.
    pub egress: bool,
    /// Whether the destination's ingress is decided there.
    pub ingress: bool,
}

/// The way from one end to the other; nothing stands for an address that no workload has. `host`
/// is the host's name, where it is described.
///
/// The host has no interface to itself: its side is decided where its packets pass, at the
/// interface of its workload or at the uplink.
pub fn stations<'c>(
    source: Option<&'c Workload>,
    destination: Option<&'c Workload>,
    host: Option<&'c WorkloadName>,
) -> Vec<Station<'c>> {
    let uplink = At::Uplink(host);
    let is_host = |end: Option<&Workload>| end.is_some_and(|workload| workload.host);
    let (from_host, to_host) = (is_host(source), is_host(destination));
    let mut stations = Vec::new();
    match source {
        Some(workload) if !workload.host => stations.push(Station {
            at: At::Workload(&workload.name),
            direction: Direction::Egress,
            egress: true,
            ingress: to_host,
        }),
        Some(_) => {}
        None => stations.push(Station {
            at: uplink,
            direction: Direction::Ingress,
            egress: false,
            ingress: to_host,
        }),
    }
    match destination {
        Some(workload) if !workload.host => stations.push(Station {
            at: At::Workload(&workload.name),
            direction: Direction::Ingress,
            egress: from_host,
            ingress: true,
        }),
        Some(_) => {}
        None => stations.push(Station {
            at: uplink,
            direction: Direction::Egress,
            egress: from_host,
            ingress: false,
        }),
    }
    stations
}
