//! What Ringfence is tried on.
