//! Input made to exhaust or to mislead (safety P18): refused at once, with a diagnostic.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ringfence_dataplane::document::limits;

use crate::{assert_clean, found, policy, read};

/// Far more than any of these takes in a debug build on a busy machine, far less than what an
/// unbounded reader needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads `text` and compares the codes with their places.
#[track_caller]
fn assert_found(text: &str, expected: &[&str]) {
    let start = Instant::now();
    let report = read(text);
    assert_eq!(found(&report), expected, "\n{}", report.render(false));
    assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
}

#[test]
fn a_million_rules_are_refused() {
    let rules = "  - {}\n".repeat(1_000_000);
    let line = 8 + limits::ITEMS + 1;
    let text = policy(&format!("  podSelector: {{}}\n  ingress:\n{rules}"));
    assert_found(&text, &[&format!("{line}:5 RF0007")]);
}

#[test]
fn deep_nesting_is_refused_in_every_style() {
    let depth = 5_000;
    let flow = format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
    assert_found(&flow, &["1:68 RF0006"]);
    let json = format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_found(&json, &["1:70 RF0006"]);
    let block: String = (0..depth).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert_found(&block, &["65:65 RF0006"]);
    let sequence = "- ".repeat(depth);
    assert_found(&sequence, &["1:129 RF0006"]);
    let unclosed = "[".repeat(depth);
    assert_found(&unclosed, &["1:65 RF0006"]);
}

#[test]
fn the_deepest_document_allowed_is_read_and_dropped() {
    let depth = limits::DEPTH - 2;
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: a }}\nstatus: {}{}\n",
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert_clean(&read(&text));
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in b'b'..=b'z' {
        let (name, before) = (level as char, (level - 1) as char);
        let aliases = vec![format!("*{before}"); 9].join(", ");
        bomb += &format!("{name}: &{name} [{aliases}]\n");
    }
    let report = read(&bomb);
    let codes: Vec<_> = report.diagnostics.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes, ["RF0008"]);
    assert_found("a: &a [*a]\n", &["1:8 RF0008"]);
}

#[test]
fn aliases_cannot_nest_deeper_than_anything_else() {
    let half = limits::DEPTH / 2;
    let text = format!(
        "a: &a {}{}\nb: {}*a{}\n",
        "[".repeat(half),
        "]".repeat(half),
        "[".repeat(half),
        "]".repeat(half)
    );
    assert_found(&text, &[&format!("2:{} RF0006", 4 + half)]);
}

#[test]
fn characters_that_hide_something_are_refused() {
    assert_found("kind: a\0b\n", &["1:8 RF0003"]);
    let look_alike = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels:\n    \
                      app: w\u{435}b\n    \u{430}pp: web\n    kubernetes.io\u{2044}x: web\n";
    assert_found(look_alike, &["6:10 RF0031", "7:5 RF0030", "8:5 RF0030"]);
    let report = read(look_alike);
    assert!(report.diagnostics[0].message.contains("w\\u{435}b"), "the escape makes it visible");
    let escape = "apiVersion: v1\nkind: \"\\e[2J\"\n";
    assert!(!read(escape).render(false).contains('\u{1b}'), "no terminal escape gets through");
    let key = "apiVersion: v1\n\"kin\\ed\": Namespace\n";
    assert!(read(key).render(false).contains("`kin\\u{1b}d` looks like a slip of it"));
    // The control sequence introducer as one character, in a line that is drawn and in a message.
    let short = "apiVersion: v1\nkind: \"\\u009b2J\" # \u{9b}2J\n";
    let drawn = read(short).render(false);
    assert!(!drawn.contains(|c: char| c.is_control() && c != '\n'), "{drawn:?}");
}

