//! Each contender filters ten rules as asked, has as many rules as it should, and is gone again.

use ringfence_dataplane::backend::hook_name;
use ringfence_dataplane::enforce::{self, Paths};
use ringfence_testbed::lab::{
    Asked, Case, Contender, Family, Installed, Lab, Mismatch, Position, Tracking, Transport,
};
use ringfence_testbed::require::{self, Tool};

use crate::scene::{LIMIT, RULES, case, state};

/// Installs all of `cases` one after the other; each checks itself. Clears, and compares the
/// router with one on which nothing ever was.
fn come_and_go(cases: &[Asked], is_right: impl Fn(&Asked, &Installed) -> bool) {
    let mut lab = Lab::new().unwrap();
    let before = state(&lab);
    for asked in cases {
        let installed = lab.install(asked, LIMIT);
        let installed =
            installed.unwrap_or_else(|error| panic!("{}: {}", asked.case, error.said()));
        assert!(is_right(asked, &installed), "{}: {installed:?}", asked.case);
        let is_ours = !asked.case.contender.is_bare() && !asked.case.contender.is_control();
        assert_eq!(installed.compiled.is_some(), is_ours, "{installed:?}");
        assert_eq!(installed.warnings, [""; 0], "{}", asked.case);
    }
    lab.clear().unwrap();
    assert_eq!(state(&lab), before);
    let nothing = case(Contender::None, Position::None, Mismatch::Port, Family::V6);
    lab.check(nothing).unwrap();
}

/// Both families, reasons not to match and protocols, in all positions.
fn cases(contender: Contender) -> Vec<Asked> {
    let (first, middle) = (Position::First, Position::Middle);
    let of = |position, mismatch, family| case(contender, position, mismatch, family);
    let tcp = |asked: Asked| Asked { transport: Transport::Tcp, ..asked };
    vec![
        of(first, Mismatch::Address, Family::V4),
        tcp(of(middle, Mismatch::Port, Family::V6)),
        tcp(of(Position::Last, Mismatch::Address, Family::V6)),
        of(Position::None, Mismatch::Port, Family::V4),
        with_rules(of(Position::None, Mismatch::Address, Family::V6), 0),
    ]
}

fn with_rules(asked: Asked, rules: usize) -> Asked {
    Asked { case: Case { rules, ..asked.case }, ..asked }
}

fn with_tracking(asked: &Asked, tracking: Tracking) -> Asked {
    Asked { case: Case { tracking, ..asked.case }, ..*asked }
}

/// A chain: each rule, one that drops, and one for what is established.
fn chain(asked: &Asked, installed: &Installed) -> bool {
    let own = 1 + usize::from(asked.case.tracking != Tracking::Stateless);
    (installed.rules, installed.elements) == (asked.case.rules + own, 0)
}

/// A set: one rule that asks it in the place of all.
fn set(asked: &Asked, installed: &Installed) -> bool {
    let own = 1 + usize::from(asked.case.tracking != Tracking::Stateless);
    (installed.rules, installed.elements) == (1 + own, asked.case.rules)
}

fn bare(contender: Contender, is_right: fn(&Asked, &Installed) -> bool) {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let new = cases(contender);
    let stateless = |number: usize| with_tracking(&new[number], Tracking::Stateless);
    let established = with_tracking(&new[1], Tracking::Established);
    come_and_go(&[stateless(0), stateless(2), established, new[3], stateless(4)], is_right);
}

#[test]
fn a_bare_chain_of_iptables() {
    bare(Contender::BareIptables, chain);
}

#[test]
fn a_bare_chain_of_iptables_nft() {
    bare(Contender::BareIptablesNft, chain);
}

#[test]
fn a_bare_chain_of_nftables() {
    bare(Contender::BareNft, chain);
}

#[test]
fn a_bare_set_of_ipset() {
    bare(Contender::BareIpset, set);
}

#[test]
fn a_bare_set_of_nftables() {
    bare(Contender::BareNftSet, set);
}

/// Ringfence's chains come with rules that every policy has, of both families.
fn own_chains(contender: Contender) {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let cases = cases(contender);
    let established = with_tracking(&cases[0], Tracking::Established);
    come_and_go(&[cases[1], established, cases[3]], |_, installed| {
        installed.rules > 2 * RULES && installed.elements == 0
    });
}

/// In sets are the server's own address of each family as well.
fn own_sets(contender: Contender) {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let cases = cases(contender);
    let established = with_tracking(&cases[0], Tracking::Established);
    come_and_go(&[cases[1], established, cases[4]], |asked, installed| {
        installed.rules > 2 * RULES && installed.elements >= asked.case.rules + 2
    });
}

#[test]
fn iptables_flat() {
    own_chains(Contender::IptablesFlat);
}

#[test]
fn iptables() {
    own_chains(Contender::Iptables);
}

#[test]
fn iptables_nft() {
    own_chains(Contender::IptablesNft);
}

#[test]
fn ipset() {
    own_sets(Contender::Ipset);
}

#[test]
fn nftables() {
    own_sets(Contender::Nftables);
}

/// No rule of a chain, and an entry of the policy's map for each.
fn entries(asked: &Asked, installed: &Installed) -> bool {
    (installed.rules, installed.elements) == (0, asked.case.rules)
}

/// The hooks that are in place, a line for each.
fn hooks(lab: &Lab) -> Vec<String> {
    let status = lab.at_router(|| enforce::status(&Paths::default())).unwrap().unwrap();
    let attached = status[0].installed.attached.iter().filter(|attached| attached.alive);
    let mut lines: Vec<String> =
        attached.map(|a| format!("{} {} {}", a.interface, hook_name(a.hook), a.how)).collect();
    lines.sort();
    lines
}

/// Programs, and the hooks that they are at.
fn programs(asked: Asked, at: &[&str]) {
    let Some(_granted) = require::kernel() else { return };
    let mut lab = Lab::new().unwrap();
    let before = state(&lab);
    let installed = lab.install(asked, LIMIT).unwrap();
    assert!(entries(&asked, &installed), "{installed:?}");
    assert_eq!(hooks(&lab), at);
    // The same again, through the tables that a packet has filled before.
    lab.check(asked).unwrap();
    lab.clear().unwrap();
    assert_eq!(state(&lab), before);
}

#[test]
fn ebpf_at_tcx() {
    let asked = cases(Contender::EbpfTcx)[1];
    programs(asked, &["rf-server tc-egress tcx", "rf-server tc-ingress tcx"]);
}

#[test]
fn ebpf_at_xdp() {
    let at = [
        "rf-server tc-egress tcx",
        "rf-server xdp xdp native",
        "uplink tc-egress tcx",
        "uplink xdp xdp native",
    ];
    programs(cases(Contender::EbpfXdp)[0], &at);
}

#[test]
fn the_filter_in_user_space() {
    let Some(_granted) = require::privileged() else { return };
    let cases = cases(Contender::Userspace);
    come_and_go(&cases, entries);
    come_and_go(&[with_tracking(&cases[1], Tracking::Established)], entries);
}

#[test]
fn controls_let_everything_pass() {
    let Some(_granted) = require::privileged() else { return };
    for contender in [Contender::None, Contender::EmptyTcx, Contender::EmptyXdp] {
        let cases = cases(contender);
        come_and_go(&[cases[1], cases[3]], |_, installed| {
            (installed.rules, installed.elements) == (0, 0)
        });
    }
}
