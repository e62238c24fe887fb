//! The demo's story on the eBPF backend: every connection as the oracle says, and no packet lost.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use ringfence_dataplane::enforce::HookChoice;
use ringfence_testbed::connectivity::Style;
use ringfence_testbed::demo::{self, Live};
use ringfence_testbed::require;

fn tell(hook: HookChoice) {
    let Some(_granted) = require::kernel() else { return };
    let mut out = Vec::new();
    let told = demo::tell(&mut Live::new(hook), &mut out, Style::Plain);
    let text = String::from_utf8(out).unwrap();
    let report = told.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    println!("{text}");
    assert!(report.is_good(), "{text}");
    assert_eq!((report.change.flips_predicted, report.change.flips_measured), (4, 4), "{text}");
    assert_eq!(report.phases[1].hvac_reaches, 1, "the vendor alone\n{text}");
    assert_eq!(report.denials.len(), 4);
    assert!(report.duration_ms < 60_000, "{} ms", report.duration_ms);
}

#[test]
fn every_connection_is_as_expected_with_the_default_hooks() {
    tell(HookChoice::Auto);
}

#[test]
fn every_connection_is_as_expected_with_tcx() {
    tell(HookChoice::Tcx);
}

#[test]
fn every_connection_is_as_expected_with_xdp() {
    tell(HookChoice::Xdp);
}
