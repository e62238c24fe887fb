//! Every code is explained, and the explanation is true: its wrong example produces the code, its
//! right example produces nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ringfence_dataplane::document::{self, Code, Input, Report, Validation, limits};

use crate::{assert_clean, read};

/// The fenced block below `heading`: its language and its text.
fn block<'t>(explanation: &'t str, heading: &str) -> (&'t str, &'t str) {
    let section = explanation
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("there is no section `{heading}`"))
        .1;
    let (_, fenced) = section.split_once("```").expect("the section has a block");
    let (language, rest) = fenced.split_once('\n').expect("the block has lines");
    (language, rest.split_once("```").expect("the block ends").0)
}

/// Codes whose faulty input is no text that fits in an explanation.
fn special(code: Code) -> Option<Report> {
    let bytes = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("the file can be written");
        document::read(&[Input::File(file.path().to_owned())], Validation::Strict)
    };
    Some(match code {
        Code::Unreadable => {
            document::read(&[Input::File(PathBuf::from("polices/"))], Validation::Strict)
        }
        Code::NotUtf8 => bytes(b"\xff\xfek\0i\0n\0d\0"),
        Code::NulCharacter => bytes(b"kind: Pod\0"),
        Code::TooLarge => read(&" ".repeat(limits::FILE_BYTES + 1)),
        Code::TooMany => read(&crate::policy(&format!(
            "  podSelector: {{}}\n  ingress:\n{}",
            "  - {}\n".repeat(limits::ITEMS + 1)
        ))),
        _ => return None,
    })
}

#[test]
fn every_code_is_explained_and_produced() {
    for &code in Code::ALL {
        let explanation = code.explanation();
        let title = format!("# {code}: {}\n", code.title());
        assert!(explanation.starts_with(&title), "{code} begins with `{title}`");
        let (language, wrong) = block(explanation, "Wrong");
        let (_, right) = block(explanation, "Right");
        assert_ne!(wrong, right, "{code}: the examples differ");
        let report = match special(code) {
            Some(report) => {
                assert_eq!(language, "text", "{code} has an input of its own in this test");
                report
            }
            None => {
                assert_eq!(language, "yaml", "{code} has an example that is read");
                assert_clean(&read(right));
                read(wrong)
            }
        };
        let codes: Vec<Code> = report.diagnostics.iter().map(|found| found.code).collect();
        assert!(codes.contains(&code), "{code} is not among {codes:?}\n{}", report.render(false));
        for diagnostic in &report.diagnostics {
            assert!(diagnostic.help.is_some(), "`{diagnostic}` has a way out");
            assert!(
                diagnostic.place.is_none() || !diagnostic.label.is_empty(),
                "`{diagnostic}` says something at its place"
            );
        }
    }
}

#[test]
fn codes_are_unique_and_can_be_looked_up() {
    let mut by_text = BTreeMap::new();
    for &code in Code::ALL {
        assert_eq!(by_text.insert(code.as_str(), code), None, "{code} is there once");
        assert_eq!(code.as_str().parse(), Ok(code));
        assert_eq!(code.as_str().to_lowercase().parse(), Ok(code));
    }
    assert!("RF9999".parse::<Code>().is_err());
    assert!("".parse::<Code>().is_err());
}
