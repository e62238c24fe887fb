//! "Rule evaluation: O(n) linear scan | O(1) hash lookup".

use std::collections::BTreeMap;

use ringfence_testbed::lab::{Contender, Mismatch, Tracking};

use super::{Answer, Reading, Verdict, overall};
use crate::record::figures::{Figure, Figures, Question};
use crate::record::growth::Growth;
use crate::record::{Measurement, choice, number, statistic, variant};

/// Iptables asks its rules one after the other.
pub fn chain(figures: &Figures) -> Answer {
    let of = |mismatch| {
        let contender = choice::chain(figures);
        packet(figures, contender, mismatch, is_linear)
    };
    let readings = vec![of(Mismatch::Address), of(Mismatch::Port)];
    let verdict = first_measured(&readings);
    Answer {
        claim: "iptables: rule evaluation is an O(n) linear scan".to_owned(),
        readings,
        verdict,
    }
}

/// EBPF looks the rule up.
pub fn hash(figures: &Figures) -> Answer {
    let ours = Contender::EbpfTcx;
    // One peer over and over is the work of the decision; of random ones, caches are a part.
    let literal = vec![decision(figures, ours, variant::HOT, "a decision, one peer")];
    let others = vec![
        decision(figures, ours, variant::RANDOM, "a decision, random peers"),
        packet(figures, ours, Mismatch::Address, is_constant),
        denied(figures, ours),
    ];
    let verdict = overall(&literal, &others);
    let readings = literal.into_iter().chain(others).collect();
    Answer { claim: "eBPF: rule evaluation is an O(1) hash lookup".to_owned(), readings, verdict }
}

/// What the first reading comes to of which there is a figure.
pub fn first_measured(readings: &[Reading]) -> Verdict {
    let measured = readings.iter().find(|reading| reading.verdict != Verdict::NotMeasured);
    measured.map_or(Verdict::NotMeasured, |reading| reading.verdict.clone())
}

fn packet(
    figures: &Figures,
    contender: Contender,
    mismatch: Mismatch,
    judge: fn(&Growth) -> Verdict,
) -> Reading {
    let question = Question::new(Measurement::Send, "", statistic::MEDIAN).last(mismatch);
    let of = format!("a packet, {contender}, rules differ in {}", choice::differ_in(mismatch));
    let added = figures.added(&question, contender);
    let figures = added.into_iter().map(|(rules, (_, figure))| (rules, figure)).collect();
    growing(of, &figures, judge)
}

/// A decision on a packet that no rule allows, less what an empty program takes.
fn decision(figures: &Figures, contender: Contender, variant: &str, of: &str) -> Reading {
    let question = Question {
        tracking: Some(Tracking::New),
        ..Question::new(Measurement::Decision, variant, statistic::MEDIAN)
    };
    let empty = figures.by_rules(&question, Contender::EmptyTcx);
    let less_empty = |(rules, (_, figure)): (usize, (_, &Figure))| {
        let figure = empty.get(&rules).and_then(|(_, empty)| figure.minus(empty));
        figure.map(|figure| (rules, figure))
    };
    let figures = figures.by_rules(&question, contender).into_iter().filter_map(less_empty);
    growing(of.to_owned(), &figures.collect(), is_constant)
}

/// A denied packet, the generator's work included.
fn denied(figures: &Figures, contender: Contender) -> Reading {
    let of = "a denied packet, its sending included";
    let variants = choice::variants(figures, Measurement::Drop);
    let Some(variant) = variants.first() else { return Reading::not_measured(of) };
    let question = Question::new(Measurement::Drop, variant, statistic::RATE);
    let found = figures.by_rules(&question, contender).into_iter();
    let figures = found.map(|(rules, (_, figure))| (rules, figure.inverse(1e9)));
    growing(of.to_owned(), &figures.collect(), is_constant)
}

fn growing(
    of: String,
    figures: &BTreeMap<usize, Figure>,
    judge: fn(&Growth) -> Verdict,
) -> Reading {
    let Some(growth) = Growth::of(figures) else { return Reading::not_measured(of) };
    let Growth { exponent, per_rule, from, to } = growth;
    let at = |rules: usize| {
        format!("{} at {}", number::time(figures[&rules].value), number::rules(rules))
    };
    let each = number::time(per_rule);
    let measured =
        format!("{}, {}: grows as rules^{exponent:.2}, {each} for each rule", at(from), at(to));
    Reading { of, measured, verdict: judge(&growth) }
}

fn is_linear(growth: &Growth) -> Verdict {
    if growth.exponent >= Growth::LINEAR {
        return Verdict::Holds;
    }
    Verdict::Wrong(format!("the cost grows as rules^{:.2}", growth.exponent))
}

fn is_constant(growth: &Growth) -> Verdict {
    if growth.exponent <= Growth::CONSTANT {
        return Verdict::Holds;
    }
    Verdict::Wrong(format!("the cost grows as rules^{:.2}", growth.exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::synthetic;

    #[test]
    fn a_chain_is_a_scan_and_a_table_is_none() {
        let figures = Figures::of(&synthetic::record().samples);
        let chain = chain(&figures);
        assert_eq!(chain.verdict, Verdict::Holds, "{chain:#?}");
        assert_eq!(chain.readings.len(), 2);
        assert!(chain.readings[1].measured.contains("28.1 ns for each rule"), "{chain:#?}");
        let hash = hash(&figures);
        assert_eq!(hash.verdict, Verdict::Holds, "{hash:#?}");
    }

    #[test]
    fn a_table_that_grows_is_said_to_grow() {
        let mut samples = synthetic::record().samples;
        for sample in &mut samples {
            let Measurement::Decision = sample.measurement else { continue };
            if sample.case.contender == Contender::EbpfTcx {
                sample.value += sample.case.rules as f64;
            }
        }
        let hash = hash(&Figures::of(&samples));
        let text = hash.verdict.to_string();
        assert!(text.starts_with("wrong: the cost grows as rules^1.00"), "{text}");
        // What is measured of packets was left as it was.
        assert!(text.contains("; true of a packet, eBPF, tcx"), "{text}");
    }

    #[test]
    fn without_samples_nothing_is_said() {
        for answer in [chain(&Figures::default()), hash(&Figures::default())] {
            assert_eq!(answer.verdict, Verdict::NotMeasured);
            assert!(answer.readings.iter().all(|reading| reading.measured.is_empty()));
        }
    }
}
