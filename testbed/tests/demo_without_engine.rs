//! The demo must not be blind: told with an engine that does nothing, it says so.

use ringfence_common::abi::event::Event;
use ringfence_dataplane::document;
use ringfence_dataplane::model::PolicySet;
use ringfence_testbed::connectivity::Style;
use ringfence_testbed::demo::{self, Applied, Engine, EngineError};
use ringfence_testbed::require;

/// Applies nothing and sees nothing.
struct Idle;

impl Engine for Idle {
    fn apply(&mut self, _: &PolicySet, _: &document::Report) -> Result<Applied, EngineError> {
        Ok(Applied::default())
    }

    fn events(&mut self) -> Result<Vec<Event>, EngineError> {
        Ok(Vec::new())
    }
}

#[test]
fn an_engine_that_does_nothing_is_found_out() {
    let Some(_granted) = require::privileged() else { return };
    let mut out = Vec::new();
    let report = demo::tell(&mut Idle, &mut out, Style::Plain).unwrap();
    let text = String::from_utf8(out).unwrap();
    println!("{text}");

    assert!(!report.is_good());
    let [flat, policy, change] = report.phases.as_slice() else { panic!("three phases") };
    for phase in [flat, policy, change] {
        assert_eq!(phase.open, phase.matrix.cells.len(), "{}: everything answers", phase.name);
        assert_eq!(phase.hvac_reaches, 10);
    }
    assert_eq!(flat.wrong, 0);
    let denied = policy.matrix.cells.values().filter(|cell| !cell.expected).count();
    assert_eq!(policy.wrong, denied, "every cell that policy denies is called wrong");
    assert!(denied > 1_000, "{denied}");
    assert_eq!((report.change.flips_predicted, report.change.flips_measured), (4, 0));
    assert!(!report.change.as_predicted);
    assert!(report.change.transfer.is_whole(), "{:#?}", report.change.transfer);
    assert_eq!(report.denials_missing, 4);
    assert!(text.contains("<---- WRONG"));

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["change"]["asPredicted"], false);
    let cells = json["phases"][1]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), policy.matrix.cells.len());
    let cell = cells
        .iter()
        .find(|cell| cell["source"] == "building/hvac" && cell["destination"] == "stores/pos");
    let expected = serde_json::json!({
        "source": "building/hvac",
        "destination": "stores/pos",
        "protocol": "TCP",
        "port": 53,
        "family": "IPv4",
        "expected": "denied",
        "actual": "allowed",
        "outcome": "answered",
    });
    assert_eq!(cell, Some(&expected));
}

#[test]
fn an_engine_that_fails_ends_the_demo() {
    struct Broken;
    impl Engine for Broken {
        fn apply(&mut self, _: &PolicySet, _: &document::Report) -> Result<Applied, EngineError> {
            Err("the kernel refuses".into())
        }
        fn events(&mut self) -> Result<Vec<Event>, EngineError> {
            Ok(Vec::new())
        }
    }
    let Some(_granted) = require::privileged() else { return };
    let error = demo::tell(&mut Broken, &mut Vec::new(), Style::Plain).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        (error.to_string().as_str(), source.as_str()),
        ("the engine cannot apply the policies", "the kernel refuses")
    );
}
