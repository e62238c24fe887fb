//! Walking a tree of values: typed access that reports whatever does not fit and goes on.

use super::codes::Code;
use super::diagnostic::{Diagnostic, Findings, Severity};
use super::source::{Place, Sources, Span};
use super::yaml::{Entry, Node, Problem, Resolved, Value};
use super::{Options, Validation};

/// What everything that reads a document has at hand.
pub(super) struct Context<'r> {
    pub sources: &'r Sources,
    pub options: &'r Options,
    pub findings: &'r mut Findings,
}

/// A mapping whose fields are known.
pub(super) struct Object<'n, 't> {
    /// Its first line.
    pub span: Span,
    entries: &'n [Entry<'t>],
    fields: Fields,
}

/// Whether fields that are not in the list are faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// They are; `validation` says how bad.
    Known(&'static [&'static str]),
    /// They belong to somebody else.
    Open,
}

impl<'n, 't> Object<'n, 't> {
    /// The field `name`, unless it is absent or null, which mean the same in the API.
    pub fn get(&self, name: &str) -> Option<&'n Entry<'t>> {
        self.entries.iter().find(|entry| entry.key.text() == name && !entry.value.is_null())
    }

    /// The value of field `name`.
    pub fn value(&self, name: &str) -> Option<&'n Node<'t>> {
        self.get(name).map(|entry| &entry.value)
    }

    /// All entries.
    pub fn entries(&self) -> &'n [Entry<'t>] {
        self.entries
    }
}

