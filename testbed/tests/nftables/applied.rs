//! Applying, reading back, taking away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ringfence_dataplane::backend::nftables::{Nftables, NftablesError};
use ringfence_dataplane::backend::tool::Tools;
use ringfence_dataplane::backend::{Backend as _, ChainState, Counters, Desired, How, Mode};
use ringfence_testbed::require::{Tool, tools};

use super::host::{Host, desired, many};

/// Another table, whose rules look like ours.
const ANOTHER: &str = "table inet another {\n\
    chain forward {\n\
        type filter hook forward priority filter; policy accept;\n\
        ct state established return comment \"rf:Established\"\n\
    }\n}\n";

pub fn of_ports(ports: &[u16]) -> Desired {
    desired(&many(ports, 2))
}

#[test]
fn what_differs_is_changed_and_nothing_else() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    let first = host.apply(&of_ports(&[80, 81, 82]));
    assert_eq!((first.how, first.numbers.generation), (How::Switched, 1));
    assert_eq!(first.warnings, Vec::<String>::new());
    assert_eq!(first.entries_touched, first.entries);
    let handles = host.nft(&["-a", "-t", "list", "ruleset"]);

    // Two addresses of each family, out and in.
    let second = host.apply(&of_ports(&[80, 81, 8443]));
    assert_eq!((second.how, second.numbers.generation), (How::InPlace, 2));
    assert_eq!(second.policy, [4, 0, 4], "{:?}", second.steps);
    assert_eq!(host.nft(&["-a", "-t", "list", "ruleset"]), handles, "no rule was written");
    assert_eq!(host.odd(), []);

    // A rule less: its elements, and nothing else.
    let third = host.apply(&of_ports(&[80, 81]));
    assert_eq!((third.how, third.policy), (How::InPlace, [0, 0, 4]));
    assert_eq!(host.nft(&["-a", "-t", "list", "ruleset"]), handles, "no rule was written");

    let again = host.apply(&of_ports(&[80, 81]));
    assert_eq!((again.how, again.numbers.generation), (How::Nothing, 3));
    assert_eq!((again.entries_touched, again.steps), (0, Vec::new()));

    // What is there now is what a fresh host would have.
    let fresh = Host::new();
    fresh.apply(&of_ports(&[80, 81]));
    assert_eq!(host.everything(), fresh.everything());
}

#[test]
fn another_mode_switches_chains() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    host.apply(&of_ports(&[80]));
    let audit = Desired { mode: Mode::Audit, ..of_ports(&[80]) };
    let applied = host.apply(&audit);
    assert_eq!((applied.how, applied.warnings), (How::Switched, Vec::new()));
    let installed = host.installed();
    assert_eq!((installed.mode, installed.generation), (Mode::Audit, 2));
    assert!(!host.nft(&["list", "ruleset"]).contains(" drop"), "audit mode drops nothing");
    let fresh = Host::new();
    fresh.apply(&audit);
    assert_eq!(host.everything(), fresh.everything());
}

#[test]
fn one_rule_of_ten_thousand_touches_its_elements_alone() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    let mut ports: Vec<u16> = (1_000..1_500).collect();
    let first = host.apply(&desired(&many(&ports, 10)));
    let fill = host.installed().fill;
    let elements: u64 = fill.iter().map(|map| map.entries).sum();
    assert!(elements >= 10_000, "{elements} elements");
    assert_eq!(host.odd(), []);

    ports[250] = 443;
    let second = host.apply(&desired(&many(&ports, 10)));
    assert_eq!((second.how, second.policy), (How::InPlace, [20, 0, 20]), "{:?}", second.steps);
    assert_eq!(second.entries, first.entries);
    assert_eq!(host.odd(), []);
    assert_eq!(host.installed().fill, fill);
}

