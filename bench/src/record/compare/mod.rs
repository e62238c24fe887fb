//! Two records, case by case.
//!
//! A figure is known to within its error: what is stated for its measurement, or half of what lies
//! between its passes where that is more. Two figures differ if what they may be does not overlap.
//! Everything else is no difference, however large the ratio looks.

mod print;

use std::fmt;

use serde::Serialize;

use super::figures::{Figure, Figures, Key};
use super::{Measurement, Record, statistic};
use crate::machine::Machine;

pub use self::print::table;

/// What two records say of the same cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What differs between the machines, and so may be why figures do.
    pub machines: Vec<MachineDifference>,
    /// What else makes a comparison doubtful: a record that is partial, or of a busy machine.
    pub doubts: Vec<String>,
    /// The cases that both have, in order.
    pub cases: Vec<Compared>,
    /// How many only the first has.
    pub only_first: usize,
    /// How many only the second has.
    pub only_second: usize,
}

/// Something in which two machines differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineDifference {
    /// What.
    pub what: &'static str,
    /// Of the first.
    pub first: String,
    /// Of the second.
    pub second: String,
}

/// One case in both records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What was measured.
    pub measurement: Measurement,
    /// Of whom, and when.
    pub case: String,
    /// The other choice.
    pub variant: String,
    /// Which figure.
    pub statistic: String,
    /// The first record's figure, in the measurement's unit.
    pub first: f64,
    /// The second record's.
    pub second: f64,
    /// How many times the first the second is; none if the first is 0.
    pub ratio: Option<f64>,
    /// By how much they may differ and still be the same.
    pub error: f64,
    /// Whether they do.
    pub change: Change,
}

/// Whether, and to which side, a figure has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// No further than the errors of both.
    Same,
    /// The second is better.
    Better,
    /// The second is worse.
    Worse,
    /// The second is another, of something that is neither good nor bad.
    Other,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Other => "other",
        })
    }
}

impl Comparison {
    /// The cases that differ by more than their errors.
    pub fn differences(&self) -> impl Iterator<Item = &Compared> {
        self.cases.iter().filter(|case| case.change != Change::Same)
    }
}

/// Compares two records.
#[must_use]
pub fn compare(first: &Record, second: &Record) -> Comparison {
    let (of_first, of_second) = (Figures::of(&first.samples), Figures::of(&second.samples));
    let pair = |(key, figure)| of_second.get(key).map(|other| compared(key, figure, other));
    let only = |these: &Figures, those: &Figures| {
        these.iter().filter(|(key, _)| those.get(key).is_none()).count()
    };
    Comparison {
        machines: machines(&first.machine, &second.machine),
        doubts: doubts(first, "first").chain(doubts(second, "second")).collect(),
        cases: of_first.iter().filter_map(pair).collect(),
        only_first: only(&of_first, &of_second),
        only_second: only(&of_second, &of_first),
    }
}

fn compared(key: &Key, first: &Figure, second: &Figure) -> Compared {
    let error = first.error() + second.error();
    let is_same = (second.value - first.value).abs() <= error;
    let change = match (is_same, better(key)) {
        (true, _) => Change::Same,
        (false, None) => Change::Other,
        (false, Some(Better::More)) if second.value > first.value => Change::Better,
        (false, Some(Better::Less)) if second.value < first.value => Change::Better,
        (false, Some(_)) => Change::Worse,
    };
    Compared {
        measurement: key.measurement,
        case: key.case.to_string(),
        variant: key.variant.clone(),
        statistic: key.statistic.clone(),
        first: first.value,
        second: second.value,
        ratio: (first.value != 0.0).then(|| second.value / first.value),
        error,
        change,
    }
}

enum Better {
    More,
    Less,
}

/// What is better of a figure; nothing if neither is.
fn better(key: &Key) -> Option<Better> {
    match (key.measurement, key.statistic.as_str()) {
        (_, statistic::SENT | statistic::HOSTS | statistic::CHANGES) => None,
        (Measurement::RoundTrip, statistic::OFFERED) => None,
        (_, statistic::LOST | statistic::WRONG | statistic::RETRANSMITTED) => Some(Better::Less),
        (
            Measurement::LossFree | Measurement::Drop | Measurement::Stream | Measurement::Connect,
            _,
        ) => Some(Better::More),
        _ => Some(Better::Less),
    }
}

