//! An apply that is killed leaves the host as it was, or as it shall be.

use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_dataplane::backend::host::difference::HostDiff;
use ringfence_dataplane::backend::host::reach::Reach;
use ringfence_dataplane::backend::host::{HostTables, one_store};
use ringfence_testbed::require;

use crate::host::{Host, command, ingress};

/// Kills of applies that switch, and as many of applies in place.
const KILLS: u32 = 24;

/// Kills of first applies, which take longer.
const FIRST_KILLS: u32 = 10;

/// Starts an apply on the host and kills it after `delay`.
fn kill(host: &Host, documents: &Path, delay: Duration) {
    let documents = documents.to_str().expect("the path is text");
    host.run(|| {
        let program = Path::new(env!("CARGO_BIN_EXE_ringfence"));
        let mut command = command(program, &["apply", "-f", documents]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        sleep(delay);
        // It may have ended already, which is one of the moments to try.
        child.kill().expect("the child can be killed");
        child.wait().expect("the child ends");
    });
}

/// Applies, which must work, and says what is installed then and how long it took.
fn settle(host: &Host, documents: &Path) -> (HostTables, Duration) {
    let started = Instant::now();
    let run = host.apply(documents);
    assert_eq!(run.code, Some(0), "{run:?}");
    (host.contents().expect("something is installed"), started.elapsed())
}

/// The `step`th of `steps` moments over a little more than `whole`. At the first, nothing has been
/// done yet; at the last, everything, also on a busy machine.
fn moment(step: u32, steps: u32, whole: Duration) -> Duration {
    if step + 1 == steps { whole * 8 } else { whole * step * 4 / (steps * 3) }
}

/// Kills applies between two states at all their moments. `between` says whether a state that is
/// neither is one that may be met. How many were old, new, between.
fn kill_between(
    host: &Host,
    states: [&Path; 2],
    between: impl Fn(&HostTables, &HostTables, &HostTables) -> bool,
) -> [u32; 3] {
    let (mut old, _) = settle(host, states[0]);
    let (mut new, _) = settle(host, states[1]);
    let (settled, whole) = settle(host, states[0]);
    assert_eq!(old, settled, "the same documents, the same tables");
    let mut counts = [0; 3];
    for step in 0..KILLS {
        let target = states[(step as usize + 1) % 2];
        kill(host, target, moment(step, KILLS, whole));
        let found = host.contents().expect("something stays installed");
        if found == old {
            counts[0] += 1;
        } else if found == new {
            counts[1] += 1;
        } else {
            assert!(between(&old, &new, &found), "kill {step}: neither old nor new: {found:#?}");
            counts[2] += 1;
        }
        let status = host.ringfence(&["status"]);
        assert_eq!(status.code, Some(0), "{status:?}");
        assert_eq!(settle(host, target).0, new, "kill {step}");
        std::mem::swap(&mut old, &mut new);
    }
    println!("old, new, between: {counts:?}, of applies that take {whole:?}");
    counts
}

#[test]
fn a_switch_is_done_or_not_begun() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let db = ingress("db", "api", 5432);
    let old = host.documents("old.yaml", std::slice::from_ref(&db));
    // Isolation begins for one that is alone behind its interface: more than one store.
    let new = host.documents("new.yaml", &[db, ingress("api", "web", 8080)]);
    let [old, new, between] = kill_between(&host, [&old, &new], |_, _, _| false);
    assert_eq!(between, 0);
    assert!(old > 0 && new > 0, "kills before and after: {old}, {new}");
}

/// One store makes a change in place visible; what is left around it is met by no packet, and goes
/// with the next apply.
#[test]
fn a_change_in_place_is_done_or_not_begun() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let db = ingress("db", "api", 5432);
    let more = ingress("db", "web", 5432).replace("name: db", "name: more");
    let old = host.documents("old.yaml", std::slice::from_ref(&db));
    let new = host.documents("new.yaml", &[db, more]);
    let is_met = |found: &HostTables, tables: &HostTables| {
        let diff = HostDiff::of(found, tables);
        let plan = one_store::plan(&mut Reach::new(found), &diff, found.config.flags);
        plan.is_some_and(|plan| plan.visible.is_none())
    };
    let is_one = |old: &HostTables, new: &HostTables, found: &HostTables| {
        is_met(found, old) || is_met(found, new)
    };
    let [old, new, _] = kill_between(&host, [&old, &new], is_one);
    assert!(old > 0 && new > 0, "kills before and after: {old}, {new}");
}

#[test]
fn after_a_first_apply_that_was_killed_the_next_one_works() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = host.documents("first.yaml", &[ingress("db", "api", 5432)]);
    let (whole, took) = settle(&host, &documents);
    for step in 0..FIRST_KILLS {
        let off = host.ringfence(&["off"]);
        assert_eq!((off.code, host.contents()), (Some(0), None), "{off:?}");
        kill(&host, &documents, moment(step, FIRST_KILLS, took));
        let found = host.contents();
        assert!(found.is_none() || found.as_ref() == Some(&whole), "kill {step}: {found:#?}");
        let status = host.ringfence(&["status"]);
        assert_eq!(status.code, Some(0), "{status:?}");
        assert_eq!(settle(&host, &documents).0, whole, "kill {step}");
    }
}
