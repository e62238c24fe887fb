//! Everything that is checked on random policies, inventories, changes and packets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod agreement;
mod case_files;
mod chains;
mod contents;
mod flows;
mod in_place;
mod kernel;
mod laws;
mod one_store;
mod policies;
mod runs;
mod search;
mod tables;
mod texts;
mod updates;
