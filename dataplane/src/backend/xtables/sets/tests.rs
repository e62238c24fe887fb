use super::*;
use crate::backend::chains::Form;
use crate::backend::iptables::{Chain, Family, Rule, Table};
use ringfence_common::abi::policy::Direction;

fn set(elements: &[&str]) -> Set {
    let about = About::Way("Test".to_owned());
    Set {
        kind: "hash:net".to_owned(),
        family: Family::V4,
        form: Some(Form::Peer),
        denies: false,
        direction: Some(Direction::Ingress),
        elements: elements.iter().map(|e| ((*e).to_owned(), about.clone())).collect(),
    }
}

fn listed(saved: &str) -> Listed {
    Listed::read(saved)
}

#[test]
fn a_set_that_differs_gets_a_name_that_none_has() {
    let saved = "create rf4-a.0 hash:net comment\nadd rf4-a.0 10.0.0.1 comment \"rf:Test\"\n";
    let there = listed(saved);
    let print = there.sets["rf4-a.0"].print;
    let kept = |elements: &[&str], print| {
        let kept = KeptSet { name: "rf4-a.0".to_owned(), set: set(elements), print };
        KeptSets::from([("rf4-a".to_owned(), kept)])
    };
    let name = |wanted: &[&str], kept: &KeptSets, there: &Listed| {
        let wanted = Sets::from([("rf4-a".to_owned(), set(wanted))]);
        names(&wanted, kept, there)["rf4-a"].clone()
    };
    let same = kept(&["10.0.0.1"], print);
    assert_eq!(name(&["10.0.0.1"], &same, &there), "rf4-a.0", "as it was left");
    assert_eq!(name(&["10.0.0.2"], &same, &there), "rf4-a.1", "other elements");
    let changed = kept(&["10.0.0.1"], print.wrapping_add(1));
    assert_eq!(name(&["10.0.0.1"], &changed, &there), "rf4-a.1", "changed by somebody");
    assert_eq!(name(&["10.0.0.1"], &KeptSets::new(), &there), "rf4-a.1", "nothing is recorded");
    assert_eq!(name(&["10.0.0.1"], &same, &Listed::default()), "rf4-a.0", "gone");
    let both = listed(&format!("{saved}create rf4-a.1 hash:net comment\n"));
    assert_eq!(name(&["10.0.0.2"], &same, &both), "rf4-a.2", "left behind by a crash");
}

#[test]
fn rules_name_sets_as_the_kernel_has_them() {
    let rule = Rule {
        matches: "-i rf4-a -m set --match-set rf4-a src,dst -m set --match-set rf4-b src"
            .to_owned(),
        target: "-j RETURN".to_owned(),
        about: About::Way("Test".to_owned()),
    };
    let chain = Chain {
        table: Table::Filter,
        name: "RF-IN-0000002a".to_owned(),
        title: String::new(),
        rules: vec![rule],
    };
    let ruleset = |family| Ruleset { family, chains: vec![chain.clone()], jumps: Vec::new() };
    let names = BTreeMap::from([("rf4-a".to_owned(), "rf4-a.1".to_owned())]);
    let [v4, _] = with_names(&Family::ALL.map(ruleset), &names);
    assert_eq!(
        v4.chains[0].rules[0].matches,
        "-i rf4-a -m set --match-set rf4-a.1 src,dst -m set --match-set rf4-b src"
    );
}
