//! "Policy update: full chain rebuild | incremental".

use std::collections::BTreeMap;

use ringfence_testbed::lab::Contender;

use super::evaluation::first_measured;
use super::{Answer, Reading, Verdict};
use crate::record::figures::{Figure, Figures};
use crate::record::growth::Growth;
use crate::record::{choice, number};

/// From this exponent on what a change of one rule takes is the work of the whole chain.
const WHOLE: f64 = 0.5;
/// Up to this share of loading all rules a change of one is not the work of the whole, whatever its
/// growth.
const PART: f64 = 0.01;

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
    let readings = vec![one_change(figures, Contender::EbpfTcx, is_part)];
    let verdict = first_measured(&readings);
    Answer { claim: "eBPF: a policy update is incremental".to_owned(), readings, verdict }
}

/// What a change of one rule takes.
struct Change {
    growth: Growth,
    /// As a share of loading all of the most rules, if that was measured.
    share: Option<f64>,
}

fn one_change(figures: &Figures, contender: Contender, judge: fn(&Change) -> Verdict) -> Reading {
    let of = format!("one rule changed, {contender}");
    let by_rules = |change: choice::Change| -> BTreeMap<usize, Figure> {
        let found = change.by_rules(figures, contender).into_iter();
        found.map(|(rules, (_, figure))| (rules, figure.clone())).collect()
    };
    let (one, all) = (by_rules(choice::ONE_CHANGE), by_rules(choice::FULL_LOAD));
    let Some(growth) = Growth::of(&one) else { return Reading::not_measured(of) };
    let Growth { exponent, from, to, .. } = growth;
    // What a tool takes beyond its start may come out below nothing, within its error.
    let time = |rules: usize| {
        let Figure { value, stated, .. } = &one[&rules];
        let error = stated.absolute;
        let time = number::time(value.max(error));
        let time = if *value < error { format!("less than {time}") } else { time };
        let all = all.get(&rules).map(|all| format!(" (all loaded: {})", number::time(all.value)));
        format!("{time} at {}{}", number::rules(rules), all.unwrap_or_default())
    };
    let share = all.get(&to).map(|all| one[&to].value.max(one[&to].stated.absolute) / all.value);
    let measured = format!("{}, {}: grows as rules^{exponent:.2}", time(from), time(to));
    Reading { of, measured, verdict: judge(&Change { growth, share }) }
}

fn is_whole(change: &Change) -> Verdict {
    let Change { growth: Growth { exponent, .. }, share } = *change;
    match share {
        Some(share) if share <= PART => Verdict::Wrong(of_all(share)),
        _ if exponent >= WHOLE => Verdict::Holds,
        _ => Verdict::Wrong(format!("it does not grow with the rules (rules^{exponent:.2})")),
    }
}

fn is_part(change: &Change) -> Verdict {
    let Change { growth: Growth { exponent, .. }, share } = *change;
    match share {
        Some(share) if share <= PART => Verdict::Holds,
        _ if exponent <= Growth::CONSTANT => Verdict::Holds,
        Some(share) => Verdict::Wrong(format!("{}, and rules^{exponent:.2}", of_all(share))),
        None => Verdict::Wrong(format!("the cost grows as rules^{exponent:.2}")),
    }
}

fn of_all(share: f64) -> String {
    format!("it takes {} % of loading all rules", number::digits(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Measurement, statistic, synthetic, variant};

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
        assert!(measured.contains("8.04 µs at 1K (all loaded: "), "{measured}");
    }

    /// The synthetic record, of which one contender's changes of one rule take something else.
    fn with_one_change(of: Contender, statistic: &str, time: impl Fn(usize) -> f64) -> Figures {
        let mut samples = synthetic::record().samples;
        for sample in &mut samples {
            let is_it = sample.case.contender == of && sample.variant == variant::ONE_RULE;
            if is_it && sample.measurement == Measurement::Change {
                sample.statistic = statistic.to_owned();
                sample.value = time(sample.case.rules);
            }
        }
        Figures::of(&samples)
    }

    #[test]
    fn a_small_part_of_loading_all_is_incremental_whatever_its_growth() {
        let ours = |time: fn(usize) -> f64| {
            let of = with_one_change(Contender::EbpfTcx, statistic::CALL, time);
            incremental(&of).verdict
        };
        // Loading all takes 600 ns for each rule.
        assert_eq!(ours(|rules| 3.0 * rules as f64 + 50_000.0), Verdict::Holds);
        let half = ours(|rules| 300.0 * rules as f64).to_string();
        assert!(half.ends_with(" % of loading all rules, and rules^1.00"), "{half}");
    }

    #[test]
    fn what_is_no_more_than_its_error_does_not_grow() {
        let noise = |rules| if rules == 1_000 { -4_000.0 } else { 90_000.0 };
        let of = with_one_change(Contender::BareIpset, statistic::NET, noise);
        let reading = rebuild(&of).readings.swap_remove(2);
        assert!(reading.of.ends_with("bare ipset"), "{reading:#?}");
        assert!(matches!(reading.verdict, Verdict::Wrong(_)), "{reading:#?}");
        assert!(reading.measured.starts_with("less than 300 µs at 1K"), "{reading:#?}");
    }
}
