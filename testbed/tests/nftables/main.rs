//! Tables of nftables in the kernel: what nft accepts, what an apply touches, what stays as it was.
//! Every test has a network of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accepted;
mod applied;
mod generated;
mod host;
mod interrupted;
mod plans;
