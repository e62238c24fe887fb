//! Rules for iptables and ip6tables.

mod addresses;
mod backend;
mod check;
mod condition;
mod endpoints;
mod error;
mod hooks;
mod layout;
mod policy;
mod ruleset;
mod services;
mod source;
mod text;
mod writer;

pub use self::backend::Iptables;
pub use self::layout::Layout;
use super::chains::Plan;

pub(in crate::backend) use self::addresses::{cover, words as address_words};
pub(in crate::backend) use self::condition::{Condition, End};
pub use self::error::RenderError;
pub use self::ruleset::{Chain, Family, Jump, Rule, Ruleset, Table};
pub(in crate::backend) use self::services::{Asked, Packing, words as service_words};
pub use self::text::{chain_lines, declaration, jump_line};
pub(in crate::backend) use self::writer::{Answer, Style, Writer};

/// The rules of one family that do what the plan says.
///
/// # Errors
///
/// [`RenderError`] where iptables has no words for it.
pub fn ruleset(plan: &Plan, family: Family, layout: Layout) -> Result<Ruleset, RenderError> {
    let style = match layout {
        Layout::Structured => Style::Structured,
        Layout::Flat => Style::Flat,
    };
    let (ruleset, _) = Writer::new(plan, family, style)?.write();
    Ok(ruleset)
}
