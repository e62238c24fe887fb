//! `ringfence` on hosts of its own, in the kernel.

mod host;
mod kills;
mod messages;
mod refusing_kernel;
mod userspace;
mod verify;
