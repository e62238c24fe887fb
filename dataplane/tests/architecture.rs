//! The rules about who may know whom, read from the sources' `use` lines and paths.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs;
use std::path::{Path, PathBuf};

/// A rule: files below `folder` never name any of `names`.
struct Rule {
    /// Below the workspace's root.
    folder: &'static str,
    /// Parts of paths.
    names: &'static [&'static str],
    /// Folders and files below `folder` that may.
    except: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        folder: "dataplane/src/model",
        names: &[
            "crate::document",
            "crate::compile",
            "crate::oracle",
            "crate::backend",
            "crate::enforce",
            "serde",
            "aya",
            "std::fs",
            "std::io",
            "std::process",
            "std::time",
        ],
        except: &[],
        why: "the model knows neither documents nor kernels and does no I/O",
    },
    Rule {
        folder: "dataplane/src/oracle",
        names: &[
            "crate::compile",
            "crate::document",
            "crate::backend",
            "crate::enforce",
            "ringfence_common::abi",
            "ringfence_common::decide",
            "ringfence_common::track",
            "ringfence_common::packet",
            "ringfence_common::fragment",
            "crate::observe",
            "hashbrown",
            "prefix_trie",
            "ipnet",
            "zerocopy",
            "pnet",
            "pnet_packet",
            "etherparse",
            "aya",
            "unsafe",
            "std::collections::HashMap",
            "std::collections::HashSet",
            "std::fs",
            "std::io",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
        except: &[],
        why: "the oracle shares nothing with what it checks and reads nothing but model and frames",
    },
    Rule {
        folder: "dataplane/src/compile",
        names: &[
            "crate::oracle",
            "crate::document",
            "crate::backend",
            "crate::enforce",
            "std::collections::HashMap",
            "std::collections::HashSet",
            "std::hash",
            "RandomState",
            "std::time",
            "std::fs",
            "std::env",
            "std::process",
            "std::thread",
            "aya",
        ],
        except: &[],
        why: "compiling is a pure function: no clock, no randomness, no hash order",
    },
    Rule {
        folder: "dataplane/src/document",
        names: &["crate::compile", "crate::oracle", "crate::backend", "crate::enforce", "aya"],
        except: &[],
        why: "documents become a model and nothing else",
    },
    Rule {
        folder: "dataplane/src/backend",
        names: &["crate::model", "crate::document", "crate::oracle"],
        except: &[],
        why: "backends depend on tables, never on the model",
    },
    Rule {
        folder: "dataplane/src/backend/chains",
        names: GENERATORS_DO_NOT_KNOW,
        except: &[],
        why: "chains come from tables alone",
    },
    Rule {
        folder: "dataplane/src/backend/chains",
        names: &["std::fs", "std::io", "std::process", "std::time", "std::env"],
        except: &[],
        why: "planning is a pure function",
    },
    Rule {
        folder: "dataplane/src/backend/iptables",
        names: GENERATORS_DO_NOT_KNOW,
        except: &[],
        why: "chains come from tables alone",
    },
    Rule {
        folder: "dataplane/src/backend/ipset",
        names: GENERATORS_DO_NOT_KNOW,
        except: &[],
        why: "chains come from tables alone",
    },
    Rule {
        folder: "dataplane/src/backend/nftables",
        names: GENERATORS_DO_NOT_KNOW,
        except: &[],
        why: "chains come from tables alone",
    },
    Rule {
        folder: "dataplane/src",
        names: &["aya::", "use aya"],
        except: &["dataplane/src/backend/ebpf"],
        why: "only the eBPF backend names aya",
    },
    Rule {
        folder: "dataplane/cli/src",
        names: &["aya::", "use aya", "aya_obj"],
        except: &[],
        why: "the command asks the engine and never the kernel's programs and maps",
    },
    Rule {
        folder: "dataplane/common/src",
        names: &["aya::", "use aya", "aya_obj"],
        except: &["dataplane/common/src/abi/mod.rs"],
        why: "what the kernel runs names aya in the ABI's marker for plain bytes alone",
    },
    Rule {
        folder: "testbed/src",
        names: &["aya::", "use aya", "aya_obj"],
        except: &["testbed/src/suite/kernel.rs"],
        why: "of the testbed's library, only what runs the kernel's programs by hand names aya",
    },
    Rule {
        folder: "testbed/src/chain_eval",
        names: &["ringfence_common", "ringfence_dataplane"],
        except: &[],
        why: "whoever walks the text of chains shares nothing with those that write it",
    },
    Rule {
        folder: "dataplane/src",
        names: &["clap", "anyhow", "anstream", "comfy_table", "indicatif"],
        except: &[],
        why: "the argument parser, the terminal and anyhow belong to the command",
    },
    Rule {
        folder: "dataplane-ebpf/src",
        names: &["PolicyEntry {", "abi::policy::action", "Reason::Rule", "Reason::DenyRule"],
        except: &[],
        why: "the hooks decide nothing themselves",
    },
];

