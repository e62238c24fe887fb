//! Diagnostics as text: the offending lines with marks below them, as rustc draws them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet,
};

use super::diagnostic::{Diagnostic, Severity};
use super::limits;
use super::source::{Place, Sources};

/// Lines shown before and after a marked one.
const CONTEXT_LINES: usize = 1;

/// Marks further apart than this many lines are drawn as separate pieces of the file.
const JOINED_LINES: usize = 8;

/// One diagnostic as text of several lines, without a line break at its end.
pub(super) fn render(diagnostic: &Diagnostic, sources: &Sources, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.to_string());
    let main = Group::with_title(title).elements(snippets(diagnostic, sources));
    let mut groups = vec![main];
    if let Some(help) = &diagnostic.help {
        groups.push(Group::with_title(Level::HELP.secondary_title(help.as_str())));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    without_c1(renderer.decor_style(DecorStyle::Ascii).render(&groups))
}

/// Replaces the control characters that the renderer leaves as they are in the lines it draws:
/// U+009B begins a terminal escape as ESC does (ECMA-48 §5.3), and the renderer uses none of them.
fn without_c1(text: String) -> String {
    text.replace(|c| matches!(c, '\u{7f}'..='\u{9f}'), "\u{fffd}")
}

/// A mark below a piece of text.
struct Mark<'d> {
    place: &'d Place,
    label: &'d str,
    kind: AnnotationKind,
}

fn snippets<'d>(diagnostic: &'d Diagnostic, sources: &'d Sources) -> Vec<Element<'d>> {
    let primary = diagnostic.place.iter().map(|place| Mark {
        place,
        label: &diagnostic.label,
        kind: AnnotationKind::Primary,
    });
    let related = diagnostic.related.iter().map(|(place, label)| Mark {
        place,
        label,
        kind: AnnotationKind::Context,
    });
    let mut pieces: Vec<Vec<Mark<'d>>> = Vec::new();
    for mark in primary.chain(related) {
        let near = |other: &Mark<'d>| {
            other.place.span.source == mark.place.span.source
                && other.place.line.abs_diff(mark.place.line) <= JOINED_LINES
        };
        match pieces.iter_mut().find(|piece| near(&piece[0])) {
            Some(piece) => piece.push(mark),
            None => pieces.push(vec![mark]),
        }
    }
    pieces.iter().flat_map(|marks| snippet(marks, sources)).collect()
}

/// The lines around `marks`, which lie close together in one source.
fn snippet<'d>(marks: &[Mark<'d>], sources: &'d Sources) -> Vec<Element<'d>> {
    let source = sources.get(marks[0].place.span);
    let first = marks.iter().map(|mark| mark.place.line).min().unwrap_or(1);
    let last = marks.iter().map(|mark| mark.place.line).max().unwrap_or(1);
    let first = first.saturating_sub(CONTEXT_LINES).max(1);
    let last = (last + CONTEXT_LINES).min(source.line_count());
    let (start, text) = source.lines(first, last);
    if text.lines().all(|line| line.len() <= limits::DRAWN_LINE_BYTES) {
        let snippet = Snippet::source(text).line_start(first).path(source.name.as_ref());
        return vec![snippet.annotations(annotations(marks, start, text)).into()];
    }
    // A line this long is machine-made and cannot be read anyway; the place has to do.
    let place = marks[0].place;
    let origin = Origin::path(place.file.as_ref()).line(place.line).char_column(place.column);
    vec![origin.into(), Level::NOTE.message(marks[0].label).into()]
}

/// `marks` within `text`, which begins at byte `start` of its source.
fn annotations<'d>(marks: &[Mark<'d>], start: usize, text: &str) -> Vec<Annotation<'d>> {
    let within = |offset: u32| (offset as usize).saturating_sub(start).min(text.len());
    let annotation = |mark: &Mark<'d>| {
        let span = mark.place.span;
        mark.kind.span(within(span.start)..within(span.end)).label(mark.label)
    };
    marks.iter().map(annotation).collect()
}
