//! What can be wrong with nft text.

use std::fmt;

/// A place in a text, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Text that nft would refuse, or that this reading of it does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nft text, {at}: {fault}")]
pub struct NftError {
    /// Where.
    pub at: Position,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A string has no end on its line.
    #[error("this string is not closed on its line")]
    UnclosedQuote,
    /// A character that begins nothing.
    #[error("nothing begins with `{0}`")]
    UnknownCharacter(char),
    /// A colon without a space before it.
    #[error("`{0}` ends with a colon; put a space before the colon")]
    GluedColon(String),
    /// Something else has to stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What may stand here.
        expected: String,
        /// What stands here.
        found: String,
    },
    /// No value of this type is written like that.
    #[error("`{text}` is no {what}")]
    NoValue {
        /// What stands here.
        text: String,
        /// The type.
        what: String,
    },
    /// Types that do not fit together.
    #[error("the key is of type `{found}`, the set of type `{expected}`")]
    TypeMismatch {
        /// The set's type.
        expected: String,
        /// The type of what is looked up, or of an element.
        found: String,
    },
    /// Two protocols in one rule.
    #[error("a rule cannot be about {0} and {1}")]
    ConflictingProtocols(String, String),
    /// Something after a final verdict.
    #[error("nothing after a verdict has any effect")]
    AfterVerdict,
    /// A comment or prefix that is too long.
    #[error("{what} of {length} characters; at most {limit} fit")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A name that nothing has.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// `table`, `chain`, …
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A name that is taken by something else.
    #[error("{what} `{name}` is there already, and is another")]
    Taken {
        /// `chain`, …
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something that is in use cannot be taken away.
    #[error("{what} `{name}` is still used by {user}")]
    InUse {
        /// `chain`, …
        what: &'static str,
        /// The name.
        name: String,
        /// By what.
        user: String,
    },
    /// Two elements for one key.
    #[error("element `{0}` overlaps with element `{1}`")]
    Overlap(String, String),
    /// A range in a set of single keys.
    #[error("`{0}` is an interval; the set lacks `flags interval`")]
    NoIntervals(String),
    /// A verdict in a set, or none in a map.
    #[error("an element of a {0} {1} a verdict")]
    Verdict(&'static str, &'static str),
    /// Chains that lead to themselves, or too far.
    #[error("chain `{0}` leads to itself or through more than {1} chains")]
    TooDeep(String, usize),
    /// A chain at a priority where nothing is known of what it sees.
    #[error("nothing is evaluated at priority {0} of this hook")]
    Priority(i32),
    /// Nothing may jump to a chain with a hook.
    #[error("chain `{0}` has a hook; nothing can jump to it")]
    JumpToBase(String),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}
