//! Installing rules of iptables, with or without sets of ipset, in both variants and families.
//!
//! # Goals
//!
//! 1. An apply is whole or not at all: what is refused halfway is taken back, and what cannot be
//!    taken back is said.
//! 2. What is as it shall be is not touched; rules and sets of others never are.
//! 3. Nothing that the kernel prints is understood but what we wrote there to be known by.
//!
//! # Design
//!
//! `saved` and `sets` read names, comments and places (3). `transaction` is the way from
//! there to what is wanted, `install` the order in which tables and families go it (1). What was
//! installed is kept in a record, with a number for the text that the kernel printed of each chain
//! and set right after (`prints`): what has another number now has been changed by somebody and
//! is written anew, everything else that differs in nothing is left alone (2).

mod apply;
mod error;
mod host;
mod install;
mod prints;
mod saved;
mod sets;
mod summary;
mod transaction;
mod variant;

pub(super) use self::apply::Wanted;
pub use self::error::XtablesError;
pub(super) use self::host::XtablesHost;
pub use self::variant::Variant;
