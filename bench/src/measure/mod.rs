//! Measurements of real packets, and of real changes, between the machines of the laboratory.

pub mod change;
pub mod contender;
pub mod scene;

mod findings;
mod setting;

pub use self::findings::Findings;
pub use self::setting::Setting;
