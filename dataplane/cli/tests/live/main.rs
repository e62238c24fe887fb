//! `ringfence` on hosts of its own, in the kernel.

mod backends;
mod host;
mod kills;
mod lock_out;
mod messages;
mod refusing_kernel;
mod userspace;
mod verify;
