use super::*;
use crate::backend::chains::About;
use crate::backend::nftables::Element;
use crate::backend::nftables::script::rules;

fn element(verdict: &str, rule: u32) -> Element {
    let about = About::Rule { number: rule, name: "a".to_owned() };
    Element { verdict: verdict.to_owned(), about }
}

/// A policy of two forms, with a chain that its elements may lead to.
fn table() -> Ruleset {
    let mut chain = Chain::named("in_7", "");
    chain.rules = vec![
        Rule::leads("ip saddr . meta l4proto . th dport vmap @in4_7_1", "PeerPorts"),
        Rule::leads("ip saddr vmap @in4_7_3", "Peer"),
        Rule::leads("drop", "End"),
    ];
    let mut report = Chain::named("report_3", "");
    report.rules = vec![Rule::leads("log group 5", "Report")];
    let map = |kind: &str, elements: &[(&str, &str, u32)]| Map {
        kind: kind.to_owned(),
        intervals: true,
        elements: elements
            .iter()
            .map(|(key, verdict, rule)| ((*key).to_owned(), element(verdict, *rule)))
            .collect(),
    };
    let ports = map(
        "ipv4_addr . inet_proto . inet_service : verdict",
        &[("10.0.0.1 . tcp . 80", "return", 1), ("10.0.0.2 . tcp . 80", "return", 1)],
    );
    let peers =
        map("ipv4_addr : verdict", &[("10.0.1.0/24", "goto report_3", 3), ("10.0.9.9", "drop", 4)]);
    Ruleset {
        maps: [("in4_7_1".to_owned(), ports), ("in4_7_3".to_owned(), peers)].into(),
        chains: vec![chain, report],
    }
}

fn elements<'a>(ruleset: &'a mut Ruleset, map: &str) -> &'a mut BTreeMap<String, Element> {
    &mut ruleset.maps.get_mut(map).unwrap().elements
}