fn machines(first: &Machine, second: &Machine) -> Vec<MachineDifference> {
    let facts = |machine: &Machine| {
        [
            ("processor", machine.processor.clone()),
            ("cores", machine.cores.to_string()),
            ("virtual machine", machine.virtualised.clone()),
            ("governor", machine.governor.clone()),
            ("turbo", machine.turbo.clone()),
            ("kernel", machine.kernel.clone()),
            ("JIT", machine.jit.clone()),
            ("mitigations", machine.mitigations.clone()),
            ("iptables", machine.iptables.clone()),
            ("iptables-nft", machine.iptables_nft.clone()),
            ("nft", machine.nft.clone()),
            ("ipset", machine.ipset.clone()),
            ("compiler", machine.rustc.clone()),
        ]
    };
    let pairs = facts(first).into_iter().zip(facts(second));
    let differing = pairs.filter(|((_, first), (_, second))| first != second);
    differing
        .map(|((what, first), (_, second))| MachineDifference { what, first, second })
        .collect()
}

fn doubts<'a>(record: &'a Record, which: &'a str) -> impl Iterator<Item = String> + 'a {
    let partial = (!record.run.complete)
        .then(|| format!("the {which} record is partial: its run was stopped"));
    let busy = record
        .machine
        .is_busy()
        .then(|| format!("the {which} record is of a busy machine (load {})", record.machine.load));
    partial.into_iter().chain(busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::synthetic;

    /// A record whose rounds were changed.
    fn changed(of: impl Fn(&mut crate::record::Sample)) -> Record {
        let mut record = synthetic::record();
        record.samples.iter_mut().for_each(of);
        record
    }

    #[test]
    fn a_record_is_the_same_as_itself() {
        let record = synthetic::record();
        let comparison = compare(&record, &record);
        assert_eq!(comparison.differences().count(), 0);
        assert!(comparison.cases.len() > 500, "{}", comparison.cases.len());
        let Comparison { machines, doubts, only_first, only_second, .. } = comparison;
        assert_eq!((machines, doubts, only_first, only_second), (vec![], vec![], 0, 0));
    }

    #[test]
    fn what_is_within_the_errors_of_both_is_no_difference() {
        // A tenth is stated for sending, of both records.
        let slower = changed(|sample| {
            if sample.measurement == Measurement::Send {
                sample.value *= 1.15;
            }
        });
        let comparison = compare(&synthetic::record(), &slower);
        assert_eq!(comparison.differences().count(), 0);
        let ratio = comparison.cases.iter().find(|case| case.statistic == "median");
        assert!(ratio.is_some());
    }

    #[test]
    fn what_is_beyond_is_better_or_worse_by_what_it_is() {
        let other = changed(|sample| match sample.measurement {
            Measurement::Change => sample.value *= 3.0,
            Measurement::Drop => sample.value *= 2.0,
            _ => {}
        });
        let comparison = compare(&synthetic::record(), &other);
        let of = |measurement, change| {
            let of_it = comparison.cases.iter().filter(|case| case.measurement == measurement);
            of_it.filter(|case| case.change == change).count()
        };
        assert_eq!(of(Measurement::Drop, Change::Worse), 0);
        assert!(of(Measurement::Drop, Change::Better) > 10);
        assert_eq!(of(Measurement::Change, Change::Better), 0);
        assert!(of(Measurement::Change, Change::Worse) > 10);
        let rest = comparison
            .differences()
            .filter(|case| !matches!(case.measurement, Measurement::Change | Measurement::Drop));
        assert_eq!(rest.count(), 0);
    }

    #[test]
    fn passes_that_are_apart_make_the_error_larger() {
        let unsteady = changed(|sample| {
            if sample.measurement == Measurement::Send && sample.pass == 2 {
                sample.value *= 3.0;
            }
        });
        let comparison = compare(&synthetic::record(), &unsteady);
        assert_eq!(comparison.differences().count(), 0, "nobody knows");
    }

    #[test]
    fn other_machines_and_missing_cases_are_said() {
        let mut other = synthetic::record();
        other.machine.kernel = "6.12.0".to_owned();
        other.machine.load = 1.0;
        other.run.complete = false;
        other.samples.retain(|sample| sample.measurement != Measurement::Memory);
        let comparison = compare(&synthetic::record(), &other);
        let [difference] = comparison.machines.as_slice() else { panic!("{comparison:#?}") };
        assert_eq!((difference.what, difference.second.as_str()), ("kernel", "6.12.0"));
        assert_eq!(comparison.doubts.len(), 2, "{:?}", comparison.doubts);
        assert!(comparison.only_first > 0 && comparison.only_second == 0);
    }
}
