//! Commands that change what is there.

use super::{Passing, read, with};

const MAP: &str = "map m {\ntype ipv4_addr : verdict\nelements = { 10.0.0.1 : drop }\n}\n\
                   chain sub {\ndrop\n}";

fn text() -> String {
    with(MAP, "ip saddr vmap @m")
}

fn passes(text: &str, source: &str) -> bool {
    Passing::tcp(source, "10.9.0.1", 80).passes(text)
}

/// The text, and these commands after it.
fn then(commands: &str) -> String {
    format!("{}{commands}\n", text())
}

#[test]
fn elements_come_and_go() {
    assert!(!passes(&text(), "10.0.0.1") && passes(&text(), "10.0.0.2"));
    let gone = then("delete element inet t m { 10.0.0.1 : drop }");
    assert!(passes(&gone, "10.0.0.1"));
    let more = then("add element inet t m { 10.0.0.2 comment \"x\" : jump sub }");
    assert!(!passes(&more, "10.0.0.2") && !passes(&more, "10.0.0.1"));
    let other =
        then("delete element inet t m { 10.0.0.1 }\nadd element inet t m { 10.0.0.1 : return }");
    assert!(passes(&other, "10.0.0.1"));
    assert!(passes(&then("flush map inet t m"), "10.0.0.1"));
    // What is there with the same verdict stays.
    assert!(!passes(&then("add element inet t m { 10.0.0.1 : drop }"), "10.0.0.1"));
}

#[test]
fn rules_come_and_go() {
    assert!(passes(&then("flush chain inet t base"), "10.0.0.1"));
    let refilled = then("flush chain inet t base\nadd rule inet t base ip saddr 10.0.0.2 drop");
    assert!(passes(&refilled, "10.0.0.1") && !passes(&refilled, "10.0.0.2"));
    let appended = then("add rule inet t base jump sub");
    assert!(!passes(&appended, "10.0.0.2"));
    // A table that is there is added to.
    let added = then("table inet t {\nchain base {\nip saddr 10.0.0.3 drop\n}\n}");
    assert!(!passes(&added, "10.0.0.3") && !passes(&added, "10.0.0.1"));
    let anew = then("delete table inet t\ntable inet t {\n}");
    assert!(passes(&anew, "10.0.0.1"));
}

#[test]
fn a_transaction_happens_or_does_not() {
    let mut installed = read(&text());
    let before = installed.clone();
    let half = "flush map inet t m\nadd rule inet t missing drop\n";
    let told = installed.change(half).unwrap_err().to_string();
    assert_eq!(told, "nft text, line 2, column 1: there is no chain `missing`");
    assert_eq!(installed, before);
    installed.change("flush map inet t m\n").unwrap();
    assert_ne!(installed, before);
}

#[test]
fn what_is_used_or_missing_cannot_be_changed() {
    for (commands, expected) in [
        ("delete element inet t m { 10.0.0.9 }", "there is no element `10.0.0.9`"),
        ("add element inet t m { 10.0.0.1 : return }", "element `10.0.0.1` is there already"),
        ("add element inet t m { 10.0.0.9 : jump nowhere }", "there is no chain `nowhere`"),
        ("add element inet t n { 10.0.0.9 : drop }", "there is no set or map `n`"),
        ("delete map inet t m", "set `m` is still used by chain `base`"),
        ("add rule inet t base jump sub\ndelete chain inet t sub", "still used by chain `base`"),
        (
            "add element inet t m { 10.0.0.9 : goto sub }\ndelete chain inet t sub",
            "chain `sub` is still used by map `m`",
        ),
        ("add rule inet t sub jump base", "chain `base` has a hook"),
        ("add map inet t m { type ipv6_addr : verdict; }", "set or map `m` is there already"),
        ("delete table inet other", "there is no table `other`"),
        (
            "add chain inet t sub { type filter hook input priority 0; }",
            "chain `sub` is there already",
        ),
    ] {
        let told = super::fault(&then(commands));
        assert!(told.contains(expected), "{commands}: {told}");
    }
    let _ = read(&then("flush chain inet t base\ndelete map inet t m\ndelete chain inet t sub"));
}