fn lines(step: &Script) -> Vec<&str> {
    step.lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn elements_of_one_direction_come_before_others_go() {
    let before = table();
    let mut after = table();
    let ports = elements(&mut after, "in4_7_1");
    ports.remove("10.0.0.1 . tcp . 80");
    ports.insert("10.0.0.1 . tcp . 443".to_owned(), element("return", 2));
    elements(&mut after, "in4_7_3").remove("10.0.9.9");
    elements(&mut after, "in4_7_3").insert("10.0.1.0/24".to_owned(), element("drop", 5));
    let changes = after.changes(&before);
    let expected: [&[&str]; 4] = [
        &[
            "add element inet ringfence in4_7_1 {",
            "\t10.0.0.1 . tcp . 443 comment \"rf:00000002 a\" : return",
            "}",
        ],
        &[
            "delete element inet ringfence in4_7_3 {",
            "\t10.0.1.0/24",
            "}",
            "add element inet ringfence in4_7_3 {",
            "\t10.0.1.0/24 comment \"rf:00000005 a\" : drop",
            "}",
        ],
        &["delete element inet ringfence in4_7_3 {", "\t10.0.9.9", "}"],
        &["delete element inet ringfence in4_7_1 {", "\t10.0.0.1 . tcp . 80", "}"],
    ];
    let steps: Vec<Vec<&str>> = changes.steps.iter().map(lines).collect();
    assert_eq!(steps, expected);
    assert_eq!((changes.entries, changes.touched, changes.chains), ([1, 1, 2], 4, 0));
    assert!(changes.in_order);
    assert_eq!(changes.ruleset, after);
    // A refusal is told with the rule: what goes with the old one, what comes with the new one.
    let whole = changes.whole();
    let rules: Vec<Option<u32>> = [2, 5, 8, 11, 14].map(|line| whole.rule_of(line)).to_vec();
    assert_eq!(rules, [Some(2), Some(3), Some(5), Some(4), Some(1)]);
}

/// The kernel does not take elements that overlap, and both directions at once are no order.
#[test]
fn what_may_overlap_is_filled_anew() {
    let before = table();
    let mut after = table();
    elements(&mut after, "in4_7_3").remove("10.0.1.0/24");
    elements(&mut after, "in4_7_3").insert("10.0.0.0/16".to_owned(), element("drop", 3));
    let changes = after.changes(&before);
    assert!(!changes.in_order);
    let [fill, lead, take] = changes.steps.as_slice() else { panic!("{:?}", changes.steps) };
    assert_eq!(
        lines(fill),
        [
            "add map inet ringfence in4_7_3_b { type ipv4_addr : verdict; flags interval; counter; }",
            "add element inet ringfence in4_7_3_b {",
            "\t10.0.0.0/16 comment \"rf:00000003 a\" : drop,",
            "\t10.0.9.9 comment \"rf:00000004 a\" : drop",
            "}",
        ]
    );
    let written = rules(&changes.ruleset.chains[0]).map(|(text, _)| text);
    let written: Vec<String> =
        written.map(|text| format!("add rule inet ringfence in_7 {text}")).collect();
    assert!(written[0].contains("@in4_7_1 ") && written[1].contains("@in4_7_3_b "), "{written:?}");
    assert_eq!(lines(lead)[0], "flush chain inet ringfence in_7");
    assert_eq!(lines(lead)[1..], written);
    assert_eq!(
        lines(take),
        ["flush map inet ringfence in4_7_3", "delete map inet ringfence in4_7_3"]
    );
    assert_eq!((changes.entries, changes.chains), ([1, 0, 1], 1));
    // Back again the first name is free.
    let back = before.changes(&changes.ruleset);
    assert_eq!(back.ruleset, before);
    assert!(after.changes(&changes.ruleset).steps.is_empty());
}

#[test]
fn what_is_led_to_comes_first_and_goes_last() {
    let before = table();
    let mut after = table();
    after.chains[1].name = "report_4".to_owned();
    elements(&mut after, "in4_7_3").insert("10.0.1.0/24".to_owned(), element("goto report_4", 4));
    let changes = after.changes(&before);
    let whole = changes.whole();
    let order = [
        "add chain inet ringfence report_4",
        "add map",
        "add element",
        "add rule inet ringfence report_4",
        "flush chain inet ringfence in_7",
        "flush chain inet ringfence report_3",
        "add rule inet ringfence in_7",
        "flush map",
        "delete map",
        "delete chain inet ringfence report_3",
    ];
    let places = order.map(|text| lines(&whole).iter().position(|line| line.starts_with(text)));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{whole}");
}

/// The kernel calls chains only when everything that they lead to is filled.
#[test]
fn a_first_table_is_filled_before_the_kernel_calls_it() {
    let mut ruleset = table();
    let mut forward = Chain::named("forward", "");
    forward.hook = Some("type filter hook forward priority filter".to_owned());
    forward.rules = vec![Rule::leads("jump in_7", "Policy")];
    ruleset.chains.insert(0, forward);
    let changes = ruleset.installation();
    let [fill, lead] = changes.steps.as_slice() else { panic!("{:?}", changes.steps) };
    assert_eq!(lines(fill)[0], "add table inet ringfence { comment \"rf:ringfence\"; }");
    assert!(lines(fill).iter().all(|line| !line.contains("forward")), "{fill}");
    let hook = "add chain inet ringfence forward { type filter hook forward priority filter; \
                policy accept; }";
    assert_eq!(lines(lead)[0], hook);
    assert_eq!((lines(lead).len(), changes.entries), (2, [9, 0, 0]));
}

#[test]
fn of_a_table_that_nobody_knows_nothing_is_looked_in() {
    let there = There {
        chains: [("in_7".to_owned(), None), ("mine".to_owned(), None)].into(),
        maps: [("in4_7_1".to_owned(), "map"), ("in4_7_1_b".to_owned(), "map")].into(),
    };
    let changes = table().instead_of(&there);
    let names: Vec<&String> = changes.ruleset.maps.keys().collect();
    assert_eq!(names, ["in4_7_1_c", "in4_7_3"]);
    let whole = changes.whole();
    for text in [
        "flush chain inet ringfence in_7",
        "flush chain inet ringfence mine",
        "delete map inet ringfence in4_7_1",
        "delete map inet ringfence in4_7_1_b",
        "delete chain inet ringfence mine",
    ] {
        assert!(lines(&whole).contains(&text), "{text} in {whole}");
    }
}

/// A title is for readers alone.
#[test]
fn nothing_is_done_where_nothing_differs() {
    let before = table();
    let mut after = table();
    after.chains[0].title = "Another".to_owned();
    let changes = after.changes(&before);
    assert!(changes.steps.is_empty());
    assert_eq!((changes.entries, changes.touched), ([0; 3], 0));
}

/// As many applies as may have failed: a map that is there is never taken for a fresh one.
#[test]
fn fresh_names_have_no_end() {
    let mut there = There::default();
    for number in 0..120 {
        let changes = table().instead_of(&there);
        let maps: Vec<String> = changes.ruleset.maps.keys().cloned().collect();
        for name in maps {
            assert!(["in4_7_1", "in4_7_3"].contains(&canonical(&name).as_str()), "{name}");
            assert_eq!(there.maps.insert(name.clone(), "map"), None, "{name}, after {number}");
        }
        assert_eq!(there.maps.len(), 2 * (number + 1));
    }
    for name in ["in4_00000007_1_icmp", "in4_00000007_1_backward", "to4_shared", "local4", "b"] {
        assert_eq!(canonical(name), name);
    }
}
