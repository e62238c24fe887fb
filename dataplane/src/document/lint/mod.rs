//! What is right by the letter but cannot have been meant.

pub(super) mod idle;
pub(super) mod tiers;
