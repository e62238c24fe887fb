//! What Ringfence is tried on.

pub mod packet;
