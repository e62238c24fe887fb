//! What cannot be had, and what filters wrongly, is said; the laboratory goes on as new.

use std::time::{Duration, Instant};

use ringfence_testbed::lab::{
    Asked, Contender, Family, Lab, LabError, Mismatch, Position, Tracking,
};
use ringfence_testbed::require::{self, Tool};

use crate::scene::{LIMIT, case, command, is_running, replace_tools, state};

fn asked(contender: Contender) -> Asked {
    case(contender, Position::Middle, Mismatch::Address, Family::V4)
}

/// A laboratory on which nothing ever was, and the state of its router.
fn new() -> Lab {
    Lab::new().unwrap()
}

/// That the same can be had where nothing is in its way.
fn assert_as_new(lab: &mut Lab) {
    assert_eq!(state(lab), state(&new()));
    lab.install(asked(Contender::BareNft), LIMIT).unwrap();
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    for (contender, package) in [(Contender::BareIpset, "ipset"), (Contender::Nftables, "nftables")]
    {
        let mut lab = new();
        replace_tools(&lab, None);
        match lab.install(asked(contender), LIMIT) {
            Err(LabError::Missing(said)) => assert!(said.contains(package), "{said}"),
            other => panic!("{contender} without tools: {other:?}"),
        }
        assert_as_new(&mut lab);
    }
}

#[test]
fn what_is_impossible_changes_nothing() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let mut lab = new();
    lab.install(asked(Contender::BareNftSet), LIMIT).unwrap();
    let before = state(&lab);
    let mut impossible = asked(Contender::Nftables);
    impossible.case.tracking = Tracking::Stateless;
    match lab.install(impossible, LIMIT) {
        Err(LabError::Impossible(said)) => assert!(said.contains("always tracks"), "{said}"),
        other => panic!("{other:?}"),
    }
    let sets = |state: &[(&str, String)]| state[7].1.clone();
    assert_eq!(sets(&state(&lab)), sets(&before));
    lab.check(asked(Contender::BareNftSet)).unwrap();
}

#[test]
fn a_text_that_the_tool_refuses_is_told_with_its_line() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let mut lab = new();
    // Another set has that name.
    command(&lab, "ipset create lab hash:net");
    match lab.install(asked(Contender::BareIpset), LIMIT) {
        Err(error @ LabError::Tool(_)) => {
            let said = error.said();
            assert!(said.contains("`ipset` refuses line 1, `create lab"), "{said}");
        }
        other => panic!("{other:?}"),
    }
    assert_as_new(&mut lab);
}

#[test]
fn a_tool_that_takes_too_long_is_killed() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    for (contender, sleep) in [(Contender::BareNft, "7391"), (Contender::Nftables, "7392")] {
        let mut lab = new();
        replace_tools(&lab, Some(("nft", &format!("exec sleep {sleep}"))));
        let limit = Duration::from_millis(150);
        let started = Instant::now();
        match lab.install(asked(contender), limit) {
            Err(LabError::TimedOut { after, is_still_running: false }) => assert_eq!(after, limit),
            other => panic!("{contender}: {other:?}"),
        }
        assert!(started.elapsed() >= limit);
        assert!(!is_running(&["sleep", sleep]), "{contender}: the tool was killed");
        assert_as_new(&mut lab);
    }
}

/// What this process does itself cannot be killed, and is waited for; what came of it is thrown away.
#[test]
fn what_takes_too_long_without_a_tool_is_thrown_away() {
    let Some(_granted) = require::privileged() else { return };
    let mut lab = new();
    let mut many = asked(Contender::Userspace);
    many.case.rules = 2_000;
    let limit = Duration::from_millis(2);
    match lab.install(many, limit) {
        Err(error @ LabError::TimedOut { after, is_still_running: false }) => {
            assert_eq!(after, limit);
            let said = "putting it into place, or listing it, took longer than 0.002 s";
            assert_eq!(error.said(), said);
        }
        other => panic!("{other:?}"),
    }
    lab.check(asked(Contender::None)).unwrap();
    lab.install(asked(Contender::Userspace), LIMIT).unwrap();
}

fn wrong(lab: &Lab, asked: Asked) -> String {
    match lab.check(asked) {
        Err(LabError::Wrong { contender, what }) if contender == asked.case.contender => what,
        other => panic!("{}: {other:?}", asked.case),
    }
}

#[test]
fn a_filter_that_lets_everything_pass_is_wrong() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let mut lab = new();
    let asked = asked(Contender::BareIptables);
    lab.install(asked, LIMIT).unwrap();
    let server = asked.target().ip();
    command(&lab, &format!("iptables-legacy -R FORWARD 2 -d {server} -j ACCEPT"));
    for asked in [asked, Asked::tcp(asked.case)] {
        let what = wrong(&lab, asked);
        assert!(what.contains("seen Seen { stranger: true, allowed: true"), "{what}");
    }
    command(&lab, "iptables-legacy -D FORWARD 2");
    let what = wrong(&lab, asked);
    assert_eq!(what, "for 10 rules it has 11 rules and 0 elements");
}

#[test]
fn a_filter_that_lets_nothing_pass_is_wrong() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let mut lab = new();
    let control = asked(Contender::None);
    lab.check(control).unwrap();
    command(&lab, "nft add table inet other");
    command(
        &lab,
        "nft add chain inet other theirs { type filter hook forward priority 9; policy drop; }",
    );
    for asked in [control, Asked::tcp(control.case)] {
        let what = wrong(&lab, asked);
        assert!(
            what.ends_with("Seen { stranger: false, allowed: false, answered: false }"),
            "{what}"
        );
    }
    lab.clear().unwrap();
    lab.check(control).unwrap();
}

#[test]
fn connections_that_are_tracked_where_they_should_not_are_told() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let mut lab = new();
    let mut stateless = asked(Contender::BareNftSet);
    stateless.case.tracking = Tracking::Stateless;
    lab.install(stateless, LIMIT).unwrap();
    command(&lab, "nft add table inet other");
    command(&lab, "nft add chain inet other theirs { type filter hook forward priority 9; }");
    command(&lab, "nft add rule inet other theirs ct state new");
    let what = wrong(&lab, stateless);
    assert!(what.starts_with("the kernel tracks "), "{what}");
}

#[test]
fn a_rule_that_is_not_counted_is_no_denial() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let mut lab = new();
    let asked = asked(Contender::BareNftSet);
    lab.install(asked, LIMIT).unwrap();
    let (stranger, target) = asked.stranger();
    command(&lab, "nft add table ip other");
    command(&lab, "nft add chain ip other theirs { type filter hook forward priority -9; }");
    let port = target.port();
    command(
        &lab,
        &format!("nft add rule ip other theirs ip saddr {stranger} udp dport {port} drop"),
    );
    let what = wrong(&lab, asked);
    assert_eq!(what, "a packet that no rule names was not counted as denied");
}
