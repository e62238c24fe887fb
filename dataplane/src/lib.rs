//! The Ringfence engine: policy documents to verdicts on packets.
//!
//! The modules are the data flow. Documents ([`document`]) become a [`model`] that cannot be
//! wrong; [`compile`] turns it into [`compile::Tables`], plain data that says everything a
//! dataplane needs; a [`backend`] makes a host behave as the tables say; [`enforce`] plans, applies
//! and takes back. The [`oracle`] reads the model alone and says what must come out.
//!
//! Everything down to `Tables` is pure: same input, same output, no clock, no kernel.
#![deny(unsafe_code)]

pub mod backend;
pub mod compile;
pub mod document;
pub mod enforce;
pub mod model;
pub mod observe;
pub mod oracle;
