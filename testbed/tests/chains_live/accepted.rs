//! The tools accept what is rendered for them: ten thousand entries of each family.

use std::io::{Seek as _, Write as _};
use std::process::Command;

use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::iptables::{Family, Layout};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::enforce::{Options, Rendering, described, desired, rendered};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::suite::live::Backend;

use crate::large::{CHANGED, entry, many};

/// Entries of both families and of the one rule about workloads.
const ENTRIES: usize = 20_001;

pub fn ten_thousand_entries(backend: Backend) {
    let tables = compile(&many(entry(CHANGED))).unwrap();
    assert_eq!(tables.policy.len(), ENTRIES);
    let desired = desired(&tables, &described(&tables), &Options::default()).unwrap();
    let plan = Plan::of(&desired);
    let host = Namespace::isolated_host().unwrap();
    for (command, rendering) in readings(backend) {
        let text = rendered(&plan, rendering).unwrap().script.to_string();
        assert!(text.lines().count() > 1, "{backend}: {text}");
        host.run(|| accept(&command, &text)).unwrap();
    }
}

/// Commands that read a rendering without doing what it says; but of sets, which rules may only
/// name when they are there.
fn readings(backend: Backend) -> Vec<(String, Rendering)> {
    let variant = if backend == Backend::IptablesLegacy { "legacy" } else { "nft" };
    let restore = |family| match family {
        Family::V4 => format!("iptables-{variant}-restore --test"),
        Family::V6 => format!("ip6tables-{variant}-restore --test"),
    };
    let families = [Family::V4, Family::V6];
    match backend {
        Backend::Nftables => vec![("nft --check --file -".to_owned(), Rendering::Nftables)],
        Backend::Ipset => {
            let sets = ("ipset restore".to_owned(), Rendering::IpsetSets);
            let rules = |family| (restore(family), Rendering::IpsetRules { family });
            [sets].into_iter().chain(families.map(rules)).collect()
        }
        _ => {
            let layouts = [Layout::Structured, Layout::Flat];
            let each =
                layouts.into_iter().flat_map(|layout| families.map(|family| (family, layout)));
            let rules =
                |(family, layout)| (restore(family), Rendering::Iptables { family, layout });
            each.map(rules).collect()
        }
    }
}

fn accept(command: &str, text: &str) {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    input.rewind().unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).stdin(input).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
}
