//! What fuzzing once found stays found: every kept input, and every seed, goes through the function
//! that is fuzzed, without libFuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use ringfence_testbed::fuzz::{TARGETS, Target, seeds};

/// Where `cargo fuzz` and `cargo xtask fuzz` have their folders.
fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dataplane/fuzz")
}

#[test]
fn every_kept_input_keeps_its_promise() {
    let kept = folder().join("kept");
    let names: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for target in TARGETS {
        for file in files(&kept.join(target.0)) {
            let bytes = fs::read(&file).expect("a kept input can be read");
            play(target, &bytes, &file.display().to_string());
        }
    }
    for entry in fs::read_dir(&kept).expect("there are kept inputs") {
        let name = entry.expect("the folder can be listed").file_name();
        let name = name.to_string_lossy().into_owned();
        assert!(names.contains(name.as_str()) || name == "README.md", "`{name}` is no target");
    }
}

#[test]
fn the_seeds_keep_their_promises_and_are_the_same_every_time() {
    let all = seeds();
    assert_eq!(all, seeds());
    for target in TARGETS {
        let own: Vec<_> = all.iter().filter(|seed| seed.target == target.0).collect();
        assert!(own.len() >= 10, "`{}` has {} seeds", target.0, own.len());
        for seed in own {
            play(target, &seed.bytes, &format!("seed {}", seed.name));
        }
    }
}

/// A panic says which input it was.
fn play((name, function): Target, bytes: &[u8], input: &str) {
    let result = panic::catch_unwind(AssertUnwindSafe(|| function(bytes)));
    assert!(result.is_ok(), "target `{name}` does not keep its promise on {input}");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("the folder can be listed").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}
