//! What is wrong or odd in the input, and all such findings of one run.

use std::fmt;

use super::codes::Code;
use super::limits;
use super::source::Place;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The input means something, but perhaps not what was wanted.
    Warning,
    /// The input cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding: what, where, why, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding; `ringfence explain` says more about it.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter, in one lower-case line.
    pub message: String,
    /// Where; nothing for what has no place in a text, such as a file that cannot be read.
    pub place: Option<Place>,
    /// What is said at the place.
    pub label: String,
    /// Other places that belong to it, each with what is said there.
    pub related: Vec<(Place, String)>,
    /// How to mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    pub(super) fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: visible(message),
            place: None,
            label: String::new(),
            related: Vec::new(),
            help: None,
        }
    }

    pub(super) fn at(&mut self, place: Place, label: impl Into<String>) -> &mut Self {
        self.place = Some(place);
        self.label = visible(label);
        self
    }

    pub(super) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = visible(label);
        self
    }

    pub(super) fn related(&mut self, place: Place, label: impl Into<String>) -> &mut Self {
        self.related.push((place, visible(label)));
        self
    }

    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(visible(help));
        self
    }
}

/// `text`, which may quote a document, with an escape for each character that a terminal obeys and
/// does not show: controls, and those that turn the direction of writing (Unicode UAX #9 §2).
fn visible(text: impl Into<String>) -> String {
    let is_hidden = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text = text.into();
    if !text.contains(is_hidden) {
        return text;
    }
    let escaped = |c: char| if is_hidden(c) { c.escape_unicode().to_string() } else { c.into() };
    text.chars().map(escaped).collect()
}

/// `error[RF0021] policy.yaml:7:9: unknown field …`: one line, for logs and tests.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.severity, self.code)?;
        if let Some(place) = &self.place {
            write!(f, " {}:{}:{}", place.file, place.line, place.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The findings of one run. Beyond [`limits::DIAGNOSTICS`] they are counted only.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub kept: Vec<Diagnostic>,
    pub errors: usize,
    pub warnings: usize,
    /// Takes what is not kept, so that [`Findings::add`] always has something to return.
    surplus: Option<Diagnostic>,
}

impl Findings {
    pub fn add(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.kept.len() < limits::DIAGNOSTICS {
            self.kept.push(diagnostic);
            let last = self.kept.len() - 1;
            &mut self.kept[last]
        } else {
            self.surplus.insert(diagnostic)
        }
    }
}
