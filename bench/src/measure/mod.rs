//! Measurements of real packets, and of real changes, between the machines of the laboratory.

pub mod connect;
pub mod counters;
pub mod drop;
mod live;
pub mod loss_free;
#[cfg(test)]
mod pair;
mod setting;
pub mod stream;

pub use self::live::{End, LiveGenerator, LiveSent};
pub use self::setting::Setting;
