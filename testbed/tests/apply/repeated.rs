//! Applies after the first: they touch what differs, and the maps hold what they should.

use std::collections::BTreeMap;

use ringfence_dataplane::backend::How;
use ringfence_dataplane::enforce::Change;
use ringfence_testbed::require;

use crate::host::{Documents, Host, UNFINISHED, ingress, usual_policies};

fn changes(changes: &BTreeMap<String, Change>) -> Vec<(&str, Change)> {
    changes.iter().map(|(name, change)| (name.as_str(), *change)).collect()
}

const API: &str = "networkpolicy/shop/api";
const DB: &str = "networkpolicy/shop/db";

#[test]
fn the_same_again_touches_nothing() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    let first = host.apply(&documents);
    assert_eq!((first.how, first.generation), (How::Switched, 1));
    assert_eq!(changes(&first.policies), [(API, Change::Created), (DB, Change::Created)]);
    assert_eq!((first.local, first.remote), (4, 0), "{first:?}");
    assert_eq!(first.hooks.len(), 8, "two hooks at three workloads and the uplink: {first:?}");
    let state = host.state();
    let status = host.status().unwrap();
    assert_eq!(status.policies.as_deref().unwrap(), [API, DB]);
    assert!(status.installed.attached.iter().all(|attached| attached.alive), "{status:?}");

    let again = host.apply(&documents);
    assert_eq!((again.how, again.generation, again.touched), (How::Nothing, 1, 0));
    assert_eq!(changes(&again.policies), [(API, Change::Unchanged), (DB, Change::Unchanged)]);
    assert_eq!((again.entries, again.hooks.len()), ([0; 3], 0), "{again:?}");
    assert!(again.lines().iter().any(|line| line.contains("nothing to do")), "{again:?}");
    assert_eq!(host.state(), state);
}

#[test]
fn one_changed_rule_touches_few_entries() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let [api, db] = usual_policies();
    host.apply(&Documents::shop(&[api.clone(), db.clone()]));
    let mut generation = 1;
    for (what, changed, how) in [
        ("one more peer", ingress("db", &["api", "web"], &[5432]), How::InPlace),
        ("one peer less", ingress("db", &["web"], &[5432]), How::InPlace),
        // What comes and what goes would be two stores.
        ("another peer", ingress("db", &["api"], &[5432]), How::Switched),
        ("another port", ingress("db", &["api"], &[5433]), How::Switched),
        ("one more port", ingress("db", &["api"], &[5433, 8080]), How::InPlace),
        ("the old port", ingress("db", &["api"], &[5432]), How::Switched),
        // With the last entry of a kind goes the kind, which stands at the hooks as well.
        ("no rule", ingress("db", &[], &[5432]), How::Switched),
    ] {
        let documents = Documents::shop(&[api.clone(), changed]);
        let summary = host.apply(&documents);
        generation += 1;
        assert_eq!((summary.how, summary.generation), (how, generation), "{what}");
        if how == How::InPlace {
            assert!((1..=10).contains(&summary.touched), "{what}: {summary:?}");
        }
        assert_eq!(
            changes(&summary.policies),
            [(API, Change::Unchanged), (DB, Change::Configured)]
        );
        assert_eq!(host.apply(&documents).how, How::Nothing, "{what}");
        host.assert_verdicts(Some(&documents));
    }
}

/// What a change in place left that was interrupted may look finished; flows that were decided
/// before it have to be decided again all the same.
#[test]
fn an_unfinished_generation_is_replaced_as_a_whole() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply(&documents);
    host.change_configs(|config| config.flags |= UNFINISHED);
    host.assert_verdicts(Some(&documents));
    let summary = host.apply(&documents);
    assert_eq!((summary.how, summary.generation), (How::Switched, 2));
    assert_eq!(host.apply(&documents).how, How::Nothing);
}

#[test]
fn a_removed_policy_is_pruned() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let [api, db] = usual_policies();
    host.apply(&Documents::shop(&[api.clone(), db]));
    let fewer = Documents::shop(&[api]);
    let summary = host.apply(&fewer);
    assert_eq!(changes(&summary.policies), [(API, Change::Unchanged), (DB, Change::Pruned)]);
    assert_eq!(summary.generation, 2);
    let none = Documents::shop(&[]);
    assert_eq!(changes(&host.apply(&none).policies), [(API, Change::Pruned)]);
    assert_eq!(host.status().unwrap().policies.unwrap(), [""; 0]);
    host.assert_verdicts(Some(&none));
}
