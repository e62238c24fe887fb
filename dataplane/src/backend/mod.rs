//! Backends: whatever makes a host behave as the tables say.
//!
//! [`host`] takes from the [`crate::compile::Tables`] what concerns one host; every backend that
//! decides packets installs exactly that.

pub mod host;
pub mod userspace;
