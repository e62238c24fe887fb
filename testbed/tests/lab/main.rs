//! The laboratory: every contender is put into place, filters as asked, and is gone again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contenders;
mod failures;
mod killed;
mod positions;
mod scene;
mod steering;
