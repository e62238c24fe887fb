//! Measurements of real packets, and of real changes, between the machines of the laboratory.

pub mod contender;
pub mod cpu;
pub mod round_trip;
pub mod scene;
pub mod send;

mod change;
mod fate;
mod findings;
mod one_way;
mod setting;
#[cfg(test)]
mod trial;

pub use self::change::{Effort, change};
pub use self::fate::Fate;
pub use self::findings::Findings;
pub use self::setting::Setting;