#[test]
fn what_somebody_has_changed_is_noticed_and_restored() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    let wanted = of_ports(&[80, 81]);
    host.apply(&wanted);
    let whole = host.everything();
    let chain = host.installed().chains.into_iter().find(|chain| chain.chain.starts_with("to_"));
    let chain = chain.unwrap().chain;
    let map = host.installed().fill.into_iter().find(|map| map.map.starts_with("in4_"));
    let map = map.unwrap().map;
    for (harm, odd, state) in [
        (
            "flush chain inet ringfence output\ndelete chain inet ringfence output".to_owned(),
            "output",
            ChainState::Missing,
        ),
        (format!("flush chain inet ringfence {chain}"), chain.as_str(), ChainState::Changed),
        ("insert rule inet ringfence forward accept".to_owned(), "forward", ChainState::Changed),
        ("add chain inet ringfence mine".to_owned(), "mine", ChainState::Changed),
        (format!("flush map inet ringfence {map}"), &format!("@{map}"), ChainState::Changed),
        ("flush table inet ringfence".to_owned(), "forward", ChainState::Changed),
    ] {
        host.give(&format!("{harm}\n"));
        let found = host.odd();
        assert!(found.contains(&(odd.to_owned(), state)), "after `{harm}`: {found:?}");
        let applied = host.apply(&wanted);
        assert_eq!(applied.how, How::Switched, "after `{harm}`");
        let told = &applied.warnings[0];
        let begin = "table `inet ringfence` is replaced as a whole: ";
        assert!(
            told.starts_with(begin) && told.contains(&format!("`{odd}` was {state}")),
            "{told}"
        );
        assert_eq!(host.odd(), [], "after `{harm}`");
        assert_eq!(host.everything(), whole, "after `{harm}`");
    }
    host.give("delete table inet ringfence\n");
    assert!(host.installed().chains.iter().all(|chain| chain.state == ChainState::Missing));
    assert_eq!(host.with(|backend| backend.counters()).unwrap(), Some(Counters::default()));
    let applied = host.apply(&wanted);
    assert_eq!(applied.warnings, ["table `inet ringfence` was gone and is installed anew"]);
    assert_eq!(host.everything(), whole);
}

#[test]
fn without_a_finished_record_the_table_is_replaced() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    host.apply(&of_ports(&[80]));
    let file = host.records.path().join("nftables.json");
    let record = fs::read_to_string(&file).unwrap();
    fs::write(&file, record.replace("\"unfinished\":false", "\"unfinished\":true")).unwrap();
    let applied = host.apply(&of_ports(&[80, 81]));
    let why = "table `inet ringfence` is replaced as a whole: an apply was interrupted";
    assert_eq!((applied.how, applied.warnings), (How::Switched, vec![why.to_owned()]));
    fs::remove_file(&file).unwrap();
    let error = host.with(|backend| backend.read_back()).unwrap_err();
    assert!(matches!(error, NftablesError::Unrecorded), "{error}");
    let applied = host.apply(&of_ports(&[80, 81]));
    let why = "table `inet ringfence` is replaced as a whole: there is no record of what it was \
               made of";
    assert_eq!((applied.how, applied.warnings), (How::Switched, vec![why.to_owned()]));
    assert_eq!(host.odd(), []);
}

#[test]
fn a_table_of_somebody_else_is_refused_and_stays() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    host.give(&ANOTHER.replace("another", "ringfence"));
    let before = host.nft(&["list", "ruleset"]);
    let error = host.try_apply(&of_ports(&[80])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table `inet ringfence` is there, and Ringfence has not made it: rename it, or delete it \
         (`nft delete table inet ringfence`), and apply again"
    );
    assert_eq!(host.with(|backend| backend.read_back()).unwrap(), None);
    assert_eq!(host.with(|backend| backend.remove()).unwrap(), None);
    assert_eq!(host.nft(&["list", "ruleset"]), before);
}

