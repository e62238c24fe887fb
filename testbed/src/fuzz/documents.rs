//! Any text as policy documents.

use std::time::{Duration, Instant};

use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Report, Validation};

/// What the largest input that libFuzzer makes may take, with coverage and little optimising, on a
/// busy machine. An ordinary one takes less than a thousandth of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first byte says how strictly to read, the rest is the text; bytes that are not UTF-8 are
/// replaced, as nothing else can reach the reader.
///
/// # Panics
///
/// When reading takes longer than ten seconds, or says something else the second time; when a
/// diagnostic names a place outside the text or draws a control character; when the report has both
/// policies and errors, or neither; when accepted documents give tables that cannot be described,
/// or other tables the second time.
pub fn documents(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let validation = match first % 4 {
        0 => Validation::Warn,
        1 => Validation::Ignore,
        _ => Validation::Strict,
    };
    let text = String::from_utf8_lossy(rest);
    let begin = Instant::now();
    let report = read(&text, validation);
    check_report(&report, &text);
    assert!(begin.elapsed() < PATIENCE, "reading took {:?}", begin.elapsed());
    let Some(policies) = &report.policies else { return };
    let again = read(&text, validation);
    assert_eq!(again.policies.as_ref(), Some(policies), "the same text was read differently");
    match (compile(policies), compile(policies)) {
        (Ok(tables), Ok(same)) => {
            assert!(tables == same, "the same policies gave other tables");
            assert!(!tables.to_string().contains('\u{1b}'), "a terminal escape got through");
        }
        (Err(refusal), Err(same)) => {
            assert_eq!(refusal, same);
            assert!(!refusal.to_string().is_empty(), "a refusal says why");
        }
        (first, second) => {
            panic!("compiled once and refused once: {:?}, {:?}", first.err(), second.err())
        }
    }
    assert!(begin.elapsed() < PATIENCE, "reading and compiling took {:?}", begin.elapsed());
}

fn read(text: &str, validation: Validation) -> Report {
    let input = Input::Text { name: "fuzzed.yaml".to_owned(), text: text.to_owned() };
    document::read(&[input], validation)
}

fn check_report(report: &Report, text: &str) {
    assert_eq!(report.policies.is_some(), !report.has_errors(), "errors and policies");
    let drawn = report.render(false);
    assert_eq!(drawn.is_empty(), report.diagnostics.is_empty(), "what is found is drawn");
    let escapes = |c: char| c.is_control() && c != '\n';
    assert!(!drawn.contains(escapes), "a control character got through: {drawn:?}");
    let lines = text.matches('\n').count() + 1;
    for diagnostic in &report.diagnostics {
        let related = diagnostic.related.iter().map(|(place, _)| place);
        for place in related.chain(&diagnostic.place) {
            assert!((1..=lines).contains(&place.line), "{diagnostic}");
            assert!(place.column >= 1, "{diagnostic}");
            let (begin, end) = ((place.line, place.column), (place.end_line, place.end_column));
            assert!(begin <= end, "{diagnostic}");
        }
    }
}
