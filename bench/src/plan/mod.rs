//! The comparison: what is measured, of whom, and in which order.
//!
//! Goals: (a) what is compared is measured in the same minutes; (b) whoever stops it, or whatever
//! fails, keeps what was measured until then; (c) a form that fits a coffee break, and one that
//! leaves nothing out.
//!
//! Design. [`setups`] lists what is installed and what is measured of it. [`run`] installs each in a
//! laboratory of its own, beside one without a filter, and measures in turns (a). After each setup
//! the record is told (b). Everything is done twice, in two passes that share nothing but the
//! machine: how far they agree is how far a figure can be trusted.

mod setups;

pub use self::setups::{Form, Load, Setup, Task, setups};
