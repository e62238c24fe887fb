//! Measurements of real packets, and of real changes, between the machines of the laboratory.

mod setting;

pub use self::setting::Setting;
