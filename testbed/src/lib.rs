//! What Ringfence is tried on: network namespaces with workloads in them, connections between
//! them, and the demo.
#![deny(unsafe_code)]

pub mod connectivity;
pub mod netns;
pub mod require;
pub mod topology;
pub mod transfer;
pub mod veth;
pub mod workload;
