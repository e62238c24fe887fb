//! "Cilium (eBPF): latency added < 0.5ms; memory 0 (kernel)", in the table of service meshes.

use ringfence_testbed::lab::Contender;

use super::evaluation::first_measured;
use super::verdict::Claimed;
use super::{Answer, Reading, Verdict};
use crate::record::figures::{Figure, Figures, Question};
use crate::record::{Measurement, choice, number, statistic, variant};

/// What is claimed of eBPF beside service meshes, in nanoseconds.
const ADDED: Claimed = Claimed::Below(500_000.0);

/// EBPF adds less than half a millisecond.
pub fn latency(figures: &Figures) -> Answer {
    let rules = choice::shown_rules(figures, Measurement::RoundTrip);
    let reading = |(load, statistic, of): (&str, &str, &str)| {
        let question = Question::new(Measurement::RoundTrip, load, statistic);
        let found =
            rules.and_then(|rules| figures.added(&question, Contender::EbpfTcx).remove(&rules));
        let Some((case, figure)) = found else { return Reading::not_measured(of) };
        Reading {
            of: of.to_owned(),
            measured: format!(
                "{} at {} rules",
                number::time(figure.value),
                number::rules(case.rules)
            ),
            verdict: ADDED.judge(figure.value, figure.error()),
        }
    };
    let readings = [
        (variant::UNLOADED, statistic::P50, "what an idle round trip takes more, half of them"),
        (
            variant::UNLOADED,
            statistic::P99,
            "what an idle round trip takes more, the slowest of a hundred",
        ),
        (
            variant::NEARLY_FULL,
            statistic::P50,
            "the same at nine tenths of what gets through, half of them",
        ),
        (variant::NEARLY_FULL, statistic::P99, "the same at nine tenths, the slowest of a hundred"),
    ];
    let readings: Vec<Reading> = readings.map(reading).into();
    let verdict = first_measured(&readings);
    Answer { claim: "Cilium (eBPF): less than 0.5 ms added".to_owned(), readings, verdict }
}

/// EBPF takes no memory of processes.
pub fn memory(figures: &Figures) -> Answer {
    let of = "memory of the kernel, eBPF, tcx";
    let question = Question::new(Measurement::Memory, "", statistic::KERNEL);
    let found = figures.by_rules(&question, Contender::EbpfTcx);
    let readings = match (found.first_key_value(), found.last_key_value()) {
        (Some(least), Some(most)) => {
            let at = |(rules, (_, figure)): (&usize, &(_, &Figure))| {
                format!("{} at {}", number::bytes(figure.value), number::rules(*rules))
            };
            let measured = match least.0 == most.0 {
                true => at(most),
                false => format!("{}, {}", at(least), at(most)),
            };
            let instead =
                "there is no process for each workload, but tables in the kernel".to_owned();
            let verdict = match most.1.1.value {
                value if value < 1.0 => Verdict::Holds,
                _ => Verdict::Wrong(instead),
            };
            vec![Reading { of: of.to_owned(), measured, verdict }]
        }
        _ => vec![Reading::not_measured(of)],
    };
    let verdict = first_measured(&readings);
    Answer { claim: "Cilium (eBPF): memory 0 (kernel)".to_owned(), readings, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::synthetic;

    #[test]
    fn what_is_added_is_judged_and_memory_is_not_nothing() {
        let figures = Figures::of(&synthetic::record().samples);
        let added = latency(&figures);
        assert_eq!(added.verdict, Verdict::Holds, "{added:#?}");
        assert!(added.readings.iter().all(|reading| reading.measured.ends_with("at 10K rules")));
        let memory = memory(&figures);
        assert!(matches!(memory.verdict, Verdict::Wrong(_)), "{memory:#?}");
        assert_eq!(super::memory(&Figures::default()).verdict, Verdict::NotMeasured);
        assert_eq!(latency(&Figures::default()).verdict, Verdict::NotMeasured);
    }
}
