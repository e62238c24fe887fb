//! What exists on both sides of the kernel boundary.
//!
//! This crate is compiled unchanged into the eBPF object and into userspace, so that what the
//! kernel runs is what the tests run. Its charter:
//!
//! * it allocates nothing and panics nowhere;
//! * every loop has a bound named in [`abi::limits`];
//! * no `cfg` makes the kernel build differ from the tested build (the feature `user` adds
//!   trait implementations for the loader and nothing else);
//! * [`abi`] holds bytes shared with the kernel and no behaviour; [`packet`] turns bytes into a
//!   [`packet::Packet`]; [`decide`] turns a packet into a [`verdict::Decision`] with the help of
//!   [`track`] (connections) and [`fragment`] (fragments).
#![no_std]
#![deny(unsafe_code)]

pub mod abi;
pub mod decide;
pub mod fragment;
pub mod packet;
pub mod table;
pub mod track;
pub mod verdict;
