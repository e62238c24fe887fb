//! Parser events to a tree, without recursion and within the limits.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{self, Event, ScalarStyle, Tag};

use super::stream::{Problem, too_deep};
use super::{Entry, Key, Node, Scalar, Value};
use crate::document::codes::Code;
use crate::document::limits;
use crate::document::source::Span;

/// Builds the tree of one document.
pub(super) struct Builder<'t> {
    source: u32,
    base: usize,
    text: &'t str,
    open: Vec<Frame<'t>>,
    anchors: BTreeMap<usize, Node<'t>>,
    values: usize,
    aliased: usize,
    root: Option<Node<'t>>,
    problems: Vec<Problem>,
}

/// A sequence or mapping that has not ended yet.
struct Frame<'t> {
    start: Span,
    anchor: usize,
    items: Items<'t>,
}

enum Items<'t> {
    Sequence(Vec<Node<'t>>),
    Mapping {
        entries: Vec<Entry<'t>>,
        /// The key that waits for its value; `Err` is the place of one that is no text.
        key: Option<Result<Key<'t>, Span>>,
    },
}

impl<'t> Builder<'t> {
    /// A builder for a document of `source`, whose parser sees `text` from byte `base` on.
    pub fn new(source: u32, base: usize, text: &'t str) -> Self {
        Self {
            source,
            base,
            text,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            values: 0,
            aliased: 0,
            root: None,
            problems: Vec::new(),
        }
    }

    /// Where a piece lies that the parser found.
    pub fn span(&self, span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or_default();
        let start = (self.base + range.start).min(self.text.len());
        let end = (self.base + range.end).clamp(start, self.text.len());
        // Of a piece of several lines the first is enough to find it.
        let piece = &self.text[start..end];
        let line = piece.split(['\n', '\r']).next().unwrap_or_default().trim_end();
        Span { source: self.source, start: start as u32, end: (start + line.len()) as u32 }
    }