impl Context<'_> {
    /// Lines and columns of `span`.
    pub fn place(&self, span: Span) -> Place {
        self.sources.place(span)
    }

    /// Where a rule stands, for people: `file:line`.
    pub fn origin(&self, span: Span) -> String {
        let place = self.place(span);
        format!("{}:{}", place.file, place.line)
    }

    /// Reports an error.
    pub fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.report(code, Severity::Error, span, message)
    }

    /// Reports a warning.
    pub fn warning(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.report(code, Severity::Warning, span, message)
    }

    pub fn report(
        &mut self,
        code: Code,
        severity: Severity,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let place = self.place(span);
        self.findings.add(Diagnostic::new(code, severity, message)).at(place, "")
    }

    /// How bad it is that a document says more than is understood; `None` if that is ignored.
    pub fn surplus(&self) -> Option<Severity> {
        match self.options.validation {
            Validation::Strict => Some(Severity::Error),
            Validation::Warn => Some(Severity::Warning),
            Validation::Ignore => None,
        }
    }

    /// Reports a fault of the text itself.
    pub fn problem(&mut self, problem: Problem) {
        let severity =
            if problem.code == Code::DuplicateKey { self.surplus() } else { Some(Severity::Error) };
        let Some(severity) = severity else { return };
        let first = problem.first.map(|first| self.place(first));
        let diagnostic = self.report(problem.code, severity, problem.span, problem.message);
        diagnostic.label(problem.label).help(problem.help);
        if let Some(first) = first {
            diagnostic.related(first, "it is here first");
        }
    }

    /// `node` as a mapping that is `what` (with its article) and has these fields.
    pub fn object<'n, 't>(
        &mut self,
        node: &'n Node<'t>,
        what: &str,
        fields: Fields,
    ) -> Option<Object<'n, 't>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, &format!("{what} is a mapping"));
            return None;
        };
        if let (Fields::Known(known), Some(severity)) = (fields, self.surplus()) {
            for entry in entries.iter().filter(|entry| !known.contains(&entry.key.text())) {
                self.unknown_field(entry, what, known, severity);
            }
        }
        Some(Object { span: node.span, entries, fields })
    }

    fn unknown_field(&mut self, entry: &Entry, what: &str, known: &[&str], severity: Severity) {
        let name = entry.key.text();
        let help = match nearest(name, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("its fields are {}", list(known)),
        };
        self.report(
            Code::UnknownField,
            severity,
            entry.key.span,
            format!("unknown field `{name}`"),
        )
        .label(format!("{what} has no such field"))
        .help(help);
    }

    /// Reports that `object`, which is `what`, lacks `field`, unless a slip of `field` is there and
    /// has been reported as an unknown one.
    pub fn missing(&mut self, object: &Object, what: &str, field: &str) {
        let slip = object.entries.iter().map(|entry| entry.key.text()).find(|name| {
            let known = matches!(object.fields, Fields::Known(known) if known.contains(name));
            !known && nearest(name, &[field]).is_some()
        });
        let reported = self.options.validation == Validation::Strict
            && matches!(object.fields, Fields::Known(_));
        if slip.is_some() && reported {
            return;
        }
        let help = match slip {
            Some(slip) => format!("`{slip}` looks like a slip of it"),
            None => format!("add `{field}:`"),
        };
        self.error(Code::MissingField, object.span, format!("`{field}` is missing"))
            .label(format!("{what} needs it"))
            .help(help);
    }

    /// Reports that `node` is of another type than `expected` says in a sentence.
    pub fn wrong_type(&mut self, node: &Node, expected: &str) {
        let found = node.describe();
        self.error(Code::WrongType, node.span, format!("{expected}, not {found}"))
            .label(format!("this is {found}"))
            .help("check the indentation, and look for a `-` too many or too few");
    }

    /// `node` as a list; `what` says what it is: "`from` is a list of peers".
    pub fn list<'n, 't>(&mut self, node: &'n Node<'t>, what: &str) -> Option<&'n [Node<'t>]> {
        match &node.value {
            Value::Sequence(items) => Some(items),
            _ => {
                self.wrong_type(node, what);
                None
            }
        }
    }

    /// `node` as text; `what` names it: "a label's value".
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let Value::Scalar(scalar) = &node.value else {
            self.wrong_type(node, &format!("{what} is text"));
            return None;
        };
        let resolved = scalar.resolve();
        if resolved != Resolved::Text {
            let found = resolved.describe();
            self.error(Code::Unquoted, node.span, format!("{what} is text, not {found}"))
                .label(format!("without quotes, YAML reads this as {found}"))
                .help(format!("quote it: `\"{}\"`", scalar.text));
            return None;
        }
        Some(&scalar.text)
    }

    /// `node` as an integer.
    pub fn integer(&mut self, node: &Node, what: &str) -> Option<i64> {
        let resolved = match &node.value {
            Value::Scalar(scalar) => scalar.resolve(),
            _ => Resolved::Text,
        };
        match resolved {
            Resolved::Integer(number) => Some(number),
            Resolved::OddInteger => {
                self.error(
                    Code::NumberNotation,
                    node.span,
                    format!("{what} is not written in plain decimal"),
                )
                .label("YAML versions disagree about what this means")
                .help("write the number in decimal, without leading zeros, `_`, `0x` or `+`");
                None
            }
            _ => {
                self.wrong_type(node, &format!("{what} is a number"));
                None
            }
        }
    }

    /// `node` as a boolean.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let resolved = match &node.value {
            Value::Scalar(scalar) => scalar.resolve(),
            _ => Resolved::Text,
        };
        if let Resolved::Boolean(boolean) = resolved {
            return Some(boolean);
        }
        self.wrong_type(node, &format!("{what} is `true` or `false`"));
        None
    }

    /// `node` as one of a few words, each with what it stands for.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = match nearest(text, &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it is one of {}", list(&known)),
        };
        self.error(Code::NotAllowed, node.span, format!("{what} cannot be `{text}`"))
            .label(format!("not one of {}", list(&known)))
            .help(help);
        None
    }
}

/// The known word that `word` is most likely a slip of.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    /// A slip or two; in short words one.
    fn allowed(word: &str) -> usize {
        (word.chars().count() / 3).clamp(1, 3)
    }
    let lower = word.to_lowercase();
    known
        .iter()
        .map(|known| (strsim::osa_distance(&lower, &known.to_lowercase()), *known))
        .filter(|(distance, known)| *distance <= allowed(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Words for a sentence: `a`, `b` or `c`.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let rule = ["from", "ports"];
        assert_eq!(nearest("form", &rule), Some("from"));
        assert_eq!(nearest("From", &rule), Some("from"));
        assert_eq!(nearest("port", &rule), Some("ports"));
        assert_eq!(nearest("peers", &rule), None);
        let spec = ["podSelector", "policyTypes", "ingress", "egress"];
        assert_eq!(nearest("podselector", &spec), Some("podSelector"));
        assert_eq!(nearest("policyType", &spec), Some("policyTypes"));
        assert_eq!(nearest("ingres", &spec), Some("ingress"));
        assert_eq!(nearest("to", &["from", "ports"]), None);
    }
}
