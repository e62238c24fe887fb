//! Recorded packets.
