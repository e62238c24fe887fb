//! Workloads and measurements.
//!
//! A benchmark says what it works on by naming a function of [`workload`], and checks its own
//! answers: one that measures the wrong thing fails.
#![deny(unsafe_code)]

pub mod changes;
pub mod goals;
pub mod kernel;
pub mod machine;
pub mod measure;
pub mod plan;
pub mod record;
pub mod rounds;
pub mod workload;
