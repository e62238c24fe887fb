//! Changes of policy, measured in small: every form really changes what becomes of packets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use aya::maps::{MapData, MapType};
use ringfence_bench::kernel::memory_of_maps;
use ringfence_bench::measure::scene::{Scene, State};
use ringfence_bench::measure::{Findings, change, contender, disturbance, memory};
use ringfence_bench::record::Measurement;
use ringfence_dataplane::enforce::Paths;
use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};
use ringfence_testbed::require::{self, Tool};
use ringfence_testbed::topology::Wiring;

const RULES: usize = 50;

const LIMIT: Duration = Duration::from_secs(30);

fn case(contender: Contender) -> Case {
    Case {
        contender,
        rules: RULES,
        position: Position::Last,
        mismatch: Mismatch::Address,
        tracking: if contender.is_bare() { Tracking::Stateless } else { Tracking::New },
        family: Family::V4,
    }
}

/// One round of everything.
fn once(contender: Contender, limit: Duration) -> Findings {
    let effort = change::Effort { rounds: 1, time: Duration::ZERO, limit };
    change::measure(&case(contender), 1, &effort)
}

/// Variants and statistics, each once.
fn named(found: &Findings) -> BTreeSet<(&str, &str)> {
    let names = found.samples.iter().map(|sample| (&*sample.variant, &*sample.statistic));
    let all: BTreeSet<_> = names.collect();
    assert_eq!(all.len(), found.samples.len(), "each once: {:#?}", found.samples);
    all
}

fn value(found: &Findings, variant: &str, statistic: &str) -> f64 {
    let mut samples = found.samples.iter();
    let sample = samples.find(|one| one.variant == variant && one.statistic == statistic);
    sample.unwrap_or_else(|| panic!("no {statistic} of `{variant}`: {found:#?}")).value
}

/// `change` looks at packets after each change; a form that does not change what becomes of them is
/// an omission.
fn assert_all_forms(contender: Contender, forms: &[&str], has_processes: bool) {
    let found = once(contender, LIMIT);
    assert_eq!(found.omissions, [], "{contender}");
    let mut expected = BTreeSet::new();
    for form in forms {
        expected.extend([(*form, "call"), (*form, "visible")]);
        if has_processes && !form.ends_with("session") {
            expected.insert((*form, "net"));
        }
    }
    assert_eq!(named(&found), expected, "{contender}");
    for sample in found.samples {
        // A packet that is under way to the filter in user space may obey at once.
        let may_be_none = contender == Contender::Userspace && sample.statistic == "visible";
        let is_time = sample.statistic == "net" || sample.value > 0.0 || may_be_none;
        assert!(is_time && sample.measurement == Measurement::Change, "{sample:?}");
    }
}

const ONE_AND_BACK: [&str; 2] = ["one rule", "one rule, removed"];
const HUNDRED_AND_BACK: [&str; 2] = ["100 rules", "100 rules, removed"];
const REBUILT_AND_BACK: [&str; 2] = ["all, rebuilt", "all, rebuilt without one"];
const FLUSHED_AND_BACK: [&str; 2] =
    ["all, flushed and loaded", "all, flushed and loaded without one"];

#[test]
fn every_form_of_the_programs_changes_what_becomes_of_packets() {
    let Some(_granted) = require::kernel() else { return };
    let applied = ["one rule, applied", "one rule, removed, applied"];
    let hurried = ["one rule, at once", "one rule, removed at once"];
    let whole = ["all, loaded", "all, incremental"];
    let pairs = [ONE_AND_BACK, hurried, applied, HUNDRED_AND_BACK, whole, REBUILT_AND_BACK];
    assert_all_forms(Contender::EbpfTcx, &pairs.concat(), false);
}

#[test]
fn every_form_of_the_filter_and_of_chains_changes_what_becomes_of_packets() {
    let Some(_granted) = require::tools(&[Tool::IptablesLegacy, Tool::Ipset]) else { return };
    let forms = [&ONE_AND_BACK[..], &HUNDRED_AND_BACK, &["all, loaded"]].concat();
    assert_all_forms(Contender::Userspace, &forms, false);
    assert_all_forms(Contender::Ipset, &forms, false);
}

#[test]
fn every_form_of_bare_rules_changes_what_becomes_of_packets() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let loaded = ["all, loaded"];
    let inserted = ["one rule, inserted", "one inserted rule, removed"];
    let session = ["one rule, in a session", "one rule, removed in a session"];
    let of_all =
        [&ONE_AND_BACK[..], &HUNDRED_AND_BACK, &REBUILT_AND_BACK, &FLUSHED_AND_BACK, &loaded];
    let of_all = of_all.concat();
    assert_all_forms(Contender::BareIptables, &[&of_all[..], &inserted].concat(), true);
    assert_all_forms(Contender::BareIpset, &of_all, true);
    assert_all_forms(Contender::BareNft, &of_all, true);
    assert_all_forms(Contender::BareNftSet, &[&of_all[..], &session].concat(), true);
}

