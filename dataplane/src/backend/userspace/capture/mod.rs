//! Recorded packets: reading captures, deciding what is in them, writing what was denied.
//!
//! Captures are pcap and pcapng files of Ethernet frames. A frame of which only the first part was
//! recorded is decided by that part and by its length on the wire, so that a capture of headers
//! alone gives the verdicts that the whole frames would have got; headers that were not recorded
//! count as missing.

mod read;
mod replay;
#[cfg(test)]
mod tests;
mod write;

pub use self::read::{CaptureError, Reader, Record};
pub use self::replay::{At, Decided, Options, Replay};
pub use self::write::Writer;
