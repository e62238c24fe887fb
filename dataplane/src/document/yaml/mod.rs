//! Text to trees of values that know their place.
//!
//! The trees are lenient: they hold whatever the text says, so that every fault of a document can
//! be found in one walk. serde-saphyr's typed deserialisation stops at the first, which is why its
//! event parser is used here.

mod build;
mod scalar;
mod stream;

use std::borrow::Cow;

use super::source::Span;

pub(super) use scalar::{Resolved, resolve};
pub(super) use stream::{Budget, Problem, read};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node<'t> {
    /// Where it stands; of sequences and mappings the first line.
    pub span: Span,
    pub value: Value<'t>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'t> {
    Scalar(Scalar<'t>),
    Sequence(Vec<Node<'t>>),
    /// Keys are unique.
    Mapping(Vec<Entry<'t>>),
}

/// A scalar; what it means depends on its quotes, see [`resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar<'t> {
    pub text: Cow<'t, str>,
    pub plain: bool,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    pub key: Key<'t>,
    pub value: Node<'t>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key<'t> {
    pub span: Span,
    pub scalar: Scalar<'t>,
}

impl Key<'_> {
    pub fn text(&self) -> &str {
        &self.scalar.text
    }
}

impl Scalar<'_> {
    /// What a reader of YAML 1.1 takes it for.
    pub fn resolve(&self) -> Resolved {
        if self.plain { resolve(&self.text) } else { Resolved::Text }
    }
}

impl Node<'_> {
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.resolve() == Resolved::Null)
    }

    /// What it is, for a sentence: `a number`.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) => scalar.resolve().describe(),
        }
    }
}
