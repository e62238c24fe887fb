//! What policy means, before any number is given to anything.
//!
//! The types here cannot hold a policy that is wrong: a port range has an order, an exception
//! lies within its block, a rule that names ports names their protocol. They depend on `std`
//! (and `ipnet` for prefixes, and the ABI's protocol numbers) and know neither documents nor kernels. [`crate::document`] builds
//! them, [`crate::compile`] and [`crate::oracle`] read them, each in its own way.

mod failsafe;
mod inventory;
mod label;
mod peer;
mod policy;
mod port;
mod selector;

pub use failsafe::{Failsafe, FailsafeError, OpenPorts};
pub use inventory::{
    HOST_LABEL, Inventory, InventoryError, NAMESPACE_NAME_LABEL, NamedPort, Namespace, Workload,
    WorkloadName,
};
pub use label::Labels;
pub use peer::{IpBlock, NamespaceScope, Peer, PeerBlockError, Peers};
pub use policy::{Action, Direction, Policy, PolicyName, PolicySet, Rule, RuleName, Tier};
pub use port::{PortMatch, PortRange, Ports, Protocol};
pub use selector::{Operator, Requirement, Selector};
