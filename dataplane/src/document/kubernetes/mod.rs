//! Documents of the Kubernetes API. The types have the API's shape, so that they serialise as the
//! API does; reading them reports what does not fit.

mod cluster_network_policy;
mod label;
mod meta;
mod name;
mod namespace;
mod network_policy;
mod peer;
mod pod;
mod policy_model;
mod port;
mod selector;
mod workload_port;

#[cfg(test)]
mod agreement;

use serde::{Serialize, Serializer};

use super::source::Span;

pub(super) use cluster_network_policy::ClusterNetworkPolicy;
pub(super) use meta::ObjectMeta;
pub(super) use name::{NameRule, is_port_name};
pub(super) use namespace::Namespace;
pub(super) use network_policy::NetworkPolicy;
pub(super) use pod::Pod;
pub(super) use policy_model::{PolicyDocument, Role, TierSpans, Use};
pub(super) use workload_port::{read_port_fields, unique_ports};

/// The values of a field `protocol`.
pub(super) const PROTOCOLS: [(&str, crate::model::Protocol); 3] = [
    ("TCP", crate::model::Protocol::Tcp),
    ("UDP", crate::model::Protocol::Udp),
    ("SCTP", crate::model::Protocol::Sctp),
];

/// A value with its place, which is not part of what it says.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub span: Span,
    pub value: T,
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
