//! Case files against backends.

pub mod live;
