//! Streams of packets from a seed.