#[test]
fn what_takes_longer_than_the_limit_is_left_out_with_the_reason() {
    let Some(_granted) = require::tools(&[Tool::IptablesLegacy]) else { return };
    let found = once(Contender::BareIptables, Duration::ZERO);
    assert_eq!(found.samples, []);
    let [omission] = &*found.omissions else { panic!("{found:#?}") };
    assert_eq!(omission.case, case(Contender::BareIptables));
    let why = &omission.why;
    assert!(
        why.contains("iptables-legacy-restore") && why.ends_with("has not ended after 0ns"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_changed_is_left_out_with_the_reason() {
    let of_ports = Case { mismatch: Mismatch::Port, ..case(Contender::BareNftSet) };
    let effort = change::Effort { rounds: 1, time: Duration::ZERO, limit: LIMIT };
    for (case, why) in [
        (of_ports, "changes are measured of rules for addresses of IPv4"),
        (case(Contender::EmptyTcx), "it has no rules that could change"),
    ] {
        let found = change::measure(&case, 2, &effort);
        let [omission] = &*found.omissions else { panic!("{found:#?}") };
        assert!(found.samples.is_empty() && omission.why.contains(why), "{omission:?}");
    }
}

#[test]
fn a_chain_that_is_flushed_first_loses_packets_and_one_that_is_replaced_does_not() {
    let Some(_granted) = require::tools(&[Tool::IptablesLegacy]) else { return };
    let effort = disturbance::Effort { changes: 6, time: LIMIT, limit: LIMIT };
    let found = disturbance::measure(&case(Contender::BareIptables), 1, &effort);
    assert_eq!(found.omissions, []);
    for form in ["one rule", "100 rules", "all, rebuilt", "all, flushed and loaded"] {
        let of = |statistic| value(&found, form, statistic);
        assert_eq!(of("changes"), 6.0, "{form}");
        assert!(of("sent") >= 40.0 && of("sent") % 2.0 == 0.0, "{form}: {found:#?}");
        assert_eq!(of("wrong"), 0.0, "{form}");
        let is_flushed = form == "all, flushed and loaded";
        assert_eq!(of("lost") > 0.0, is_flushed, "{form}: {found:#?}");
    }
}

/// Bytes of a map's values at least, where it has room for all of them from the beginning.
fn values(path: &Path) -> u64 {
    let info = MapData::from_pin(path).unwrap().info().unwrap();
    match info.map_type().unwrap() {
        MapType::Array => {
            u64::from(info.max_entries()) * u64::from(info.value_size().next_multiple_of(8))
        }
        _ => 0,
    }
}

#[test]
fn the_memory_of_the_programs_is_that_of_all_their_maps() {
    let Some(_granted) = require::kernel() else { return };
    let scene = Scene::new(RULES, Wiring::Direct).unwrap();
    let contender = Contender::EbpfTcx;
    let exact = contender::with(contender, &scene, State::Closed, LIMIT, |changing| {
        let without = changing.exact_memory()?;
        changing.reset(State::Standing)?;
        let folder = Paths::default().pins().join("maps");
        let maps = memory_of_maps(&folder)?;
        for name in ["GENERATIONS", "POLICY", "ADDRESSES_V4", "FLOWS", "CACHE"] {
            assert!(maps[name] > 0, "{name}: {maps:?}");
        }
        for (name, bytes) in &maps {
            assert!(*bytes >= values(&folder.join(name)), "{name}: {maps:?}");
        }
        let with = changing.exact_memory()?;
        assert_eq!(with, Some(maps.values().sum()));
        Ok([without, with])
    });
    let [without, with] = exact.unwrap();
    assert!(without < with, "{without:?} {with:?}");
}

#[test]
fn memory_is_told_of_what_keeps_rules() {
    let Some(_granted) = require::tools(&[Tool::Ipset, Tool::IptablesLegacy]) else { return };
    let effort = memory::Effort { rounds: 2, limit: LIMIT };
    let names = |found: &Findings| {
        let samples = found.samples.iter();
        samples.map(|sample| (sample.statistic.clone(), sample.round)).collect::<BTreeSet<_>>()
    };
    let found = memory::measure(&case(Contender::Userspace), 1, &effort);
    assert_eq!((names(&found), found.omissions.len()), ([("process".to_owned(), 1)].into(), 0));
    assert!(value(&found, "", "process") > RULES as f64, "{found:#?}");

    let found = memory::measure(&case(Contender::BareIpset), 1, &effort);
    let statistics = ["fixed", "hosts", "kernel", "kernel, by difference"];
    let expected = [1, 2].map(|round| statistics.map(|name| (name.to_owned(), round)));
    assert_eq!(
        (names(&found), found.omissions.len()),
        (expected.concat().into_iter().collect(), 0)
    );
    // An address and a port at least.
    assert!(value(&found, "", "kernel") >= (8 * RULES) as f64, "{found:#?}");
}