#[test]
fn off_takes_our_table_and_nobody_elses() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    assert_eq!(host.with(|backend| backend.remove()).unwrap(), None);
    host.give(ANOTHER);
    let before = host.nft(&["list", "ruleset"]);
    host.apply(&of_ports(&[80]));
    assert_ne!(host.nft(&["list", "ruleset"]), before);
    let removed = host.with(|backend| backend.remove()).unwrap().unwrap();
    let [line] = removed.as_slice() else { panic!("{removed:?}") };
    assert!(line.starts_with("table inet ringfence: "), "{line}");
    assert_eq!(host.nft(&["list", "ruleset"]), before);
    assert_eq!(host.with(|backend| backend.read_back()).unwrap(), None);
    assert_eq!(fs::read_dir(host.records.path()).unwrap().count(), 0, "the record is gone");
    assert_eq!(host.with(|backend| backend.remove()).unwrap(), None);
}

/// An nft that does `action` instead, where its arguments are like `pattern`.
pub fn instead(host: &Host, pattern: &str, action: &str) -> Tools {
    let folder = host.records.path().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in\n{pattern}) {action} ;;\n*) exec /usr/sbin/nft \"$@\" ;;\nesac\n"
    );
    fs::write(folder.join("nft"), text).unwrap();
    fs::set_permissions(folder.join("nft"), fs::Permissions::from_mode(0o755)).unwrap();
    Tools::in_folders([folder])
}

/// An nft that is given a port that there is not, where the text has the port 81.
fn refusing(host: &Host) -> Nftables {
    let tools = instead(host, "*-f*", "sed 's/tcp \\. 81 /tcp . 70000 /' | /usr/sbin/nft \"$@\"");
    Nftables::new(host.records.path()).with_tools(tools)
}

#[test]
fn what_nft_refuses_is_told_with_its_rule_and_changes_nothing() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    for first in [None, Some([80, 82])] {
        let host = Host::new();
        if let Some(first) = first {
            host.apply(&of_ports(&first));
        }
        let before = host.nft(&["list", "ruleset"]);
        let record = fs::read(host.records.path().join("nftables.json")).ok();
        let mut nft = refusing(&host);
        let error = host.network.run(|| nft.apply(&of_ports(&[80, 81]), None)).unwrap();
        let error = error.unwrap_err().to_string();
        let said = [
            "`nft` refuses line ",
            "tcp . 81 comment",
            "which comes from `networkpolicy/shop/db \
             ingress[1]` at test.yaml:",
        ];
        assert!(said.iter().all(|part| error.contains(part)), "{error}");
        assert_eq!(host.nft(&["list", "ruleset"]), before);
        assert_eq!(fs::read(host.records.path().join("nftables.json")).ok(), record);
    }
}

#[test]
fn a_host_without_nft_is_told_what_to_install() {
    let records = tempfile::tempdir().unwrap();
    let mut backend = Nftables::new(records.path()).with_tools(Tools::in_folders([]));
    assert_eq!(backend.read_back().unwrap(), None);
    assert_eq!(backend.counters().unwrap(), None);
    assert_eq!(backend.remove().unwrap(), None);
    let error = backend.apply(&of_ports(&[80]), None).unwrap_err().to_string();
    assert!(error.contains("`apt-get install nftables`"), "{error}");
}

#[test]
fn connections_are_picked_up_until_a_time_that_is_in_the_rules() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    let until = |until| {
        let mut desired = of_ports(&[80]);
        desired.settings.pick_up_until = until;
        desired
    };
    host.apply(&until(Some(1_795_342_278)));
    let rule = "meta time < \"2026-11-22 ";
    assert!(host.nft(&["list", "ruleset"]).contains(rule));
    assert_eq!(host.apply(&until(Some(1_795_342_278))).how, How::Nothing);
    assert_eq!(host.apply(&until(None)).how, How::Switched);
    assert!(!host.nft(&["list", "ruleset"]).contains(rule));
}