    /// Takes the next event of the document.
    ///
    /// # Errors
    ///
    /// A limit that is exceeded; the document is abandoned then.
    pub fn event(&mut self, event: Event<'t>, parsed: &granit_parser::Span) -> Result<(), Problem> {
        let span = self.span(parsed);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = self.check_tag(tag.as_deref(), parsed, true);
                let plain = style == ScalarStyle::Plain && !text_tag;
                self.count(1, span)?;
                let value = Value::Scalar(Scalar { text, plain });
                self.close(Node { span, value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), parsed, false);
                self.push(span, anchor, Items::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), parsed, false);
                self.push(span, anchor, Items::Mapping { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.pop(parsed),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                self.problem(
                    Code::Syntax,
                    span,
                    format!("there is no anchor `&{name}` before this alias"),
                    "define the anchor above, or write the value out",
                );
                let value = Value::Scalar(Scalar { text: "".into(), plain: true });
                self.close(Node { span, value }, 0)
            }
            _ => Ok(()),
        }
    }

    /// The document, if it has a value, and what was odd in it.
    pub fn finish(&mut self) -> (Option<Node<'t>>, Vec<Problem>) {
        (self.root.take(), std::mem::take(&mut self.problems))
    }

    fn push(&mut self, start: Span, anchor: usize, items: Items<'t>) -> Result<(), Problem> {
        self.count(1, start)?;
        if self.open.len() == limits::DEPTH {
            return Err(too_deep(start));
        }
        self.open.push(Frame { start, anchor, items });
        Ok(())
    }

    fn pop(&mut self, end: &granit_parser::Span) -> Result<(), Problem> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let end = end.byte_range().map_or(self.base, |range| self.base + range.end);
        let end = end.clamp(frame.start.start as usize, self.text.len());
        let piece = &self.text[frame.start.start as usize..end];
        let line = piece.split(['\n', '\r']).next().unwrap_or_default();
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        let span = Span { end: frame.start.start + line.len() as u32, ..frame.start };
        let value = match frame.items {
            Items::Sequence(items) => Value::Sequence(items),
            Items::Mapping { entries, .. } => Value::Mapping(self.unique(self.merged(entries))),
        };
        self.close(Node { span, value }, frame.anchor)
    }

    /// Puts a finished value where it belongs.
    fn close(&mut self, node: Node<'t>, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            let size = measure(&node, 1).0;
            self.count_aliased(size, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let span = node.span;
        let length = match &mut frame.items {
            Items::Sequence(items) => {
                items.push(node);
                items.len()
            }
            Items::Mapping { entries, key } => {
                match key.take() {
                    None => *key = Some(key_of(node)),
                    Some(Ok(key)) => entries.push(Entry { key, value: node }),
                    Some(Err(at)) => self.problem(
                        Code::WrongType,
                        at,
                        "a key is text, not a list or mapping".into(),
                        "write the key as a word; braces in templates need quotes",
                    ),
                }
                match self.open.last() {
                    Some(Frame { items: Items::Mapping { entries, .. }, .. }) => entries.len(),
                    _ => 0,
                }
            }
        };
        if length > limits::ITEMS {
            return Err(too_many(span, format!("there are more than {} items", limits::ITEMS)));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Problem> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(expansion(span, "this alias contains itself".into()));
        };
        let (size, height) = measure(node, 1);
        let node = node.clone();
        if self.open.len() + height > limits::DEPTH {
            return Err(too_deep(span));
        }
        self.count_aliased(size, span)?;
        self.close(node, 0)
    }

    fn count(&mut self, values: usize, span: Span) -> Result<(), Problem> {
        self.values += values;
        if self.values > limits::VALUES {
            let message = format!("the document has more than {} values", limits::VALUES);
            return Err(too_many(span, message));
        }
        Ok(())
    }

    fn count_aliased(&mut self, values: usize, span: Span) -> Result<(), Problem> {
        self.aliased += values;
        if self.aliased > limits::ALIASED_VALUES {
            let limit = limits::ALIASED_VALUES;
            return Err(expansion(span, format!("aliases stand for more than {limit} values")));
        }
        self.count(values, span)
    }

    /// Notes a tag that documents do not have; true for `!!str`, which makes anything text.
    fn check_tag(&mut self, tag: Option<&Tag>, span: &granit_parser::Span, scalar: bool) -> bool {
        let Some(tag) = tag else { return false };
        if scalar && tag.core_suffix() == Some("str") {
            return true;
        }
        let span = span.tag_span().map_or_else(|| self.span(span), |tag| self.span(&tag));
        self.problem(
            Code::Tag,
            span,
            format!("the tag `{}` has no meaning here", tag.original()),
            "remove the tag; quote the value if it is text",
        );
        false
    }

    /// The entries with those that `<<` brings in; what is written out takes precedence.
    fn merged(&self, entries: Vec<Entry<'t>>) -> Vec<Entry<'t>> {
        let is_merge = |entry: &Entry| entry.key.scalar.plain && entry.key.text() == "<<";
        if !entries.iter().any(is_merge) {
            return entries;
        }
        let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_merge);
        for merge in merges {
            let mappings = match merge.value.value {
                Value::Sequence(items) => items,
                _ => vec![merge.value],
            };
            for mapping in mappings {
                let Value::Mapping(entries) = mapping.value else {
                    own.push(Entry { key: merge.key.clone(), value: mapping });
                    continue;
                };
                for entry in entries {
                    if !own.iter().any(|own| own.key.text() == entry.key.text()) {
                        own.push(entry);
                    }
                }
            }
        }
        own
    }

    /// The entries without those whose key was there before, which are problems.
    fn unique(&mut self, entries: Vec<Entry<'t>>) -> Vec<Entry<'t>> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|&index| (entries[index].key.text(), index));
        let mut doubles = Vec::new();
        let mut first = 0;
        for (position, &index) in order.iter().enumerate() {
            if position == 0 || entries[first].key.text() != entries[index].key.text() {
                first = index;
                continue;
            }
            let (one, other) = (&entries[first].key, &entries[index].key);
            doubles.push(index);
            self.problems.push(Problem {
                code: Code::DuplicateKey,
                span: other.span,
                message: format!("the key `{}` is there twice", other.text()),
                label: "one of the two values would be lost".into(),
                help: "remove one of them, or join their values",
                first: Some(one.span),
            });
        }
        if doubles.is_empty() {
            return entries;
        }
        doubles.sort_unstable();
        let keep = |index: &usize| doubles.binary_search(index).is_err();
        entries.into_iter().enumerate().filter(|(index, _)| keep(index)).map(|(_, e)| e).collect()
    }

    fn problem(&mut self, code: Code, span: Span, message: String, help: &'static str) {
        self.problems.push(Problem {
            code,
            span,
            message,
            label: "this cannot be read".into(),
            help,
            first: None,
        });
    }
}

fn key_of(node: Node<'_>) -> Result<Key<'_>, Span> {
    match node.value {
        Value::Scalar(scalar) => Ok(Key { span: node.span, scalar }),
        _ => Err(node.span),
    }
}

/// How many values a tree has, and how deep it is from `depth` on. The tree is no deeper than
/// [`limits::DEPTH`], so the recursion is not either.
fn measure(node: &Node, depth: usize) -> (usize, usize) {
    let children: Vec<&Node> = match &node.value {
        Value::Scalar(_) => return (1, depth - 1),
        Value::Sequence(items) => items.iter().collect(),
        Value::Mapping(entries) => entries.iter().map(|entry| &entry.value).collect(),
    };
    children.into_iter().fold((1, depth), |(size, deepest), child| {
        let (child_size, child_depth) = measure(child, depth + 1);
        (size + child_size, deepest.max(child_depth))
    })
}

fn too_many(span: Span, message: String) -> Problem {
    let help = "split the document; a policy with so many rules does not fit the maps either";
    let label = "reading stopped here".into();
    Problem { code: Code::TooMany, span, message, label, help, first: None }
}

fn expansion(span: Span, message: String) -> Problem {
    let help = "write the values out, or use fewer aliases of aliases";
    let label = "reading stopped here".into();
    Problem { code: Code::AliasExpansion, span, message, label, help, first: None }
}
