//! What a rule of ours says of itself, in its comment.

use std::fmt;

use ringfence_common::verdict::Reason;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

    /// It leads on, by way of something called so.
    #[must_use]
    pub fn way(name: &str) -> Self {
        Self::Way(name.replace(char::is_whitespace, "_"))
    }

    /// The comment, at most `longest` bytes long: a long name loses its end.
    #[must_use]
    pub fn comment(&self, longest: usize) -> String {
        let mut text = self.to_string();
        while text.len() > longest {
            text.pop();
        }
        text
    }

    /// Reads a comment of ours; nothing if `comment` is none.
    #[must_use]
    pub fn read(comment: &str) -> Option<Self> {
        let text = comment.strip_prefix(Self::MARK)?;
        if let Some((number, name)) = text.split_once(' ') {
            let number = u32::from_str_radix(number, 16).ok().filter(|_| number.len() == 8)?;
            return Some(Self::Rule { number, name: name.to_owned() });
        }
        let reason = Reason::ALL.iter().find(|reason| reason.name() == text);
        Some(reason.map_or_else(|| Self::Way(text.to_owned()), |reason| Self::Reason(*reason)))
    }
}

/// As its comment.
impl Serialize for About {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for About {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no comment of ours")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_read_as_it_was_written() {
        let rule = About::Rule { number: 0x1a2b_3c4d, name: "networkpolicy/shop/web in".into() };
        for about in [rule, About::Reason(Reason::NoRule), About::Way("Jump".into())] {
            assert_eq!(About::read(&about.to_string()), Some(about.clone()), "`{about}`");
            let json = serde_json::to_string(&about).unwrap();
            assert_eq!(serde_json::from_str::<About>(&json).unwrap(), about, "{json}");
        }
        for other in ["", "rule 4", "rf", "rf:12 not eight digits", "RF:NoRule"] {
            assert_eq!(About::read(other), None, "`{other}`");
        }
    }
}
