//! The laboratory: three machines in a row, and every way of filtering what the middle one forwards.
//!
//! ```text
//!   client ───────── router ───────── server
//! ```
//!
//! The server is a workload of the router's host; a policy of so many rules protects it. What
//! filters is a [`Contender`]; what is asked of it is a [`Case`].

mod case;

pub use self::case::{Case, Contender, Family, Mismatch, Position, Tracking};
