//! Measurements of real packets, and of real changes, between the machines of the laboratory.

pub mod change;
pub mod connect;
pub mod contender;
pub mod counters;
pub mod cpu;
pub mod disturbance;
pub mod drop;
pub mod live;
pub mod loss_free;
pub mod memory;
pub mod round_trip;
pub mod scene;
pub mod send;
pub mod stream;

mod fate;
mod findings;
mod one_way;
#[cfg(test)]
mod pair;
mod setting;
#[cfg(test)]
mod trial;

pub use self::fate::Fate;
pub use self::findings::Findings;
pub use self::setting::Setting;
