//! What Ringfence is tried on: network namespaces with workloads in them, connections between
//! them, packets of every kind, and the demo.
#![deny(unsafe_code)]

pub mod affinity;
pub mod agreement;
pub mod case;
pub mod chain_eval;
pub mod connectivity;
pub mod conntrack;
pub mod demo;
pub mod environment;
pub mod fuzz;
pub mod interrupt;
pub mod lab;
pub mod netns;
pub mod packet;
pub mod port;
pub mod prober;
pub mod random;
pub mod render;
pub mod require;
pub mod shortest;
pub mod suite;
pub mod topology;
pub mod traffic;
pub mod transfer;
pub mod veth;
pub mod workload;
