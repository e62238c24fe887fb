//! The tools take what is rendered for them, in namespaces of their own: both variants of
//! iptables, and ipset.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod plans;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::iptables::{Family, Layout, Ruleset, Table};
use ringfence_dataplane::backend::{ipset, iptables};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const VARIANTS: [&str; 2] = ["legacy", "nft"];
const TOOLS: &[Tool] = &[Tool::IptablesLegacy, Tool::IptablesNft, Tool::Ipset];

/// Gives `input` to a tool in the namespace of the calling thread; what it prints.
fn run(command: &str, arguments: &[&str], input: &str) -> String {
    let mut tool = Command::new(command);
    let tool = tool.args(arguments).env("LC_ALL", "C").env("XTABLES_LOCKFILE", "/dev/null");
    let tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "`{command} {}`: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Both variants take the rules, once as a test and once for good, and keep all of them.
fn is_taken(ruleset: &Ruleset) {
    let text = ruleset.script().to_string();
    for variant in VARIANTS {
        let command = format!("{}-{variant}", ruleset.family.command());
        let restore = format!("{command}-restore");
        run(&restore, &["--noflush", "--test"], &text);
        run(&restore, &["--noflush"], &text);
        for table in [Table::Raw, Table::Filter] {
            let kept = run(&command, &["-t", table.name(), "-S"], "");
            let chains = ruleset.chains.iter().filter(|chain| chain.table == table);
            for chain in chains {
                let prefix = format!("-A {} ", chain.name);
                let rules: Vec<&str> =
                    kept.lines().filter(|line| line.starts_with(&prefix)).collect();
                let count = chain.rules.len();
                assert_eq!(rules.len(), count, "{command} {}: {rules:#?}", chain.name);
                let hash = format!("rf#{:016x} ", chain.hash());
                assert!(rules[0].contains(&hash), "{command} {}: {}", chain.name, rules[0]);
            }
        }
    }
}

fn are_taken(plan: &Plan) {
    Namespace::new()
        .unwrap()
        .run(|| {
            for layout in [Layout::Structured, Layout::Flat] {
                for family in FAMILIES {
                    is_taken(&iptables::ruleset(plan, family, layout).unwrap());
                }
            }
        })
        .unwrap();
    Namespace::new()
        .unwrap()
        .run(|| {
            let (sets, rulesets) = ipset::rules(plan).unwrap();
            run("ipset", &["restore"], &ipset::script(&sets).to_string());
            rulesets.iter().for_each(is_taken);
            let kept = run("ipset", &["save"], "");
            let made: BTreeSet<&str> = kept
                .lines()
                .filter_map(|line| line.strip_prefix("create ")?.split(' ').next())
                .collect();
            assert_eq!(made, sets.keys().map(String::as_str).collect());
            let elements: usize = sets.values().map(|set| set.elements.len()).sum();
            let added = kept.lines().filter(|line| line.starts_with("add ")).count();
            assert_eq!(added, elements, "ipset keeps each element as one");
        })
        .unwrap();
}

#[test]
fn the_tools_take_everything_that_rules_can_say() {
    let Some(_granted) = require::tools(TOOLS) else { return };
    are_taken(&plans::everything());
}

#[test]
fn the_tools_take_audits_and_pick_up() {
    let Some(_granted) = require::tools(TOOLS) else { return };
    are_taken(&plans::otherwise());
}

#[test]
fn the_tools_take_ten_thousand_entries() {
    let Some(_granted) = require::tools(TOOLS) else { return };
    let plan = plans::large(10_000);
    let family_rules = |family| iptables::ruleset(&plan, family, Layout::Structured).unwrap();
    let rules =
        family_rules(Family::V6).chains.iter().map(|chain| chain.rules.len()).sum::<usize>();
    assert!(rules >= 10_000, "{rules} rules");
    are_taken(&plan);
}

/// However many entries there are, a packet of a workload meets as many rules.
#[test]
fn sets_keep_chains_short() {
    let lengths = |plan: &Plan| {
        let (_, [v4, v6]) = ipset::rules(plan).unwrap();
        let chains = v4.chains.into_iter().chain(v6.chains);
        chains.map(|chain| (chain.name, chain.rules.len())).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&plans::large(10)), lengths(&plans::large(10_000)));
}

/// Comments come back whole, whatever is in them.
#[test]
fn names_stay_comments() {
    let Some(_granted) = require::tools(TOOLS) else { return };
    let ruleset = iptables::ruleset(&plans::everything(), Family::V4, Layout::Structured).unwrap();
    let expected = "rf:00000007 policy/with \\\"quotes\\\" and a \\\\ and a very long name xxx";
    Namespace::new()
        .unwrap()
        .run(|| {
            for variant in VARIANTS {
                let command = format!("iptables-{variant}");
                run(&format!("{command}-restore"), &[], &ruleset.script().to_string());
                let kept = run(&command, &["-S"], "");
                assert!(kept.contains(expected), "{command}: {kept}");
            }
        })
        .unwrap();
}