/// What a generator of chains never names: it knows tables by their types, and neither how they
/// came about nor who else says what they mean.
const GENERATORS_DO_NOT_KNOW: &[&str] = &[
    "crate::model",
    "crate::document",
    "crate::oracle",
    "crate::enforce",
    "crate::compile::compile",
    "crate::compile::Answers",
    "crate::backend::ebpf",
    "crate::backend::userspace",
    "std::collections::HashMap",
    "std::collections::HashSet",
];

#[test]
fn nobody_knows_more_than_they_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut wrong = Vec::new();
    for rule in RULES {
        let files = sources(&root.join(rule.folder));
        assert!(!files.is_empty(), "`{}` has no sources; has it moved?", rule.folder);
        for file in files {
            let place = file.strip_prefix(root).unwrap().display().to_string();
            if rule.except.iter().any(|except| place.starts_with(except)) {
                continue;
            }
            for (line, text) in fs::read_to_string(&file).unwrap().lines().enumerate() {
                for name in names(text, rule.names) {
                    wrong.push(format!("{place}:{}: `{name}`: {}", line + 1, rule.why));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Beside the model, the oracle names nothing of the project but the verdicts.
#[test]
fn the_oracle_takes_its_words_from_the_model_and_the_verdicts_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut wrong = Vec::new();
    for file in sources(&root.join("dataplane/src/oracle")) {
        let place = file.strip_prefix(root).unwrap().display().to_string();
        for (line, text) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = text.split("//").next().unwrap_or_default();
            for (prefix, allowed) in
                [("crate::", &["model", "oracle"][..]), ("ringfence_common::", &["verdict"])]
            {
                let paths = code.match_indices(prefix).map(|(at, _)| &code[at + prefix.len()..]);
                let strange = |path: &&str| !allowed.iter().any(|name| path.starts_with(name));
                wrong.extend(
                    paths.filter(strange).map(|path| format!("{place}:{}: {path}", line + 1)),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The rule reads code, not comments, and whole names.
#[test]
fn names_are_found_in_code_alone() {
    let aya = &["aya"];
    assert_eq!(names("use aya::maps::HashMap;", aya), ["aya"]);
    assert_eq!(names("//! never names aya", aya), Vec::<&str>::new());
    assert_eq!(names("use aya_ebpf::maps;", aya), Vec::<&str>::new());
    assert_eq!(names("use crate::{oracle, model};", &["crate::oracle"]), ["crate::oracle"]);
}

fn names<'a>(line: &str, names: &[&'a str]) -> Vec<&'a str> {
    let code = line.split("//").next().unwrap_or_default();
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let is_in = |code: &str, name: &str| {
        code.match_indices(name).any(|(start, _)| {
            let before = code[..start].chars().next_back();
            let after = code[start + name.len()..].chars().next();
            let ends_open = name.ends_with(|c: char| !part_of_name(c));
            !before.is_some_and(part_of_name) && (ends_open || !after.is_some_and(part_of_name))
        })
    };
    // `use crate::{a, b}` names `crate::a` and `crate::b`.
    let grouped = |name: &str| {
        name.rsplit_once("::").is_some_and(|(module, item)| {
            code.split_once(&format!("{module}::{{")).is_some_and(|(_, group)| is_in(group, item))
        })
    };
    names.iter().copied().filter(|name| is_in(code, name) || grouped(name)).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
