//! A dry run changes nothing, and says what an apply does then.

use std::collections::BTreeSet;

use ringfence_dataplane::enforce::{HookChoice, Options, Summary};
use ringfence_testbed::require;

use crate::host::{Documents, Host, ingress, usual_policies};

/// Everything that a dry run foretells; how a hook will be attached is not known
/// before, nor the order of the hooks.
fn foretold(summary: &Summary) -> impl PartialEq + std::fmt::Debug + use<> {
    let hook = |line: &String| line.split(" (").next().unwrap_or_default().to_owned();
    (
        summary.policies.clone(),
        (summary.entries, summary.policy_entries, summary.installed, summary.bytes),
        (summary.local, summary.remote, summary.warnings.clone()),
        summary.hooks.iter().map(hook).collect::<BTreeSet<_>>(),
        (summary.generation, summary.how, summary.mode),
    )
}

#[test]
fn a_dry_run_changes_nothing_and_is_right() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let [api, db] = usual_policies();
    let everywhere = HookChoice::Tcx;
    for (what, policies, hook) in [
        ("the first", vec![api.clone(), db.clone()], HookChoice::Auto),
        ("the same", vec![api.clone(), db.clone()], HookChoice::Auto),
        ("another rule", vec![api.clone(), ingress("db", &["web"], &[5432])], HookChoice::Auto),
        ("other hooks", vec![api.clone(), ingress("db", &["web"], &[5432])], everywhere),
        ("everything new", vec![ingress("web", &["api"], &[8080])], HookChoice::Auto),
        ("nothing", vec![], HookChoice::Auto),
    ] {
        let documents = Documents::shop(&policies);
        let options = Options { hook, ..Options::default() };
        // Who asks about the host takes the lock, whose file stays.
        drop(host.try_apply(&documents, Options { dry_run: true, ..options }).unwrap());
        let before = host.state();
        let said = host.try_apply(&documents, Options { dry_run: true, ..options }).unwrap();
        assert_eq!(host.state(), before, "{what}: a dry run has changed something");
        assert!(said.dry_run && said.touched == 0, "{what}: {said:?}");
        let done = host.apply_with(&documents, options);
        assert_eq!(foretold(&said), foretold(&done), "{what}: said, and done");
    }
}

#[test]
fn a_dry_run_before_the_first_apply_leaves_the_lock_alone() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let mut files = host.files();
    let options = Options { dry_run: true, ..Options::default() };
    host.try_apply(&Documents::shop(&usual_policies()), options).unwrap();
    files.extend(["/run/ringfence", "/run/ringfence/lock"].map(str::to_owned));
    assert_eq!(host.files(), files);
    host.assert_verdicts(None);
}