#[test]
fn a_byte_order_mark_at_the_start_changes_nothing() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n";
    assert_clean(&read(&format!("\u{feff}{text}")));
    assert_found(&format!("\u{feff}{}", text.replace("Namespace", "Name")), &["2:7 RF0020"]);
    assert_found("\u{feff}a: b: c", &["1:5 RF0004"]);
}

#[test]
fn tabs_and_line_breaks_of_other_systems() {
    assert_found("kind: Pod\nmetadata:\n\tname: x\n", &["3:2 RF0004"]);
    let json = "{\r\n\t\"apiVersion\": \"v1\",\r\n\t\"kind\": \"Namespace\",\r\n\t\"metadata\": \
                {\r\n\t\t\"name\": \"a\"\r\n\t}\r\n}\r\n";
    assert_clean(&read(json));
    assert_found(&json.replace("\"a\"", "5"), &["5:11 RF0024"]);
}

#[test]
fn findings_beyond_the_limit_are_counted() {
    let faults = limits::DIAGNOSTICS + 500;
    let ports: String = (0..faults).map(|_| "        - port: \"80\"\n").collect();
    let text = policy(&format!("  podSelector: {{}}\n  ingress:\n    - ports:\n{ports}"));
    let report = read(&text);
    assert_eq!((report.diagnostics.len(), report.errors()), (limits::DIAGNOSTICS, faults));
    assert!(report.render(false).ends_with("and 500 more, which are not shown\n\n"));
}

#[test]
fn documents_are_counted_even_if_they_are_empty() {
    let text = "---\n".repeat(limits::DOCUMENTS + 5);
    assert_found(&text, &[&format!("{}:1 RF0007", limits::DOCUMENTS + 1)]);
}

proptest! {
    /// Whatever happens to a file, reading and drawing it ends, and every place is in the text.
    #[test]
    fn damaged_files_are_read_to_the_end(
        base in select(&BASES[..]),
        damage in vec((any::<Index>(), 0..4_usize, select(&PIECES[..])), 1..8),
    ) {
        let mut text: Vec<char> = base.chars().collect();
        for (at, cut, piece) in damage {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        let report = read(&text);
        prop_assert_eq!(report.policies.is_some(), !report.has_errors());
        prop_assert_eq!(report.render(false).is_empty(), report.diagnostics.is_empty());
        let lines = text.matches('\n').count() + 1;
        for diagnostic in &report.diagnostics {
            let places = diagnostic.related.iter().map(|(place, _)| place);
            for place in places.chain(&diagnostic.place) {
                prop_assert!((1..=lines).contains(&place.line), "{diagnostic}");
                prop_assert!(
                    (place.line, place.column) <= (place.end_line, place.end_column),
                    "{diagnostic}"
                );
            }
        }
    }
}

/// What is damaged.
const BASES: [&str; 3] = [
    include_str!("fixtures/everything-wrong.yaml"),
    include_str!("fixtures/kubectl-get.yaml"),
    "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \
     \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}}]}\n{\"kind\": \"Pod\"}",
];

/// What it is damaged with.
const PIECES: [&str; 36] = [
    "",
    " ",
    "\n",
    "\t",
    "\r\n",
    "\r",
    "\0",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    ": ",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!x ",
    "'",
    "\"",
    "|",
    ">-\n",
    "#",
    " #",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "é",
    "\u{feff}",
    "\u{2028}",
    "😀",
    "\\",
    "@",
];

#[test]
fn a_very_long_line_is_not_drawn() {
    let item = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"nam": "a"}},"#;
    let items = item.repeat(1_000);
    let text = format!(r#"{{"kind": "List", "apiVersion": "v1", "items": [{items}]}}"#);
    let text = text.replace(",]", "]");
    let report = read(&text);
    assert_eq!(report.errors(), 1_000);
    let drawn = report.render(false);
    assert!(drawn.contains("--> test.yaml:1:103"), "the place is given: {}", &drawn[..300]);
    assert!(drawn.len() < 1_000 * 300, "{} bytes were drawn", drawn.len());
}
