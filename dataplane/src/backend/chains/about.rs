//! What a rule of ours says of itself, in its comment.

use std::fmt;

use ringfence_common::verdict::Reason;

/// What a rule, or an element of a set, is about. Written as its comment, by which it is known
/// again: nothing else that the kernel prints is read.
///
/// `rf:1a2b3c4d networkpolicy/shop/web ingress[0]` for a rule of a document (its number in hex),
/// `rf:NoRule` for a reason, `rf:Jump` and the like for what holds the chains together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// A rule of a document decides.
    Rule {
        /// Its number.
        number: u32,
        /// What it is called: `networkpolicy/shop/web ingress[0]`.
        name: String,
    },
    /// No rule decides; why the packet passes or is refused.
    Reason(Reason),
    /// Nothing is decided: it leads on, in these words without spaces.
    Way(String),
}

impl About {
    /// What each comment of ours begins with.
    pub const MARK: &'static str = "rf:";

    /// The comment, at most `longest` bytes long: a long name loses its end.
    #[must_use]
    pub fn comment(&self, longest: usize) -> String {
        let mut text = self.to_string();
        while text.len() > longest {
            text.pop();
        }
        text
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MARK)?;
        match self {
            Self::Rule { number, name } => write!(f, "{number:08x} {name}"),
            Self::Reason(reason) => f.write_str(reason.name()),
            Self::Way(way) => f.write_str(way),
        }
    }
}
