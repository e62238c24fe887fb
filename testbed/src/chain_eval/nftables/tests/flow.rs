//! Chains, and how verdicts end them.

use super::{Passing, rules, with};
use crate::chain_eval::Hook;

fn http() -> Passing {
    Passing::tcp("10.0.0.1", "10.0.0.2", 80)
}

fn way(others: &str, rules: &str) -> (bool, String) {
    http().walk(&with(others, rules))
}

#[test]
fn the_first_verdict_counts() {
    assert_eq!(http().walk(&rules("drop comment \"a\"\nreturn")), (false, "drop a".to_owned()));
    assert_eq!(http().walk(&rules("return comment \"b\"\ndrop")), (true, "return b".to_owned()));
    assert_eq!(http().walk(&rules("counter\n")), (true, String::new()));
}

#[test]
fn return_in_a_base_chain_is_its_policy() {
    let drops = "table inet t {\nchain base {\ntype filter hook forward priority filter\n\
                 policy drop\nth dport 80 return\naccept\n}\n}\n";
    assert_eq!(http().walk(drops), (false, "return".to_owned()));
    let other = Passing::tcp("10.0.0.1", "10.0.0.2", 81);
    assert_eq!(other.walk(drops), (true, "accept".to_owned()));
}

#[test]
fn after_a_jump_the_caller_goes_on() {
    let others = "chain sub {\nth dport 80 return\n}";
    assert_eq!(way(others, "jump sub\ndrop"), (false, "sub, return, drop".to_owned()));
    // Also where the chain has ended without a word.
    let others = "chain sub {\nth dport 81 drop\n}";
    assert_eq!(way(others, "jump sub\ndrop"), (false, "sub, drop".to_owned()));
}

#[test]
fn after_a_goto_the_caller_does_not() {
    let others = "chain sub {\nth dport 80 return\n}";
    assert_eq!(way(others, "goto sub\ndrop"), (true, "sub, return".to_owned()));
    let others = "chain sub {\nth dport 81 drop\n}";
    assert_eq!(way(others, "goto sub\ndrop"), (true, "sub".to_owned()));
}

#[test]
fn a_goto_in_a_called_chain_returns_to_the_caller() {
    let others = "chain last {\nreturn\n}\nchain sub {\ngoto last\naccept\n}";
    assert_eq!(way(others, "jump sub\ndrop"), (false, "sub, last, return, drop".to_owned()));
}

#[test]
fn accept_ends_its_own_base_chain_alone() {
    let later = |priority: &str, rule: &str| {
        format!("chain later {{\ntype filter hook forward priority {priority}\n{rule}\n}}")
    };
    let (passes, words) = way(&later("filter + 1", "drop comment \"later\""), "accept");
    assert_eq!((passes, words.as_str()), (false, "accept, drop later"));
    // A drop is final, whoever else would have accepted.
    assert_eq!(way(&later("filter + 1", "accept"), "drop"), (false, "drop".to_owned()));
    let (passes, words) = way(&later("-1", "accept comment \"early\""), "drop");
    assert_eq!((passes, words.as_str()), (false, "accept early, drop"));
}

#[test]
fn base_chains_are_asked_at_their_hook_alone() {
    let text = "table inet t {\nchain a {\ntype filter hook input priority 0\ndrop\n}\n\
                chain b {\ntype filter hook prerouting priority raw\ndrop\n}\n}\n";
    assert!(http().at(text, Hook::Forward).0);
    assert!(http().at(text, Hook::Output).0);
    assert!(!http().at(text, Hook::Input).0);
    assert!(!http().at(text, Hook::Source).0);
}

#[test]
fn continue_in_a_map_goes_on_with_the_rule() {
    let rule = "th dport vmap { 80 : continue, 81 : return } drop";
    assert_eq!(way("", rule), (false, "drop".to_owned()));
    assert!(Passing::tcp("10.0.0.1", "10.0.0.2", 81).passes(&rules(rule)));
    // A key that is not in the map ends the rule.
    assert!(Passing::tcp("10.0.0.1", "10.0.0.2", 82).passes(&rules(rule)));
}

#[test]
fn reports_end_nothing() {
    let rule = "log group 5 prefix \"NoRule\" counter drop comment \"rf:NoRule\"";
    let expected = (false, "log NoRule rf:NoRule, drop rf:NoRule".to_owned());
    assert_eq!(http().walk(&rules(rule)), expected);
    assert_eq!(http().walk(&rules("log prefix \"x\"\n")), (true, "log x".to_owned()));
    // Only what comes before a statement decides whether it is reached.
    let rule = "th dport 81 log group 5 prefix \"x\" drop";
    assert_eq!(http().walk(&rules(rule)), (true, String::new()));
}

#[test]
fn chains_lead_fifteen_deep_and_not_in_circles() {
    let nested = |depth: usize| {
        let sub = (1..depth).map(|i| format!("chain c{i} {{\njump c{}\n}}\n", i + 1));
        let last = format!("chain c{depth} {{\ndrop\n}}\n");
        with(&(sub.collect::<String>() + &last), "jump c1")
    };
    assert!(!http().passes(&nested(15)));
    assert!(super::fault(&nested(16)).contains("leads to itself or through more than"));
    let circle = with("chain a {\njump b\n}\nchain b {\ngoto a\n}", "jump a");
    assert!(super::fault(&circle).contains("leads to itself"));
    let circle = with(
        "map m {\ntype inet_service : verdict\nelements = { 80 : jump a }\n}\n\
         chain a {\nth dport vmap @m\n}",
        "jump a",
    );
    assert!(super::fault(&circle).contains("leads to itself"));
}
