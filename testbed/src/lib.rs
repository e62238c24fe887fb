//! What Ringfence is tried on.
#![deny(unsafe_code)]

pub mod require;
