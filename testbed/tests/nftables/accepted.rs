//! nft accepts what is written for it.

use std::collections::BTreeSet;

use ringfence_common::abi::config::essential;
use ringfence_dataplane::backend::chains::{Entry, Plan};
use ringfence_dataplane::backend::nftables::{RenderError, ruleset};
use ringfence_testbed::random::Random;
use ringfence_testbed::require::{Tool, tools};

use super::host::{Host, desired, many};
use super::plans;

#[test]
fn ten_thousand_entries_of_both_families() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let ports: Vec<u16> = (1_000..1_500).collect();
    let table = ruleset(&Plan::of(&desired(&many(&ports, 10)))).unwrap();
    let elements = |family: &str| -> usize {
        let maps = table.maps.iter().filter(|(name, _)| name.starts_with(family));
        maps.map(|(_, map)| map.elements.len()).sum()
    };
    assert_eq!((elements("in4_"), elements("in6_")), (5_000, 5_000));
    Host::new().check(&table.script().to_string()).unwrap();
}

#[test]
fn whatever_a_plan_can_say() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    for seed in 1..=60 {
        let plan = plans::plan(&mut Random::new(seed));
        let text = ruleset(&plan).unwrap().script().to_string();
        host.check(&text).unwrap_or_else(|said| panic!("seed {seed}: {said}\n{text}"));
    }
}

/// What has no words is refused here and not by nft.
#[test]
fn what_cannot_be_said_is_refused_with_the_workload() {
    let plan = Plan::of(&desired(""));
    let mut with_star = plan.clone();
    with_star.guards[0].entry = Entry::Interface("veth*".to_owned());
    assert_eq!(
        ruleset(&with_star).unwrap_err().to_string(),
        "nftables cannot name interface `veth*` of `shop/db`: nft reads the `*` at its end as \
         \"whatever begins so\"; rename it (`ip link set dev OLD name NEW`), or use another backend"
    );
    let mut without_frames = plan;
    without_frames.settings.essential &= !essential::NON_IP;
    assert_eq!(ruleset(&without_frames), Err(RenderError::NonIp));
}

/// Names of the host that look like nft's own words are names all the same.
#[test]
fn odd_names_of_interfaces() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    for name in ["lo", "drop", "@set", "$a", "a*b", "a;b", "{}", "#1", "0x1", "15-bytes-long.0"] {
        let mut plan = Plan::of(&desired(""));
        plan.guards[0].entry = Entry::Interface(name.to_owned());
        let table = ruleset(&plan).unwrap();
        host.check(&table.script().to_string()).unwrap_or_else(|said| panic!("`{name}`: {said}"));
        host.give(&table.replacement().to_string());
        let listed = host.nft(&["list", "set", "inet", "ringfence", "workloads"]);
        assert!(listed.contains(&format!("{{ \"{name}\" comment")), "`{name}`: {listed}");
    }
}

/// The same plan gives the same text, and each line that comes from a rule knows which.
#[test]
fn text_is_repeatable_and_lines_know_their_rules() {
    let mut told = BTreeSet::new();
    for seed in 1..=20 {
        let plan = plans::plan(&mut Random::new(seed));
        let script = ruleset(&plan).unwrap().script();
        assert_eq!(script, ruleset(&plan).unwrap().script(), "seed {seed}");
        for line in &script.lines {
            assert!(!line.text.contains('\n'), "{}", line.text);
            let comment = format!("rf:{:08x} clusternetworkpolicy/", line.rule);
            let is_title = line.text.starts_with("\t# ");
            let is_about_a_rule = !is_title && line.text.contains(" clusternetworkpolicy/");
            assert_eq!(line.rule != 0, is_about_a_rule, "{}", line.text);
            assert!(line.rule == 0 || line.text.contains(&comment), "{}", line.text);
            told.insert(line.rule);
        }
    }
    assert_eq!(told, (0..=9).collect(), "the rules that lines come from");
}
