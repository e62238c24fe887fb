//! The rule that matches is where the case says, with the others before and behind it. The kernel's
//! own listing and its counters say so.

use ringfence_testbed::lab::{Asked, Contender, Family, Lab, Mismatch, Position, Tracking};
use ringfence_testbed::require::{self, Tool};

use crate::scene::{LIMIT, RULES, case, command};

/// What lists the rules that `asked` has, counters at the beginning of each line where they have
/// any.
fn listed(lab: &Lab, asked: &Asked) -> String {
    let v6 = if asked.case.family == Family::V6 { "6" } else { "" };
    match asked.case.contender {
        Contender::BareNft => command(lab, &format!("nft --numeric list chain ip{v6} lab forward")),
        Contender::BareIptablesNft | Contender::IptablesNft => {
            command(lab, &format!("ip{v6}tables-nft-save -c -t filter"))
        }
        _ => command(lab, &format!("ip{v6}tables-legacy-save -c -t filter")),
    }
}

/// The lines of the rules of policy: those that name a port that is the server's.
fn rules(listed: &str) -> Vec<&str> {
    listed.lines().filter(|line| line.contains("dport ") && !line.contains("sport ")).collect()
}

fn is_about(line: &str, asked: &Asked) -> bool {
    let (source, port) = (asked.source(), asked.target().port());
    let words: Vec<&str> = line.split_whitespace().collect();
    let has_source = words.iter().any(|word| {
        word.split('/').next().and_then(|address| address.parse().ok()) == Some(source)
    });
    has_source
        && words.windows(2).any(|pair| pair[0].ends_with("dport") && pair[1] == port.to_string())
}

/// Installs three cases, in each of which another rule matches.
fn in_place(contender: Contender) {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    let mut lab = Lab::new().unwrap();
    for (position, mismatch, family, expected) in [
        (Position::First, Mismatch::Address, Family::V6, 0),
        (Position::Middle, Mismatch::Port, Family::V4, RULES / 2),
        (Position::Last, Mismatch::Address, Family::V4, RULES - 1),
    ] {
        let mut asked = case(contender, position, mismatch, family);
        if contender.is_bare() {
            asked.case.tracking = Tracking::Stateless;
        }
        lab.install(asked, LIMIT).unwrap();
        let text = listed(&lab, &asked);
        let rules = rules(&text);
        let about = |asked: &Asked| rules.iter().position(|line| is_about(line, asked));
        assert_eq!(rules.len(), RULES, "{}: {text}", asked.case);
        assert_eq!(about(&asked), Some(expected), "{}: {text}", asked.case);
        if contender != Contender::BareNft {
            let counted = rules.iter().position(|line| !line.starts_with("[0:0]"));
            assert_eq!(counted, Some(expected), "the check's packets, {}: {text}", asked.case);
        }
        asked.case.position = Position::None;
        assert_eq!(about(&asked), None, "{}: {text}", asked.case);
    }
}

#[test]
fn in_iptables_flat() {
    in_place(Contender::IptablesFlat);
}

#[test]
fn in_iptables() {
    in_place(Contender::Iptables);
}

#[test]
fn in_iptables_nft() {
    in_place(Contender::IptablesNft);
}

#[test]
fn in_a_bare_chain_of_iptables() {
    in_place(Contender::BareIptables);
}

#[test]
fn in_a_bare_chain_of_iptables_nft() {
    in_place(Contender::BareIptablesNft);
}

#[test]
fn in_a_bare_chain_of_nftables() {
    in_place(Contender::BareNft);
}
