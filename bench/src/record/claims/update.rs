//! "Policy update: full chain rebuild | incremental".

use std::collections::BTreeMap;

use ringfence_testbed::lab::Contender;

use super::evaluation::{first_measured, is_constant};
use super::{Answer, Reading, Verdict};
use crate::record::figures::{Figure, Figures};
use crate::record::growth::Growth;
use crate::record::{choice, number};

/// From this exponent on what a change of one rule takes is the work of the whole chain.
const WHOLE: f64 = 0.5;

/// Iptables takes all rules out and puts all in for a change of one.
pub fn rebuild(figures: &Figures) -> Answer {
    let others = [Contender::BareIptablesNft, Contender::BareIpset, Contender::BareNftSet];
    let of_iptables = one_change(figures, choice::chain(figures), is_whole);
    let verdict = of_iptables.verdict.clone();
    let mut readings = vec![of_iptables];
    readings.extend(others.map(|contender| one_change(figures, contender, is_whole)));
    let claim = "iptables: a policy update is a full chain rebuild".to_owned();
    Answer { claim, readings, verdict }
}

/// EBPF changes what has changed.
pub fn incremental(figures: &Figures) -> Answer {
    let readings = vec![one_change(figures, Contender::EbpfTcx, is_constant)];
    let verdict = first_measured(&readings);
    Answer { claim: "eBPF: a policy update is incremental".to_owned(), readings, verdict }
}

fn one_change(figures: &Figures, contender: Contender, judge: fn(&Growth) -> Verdict) -> Reading {
    let of = format!("one rule changed, {contender}");
    let one = choice::ONE_CHANGE.by_rules(figures, contender);
    let costs: BTreeMap<usize, Figure> =
        one.into_iter().map(|(rules, (_, figure))| (rules, figure.clone())).collect();
    let Some(growth) = Growth::of(&costs) else { return Reading::not_measured(of) };
    let Growth { exponent, from, to, .. } = growth;
    let at = |rules: usize| {
        let all = choice::FULL_LOAD.by_rules(figures, contender);
        let all = all.get(&rules).map(|(_, figure)| number::time(figure.value));
        let all = all.map(|time| format!(" (all loaded: {time})")).unwrap_or_default();
        format!("{} at {}{all}", number::time(costs[&rules].value), number::rules(rules))
    };
    let measured = format!("{}, {}: grows as rules^{exponent:.2}", at(from), at(to));
    Reading { of, measured, verdict: judge(&growth) }
}

fn is_whole(growth: &Growth) -> Verdict {
    if growth.exponent >= WHOLE {
        return Verdict::Holds;
    }
    Verdict::Wrong(format!("it does not take longer for more rules (rules^{:.2})", growth.exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::synthetic;

    #[test]
    fn a_chain_is_replaced_as_a_whole_and_a_table_is_not() {
        let figures = Figures::of(&synthetic::record().samples);
        let rebuild = rebuild(&figures);
        assert_eq!(rebuild.verdict, Verdict::Holds, "{rebuild:#?}");
        let of_nft = &rebuild.readings[3];
        assert!(of_nft.of.ends_with("bare nftables set"), "{of_nft:#?}");
        assert!(matches!(&of_nft.verdict, Verdict::Wrong(_)), "{of_nft:#?}");
        let incremental = incremental(&figures);
        assert_eq!(incremental.verdict, Verdict::Holds, "{incremental:#?}");
        let measured = &incremental.readings[0].measured;
        assert!(measured.contains("2.01 µs at 1K (all loaded: "), "{measured}");
    }
}
