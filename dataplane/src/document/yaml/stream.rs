//! A text's documents, one after the other, each within the limits.

use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScanError};

use super::Node;
use super::build::Builder;
use crate::document::codes::Code;
use crate::document::limits;
use crate::document::source::Span;

/// What one run may still read.
#[derive(Debug)]
pub(in crate::document) struct Budget {
    documents: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { documents: limits::DOCUMENTS }
    }
}

/// What is wrong with the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::document) struct Problem {
    pub code: Code,
    pub span: Span,
    pub message: String,
    pub label: String,
    pub help: &'static str,
    /// The first use of a key that is there twice.
    pub first: Option<Span>,
}

/// Gives the documents of `text` to `each`, and what is wrong with the text, both in order.
/// Documents that hold nothing are left out. After a fault the next document goes on.
pub(in crate::document) fn read<'t>(
    source: u32,
    text: &'t str,
    budget: &mut Budget,
    mut each: impl FnMut(Result<Node<'t>, Problem>),
) {
    for (base, chunk) in json_documents(text) {
        let mut reader = Reader { source, base, text, budget: &mut *budget, each: &mut each };
        if !reader.run(chunk) {
            return;
        }
    }
}

/// The JSON documents that `text` strings together, as `kubectl` accepts them, each with its
/// byte offset; the whole text if it is anything else.
fn json_documents(text: &str) -> Vec<(usize, &str)> {
    let whole = vec![(0, text)];
    if !text.trim_start().starts_with('{') {
        return whole;
    }
    let mut chunks = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let mut start = 0;
    while let Some(value) = values.next() {
        if value.is_err() || chunks.len() > limits::DOCUMENTS {
            return whole;
        }
        chunks.push((start, &text[start..values.byte_offset()]));
        start = values.byte_offset();
    }
    chunks
}

struct Reader<'t, 'r, F> {
    source: u32,
    /// Where the chunk begins in the text.
    base: usize,
    text: &'t str,
    budget: &'r mut Budget,
    each: &'r mut F,
}

impl<'t, F: FnMut(Result<Node<'t>, Problem>)> Reader<'t, '_, F> {
    /// Reads one chunk; false when the limit of documents is reached.
    fn run(&mut self, chunk: &'t str) -> bool {
        let options = granit_parser::options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            flow_nesting_limit: limits::DEPTH,
            block_nesting_limit: limits::DEPTH,
        };
        let mut parser = Parser::new_from_str_with_options(chunk, options);
        let mut builder = Builder::new(self.source, self.base, self.text);
        loop {
            let Some(next) = parser.next_event() else { return true };
            let failed = match next {
                Ok((Event::StreamEnd, _)) => return true,
                Ok((Event::DocumentStart(..), span)) => {
                    builder = Builder::new(self.source, self.base, self.text);
                    if self.budget.documents == 0 {
                        let message =
                            format!("there are more than {} documents", limits::DOCUMENTS);
                        let problem = Problem {
                            code: Code::TooMany,
                            span: builder.span(&span),
                            message,
                            label: "reading stops here".into(),
                            help: "split the input",
                            first: None,
                        };
                        (self.each)(Err(problem));
                        return false;
                    }
                    self.budget.documents -= 1;
                    false
                }
                Ok((Event::DocumentEnd, _)) => {
                    self.give(&mut builder);
                    false
                }
                Ok((event, span)) => match builder.event(event, &span) {
                    Ok(()) => false,
                    Err(problem) => {
                        (self.each)(Err(problem));
                        true
                    }
                },
                Err(error) => {
                    let problem = self.syntax(&error);
                    (self.each)(Err(problem));
                    true
                }
            };
            if failed && !matches!(parser.proceed_next_document(), Ok(true)) {
                return true;
            }
        }
    }

    /// Hands over a finished document, after what was odd in it.
    fn give(&mut self, builder: &mut Builder<'t>) {
        let (root, problems) = builder.finish();
        for problem in problems {
            (self.each)(Err(problem));
        }
        if let Some(root) = root.filter(|root| !root.is_null()) {
            (self.each)(Ok(root));
        }
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = self.base + error.marker().byte_offset().unwrap_or_default();
        let at = self.text.floor_char_boundary(at.min(self.text.len()));
        let next = self.text[at..].chars().next();
        let end = at + next.filter(|&next| next != '\n').map_or(0, char::len_utf8);
        let span = Span { source: self.source, start: at as u32, end: end as u32 };
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return too_deep(span);
        }
        let help = match error.kind() {
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart => "indent with spaces; YAML does not allow tabs",
            _ if next == Some('\t') => "indent with spaces; YAML does not allow tabs",
            _ => "the rest of this document was not read; mend it and check again",
        };
        Problem {
            code: Code::Syntax,
            span,
            message: format!("this is neither YAML nor JSON: {}", error.kind()),
            label: "reading stopped here".into(),
            help,
            first: None,
        }
    }
}

/// The problem of a value that lies deeper than [`limits::DEPTH`].
pub(super) fn too_deep(span: Span) -> Problem {
    Problem {
        code: Code::TooDeep,
        span,
        message: format!("lists and mappings are nested more than {} deep", limits::DEPTH),
        label: "this is one level too many".into(),
        help: "no document that Ringfence reads is nested like this; check how it was made",
        first: None,
    }
}
