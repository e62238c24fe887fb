//! What of the kernel's sets an apply touches.

use std::collections::BTreeSet;
use std::fs;

use ringfence_testbed::suite::live::Backend;

use crate::host::Host;
use crate::notifications::Notifications;
use crate::tools::Tools;

/// Elements that a change of one rule adds and takes away: one of each family.
const CHANGED: [usize; 2] = [2, 2];

/// Runs `change`. Where `host` has sets, one element of each family has to be added and one taken
/// away, and nothing else may be touched.
pub fn elements_only(host: &Host, change: impl FnOnce()) {
    match host.backend {
        Backend::Ipset => sets(host, change),
        Backend::Nftables => tables(host, change),
        _ => change(),
    }
}

/// The kernel tells of every change.
fn tables(host: &Host, change: impl FnOnce()) {
    let notifications = Notifications::of(host);
    change();
    let changes = notifications.changes();
    assert_eq!(changes.others, [] as [u8; 0], "{changes:?}");
    let counts = changes.elements.values();
    let sums = counts.fold([0, 0], |[new, gone], [n, g]| [new + n, gone + g]);
    assert_eq!(sums, CHANGED, "{changes:?}");
}

/// Nobody tells of changes to sets of ipset. So the tool's input is listened to, and what the sets
/// hold is compared, with the number that the kernel draws for each new set.
fn sets(host: &Host, change: impl FnOnce()) {
    let before = saved(host);
    let heard = tempfile::NamedTempFile::new().unwrap();
    let log = heard.path().display();
    let listening = |real: &str| format!("echo \"$@\" >>{log}; tee -a {log} | exec {real} \"$@\"");
    Tools::with("ipset", listening).on(host, change);
    let after = saved(host);
    let difference = [after.difference(&before), before.difference(&after)];
    assert_eq!(difference.map(Iterator::count), CHANGED, "elements that are new, and gone");

    let heard = fs::read_to_string(heard.path()).unwrap();
    let words = |word: &str| heard.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!(["add ", "del "].map(words), CHANGED, "{heard}");
    for other in ["create ", "flush", "destroy", "swap", "rename"] {
        assert_eq!(words(other), 0, "{heard}");
    }
}

fn saved(host: &Host) -> BTreeSet<String> {
    let saved: BTreeSet<String> = host.command("ipset save").lines().map(str::to_owned).collect();
    let sets = saved.iter().filter(|line| line.starts_with("create "));
    assert!(sets.clone().count() > 0, "there are no sets");
    assert!(sets.into_iter().all(|line| line.contains(" initval ")), "numbers are not saved");
    saved
}
