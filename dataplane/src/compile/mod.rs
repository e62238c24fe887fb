//! Policy and inventory to [`Tables`].

mod tables;

pub use tables::{EndpointDescription, IdentityDescription, RuleDescription, Subject, Tables};
