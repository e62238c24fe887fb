//! G7, G8 and G10: what the comparison says about goals.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};

use super::bench::Effort;
use super::pair::Pair;
use super::run::{self, Results};
use super::setups::{Setup, Task};
use super::{Form, decisions};
use crate::goals::{Bound, Goal, Progress, Row, short};
use crate::kernel::MeasureError;
use crate::record::{Measurement, Sample, statistic, variant};
use crate::rounds::median;

/// The goals that are computed here.
pub const GOALS: &[Goal] = &[Goal::G7, Goal::G8, Goal::G10];

/// How much cheaper than a chain whose last rule matches, by rules and by why the others do not.
const G7: [(usize, Mismatch, f64); 4] = [
    (1_000, Mismatch::Address, 150.0),
    (10_000, Mismatch::Address, 1_000.0),
    (1_000, Mismatch::Port, 1_000.0),
    (10_000, Mismatch::Port, 7_000.0),
];

/// What may be added to sending, of what a set adds.
const G8: [(Contender, f64); 4] = [
    (Contender::BareNftSet, 0.5),
    (Contender::BareIpset, 1.0),
    (Contender::Nftables, 0.5),
    (Contender::Ipset, 1.0),
];

const G8_RULES: [usize; 2] = [10_000, 100_000];

/// How much longer than without a filter the half of round trips may take.
const G10: f64 = 1.03;

/// Measures those of [`GOALS`] that are asked for.
///
/// # Errors
///
/// [`MeasureError`] when something that they need cannot be measured.
pub fn measure(goals: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let effort = Effort::of(Form::Full);
    let mut results = Results::default();
    if goals.contains(&Goal::G7) {
        progress.begin("deciding packets of 1K and 10K rules");
        results.samples =
            run::alone(|| decisions::measure(DECIDED, 1, effort)).map_err(MeasureError::Missing)?;
    }
    let setups = setups(goals);
    let mut pair = Pair::new()?;
    for (done, setup) in setups.iter().enumerate() {
        progress.begin(&setup.to_string());
        progress.step(done, setups.len());
        run::measure(&mut pair, setup, 1, effort, &|| false, &mut results);
        if let Some(omission) = results.omissions.first() {
            return Err(MeasureError::Missing(format!("{}: {}", omission.case, omission.why)));
        }
    }
    Ok(rows(&results).into_iter().filter(|row| goals.contains(&row.goal)).collect())
}

/// What has to be measured for these goals.
fn setups(goals: &BTreeSet<Goal>) -> Vec<Setup> {
    let mut all = Vec::new();
    if goals.contains(&Goal::G7) {
        for (rules, mismatch, _) in G7 {
            let case = Case { mismatch, ..usual(Contender::BareIptables, rules) };
            all.push(Setup::udp(case, &[Task::Send]));
        }
    }
    for rules in G8_RULES {
        if goals.contains(&Goal::G8) {
            for (contender, _) in G8 {
                all.push(Setup::udp(usual(contender, rules), &[Task::Send]));
            }
        }
        let mut tasks = Vec::new();
        if goals.contains(&Goal::G8) {
            tasks.push(Task::Send);
        }
        if goals.contains(&Goal::G10) {
            tasks.push(Task::RoundTrip);
        }
        if !tasks.is_empty() {
            all.push(Setup::udp(usual(Contender::EbpfTcx, rules), &tasks));
        }
    }
    all
}

/// The policies whose decisions have to be measured beside them.
const DECIDED: &[usize] = &[1_000, 10_000];

/// The goals as far as `results` have what they need.
#[must_use]
pub fn rows(results: &Results) -> Vec<Row> {
    let figures = Figures::of(&results.samples);
    let mut rows = Vec::new();
    for (rules, mismatch, limit) in G7 {
        rows.extend(figures.against_chain(rules, mismatch, limit));
    }
    for rules in G8_RULES {
        rows.extend(G8.into_iter().filter_map(|set| figures.against_set(rules, set)));
    }
    rows.extend(G8_RULES.into_iter().filter_map(|rules| figures.round_trip(rules)));
    rows
}

fn usual(contender: Contender, rules: usize) -> Case {
    let tracking = if contender.is_bare() { Tracking::Stateless } else { Tracking::New };
    Case {
        contender,
        rules,
        position: Position::Last,
        mismatch: Mismatch::Address,
        tracking,
        family: Family::V4,
    }
}

/// Medians over all rounds of all passes.
struct Figures(BTreeMap<(Measurement, Case, String, String), f64>);

impl Figures {
    fn of(samples: &[Sample]) -> Self {
        let mut values: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for sample in samples {
            let Sample { measurement, case, variant, statistic, value, .. } = sample.clone();
            values.entry((measurement, case, variant, statistic)).or_default().push(value);
        }
        Self(values.into_iter().map(|(key, values)| (key, median(values))).collect())
    }

    fn get(
        &self,
        measurement: Measurement,
        case: Case,
        variant: &str,
        statistic: &str,
    ) -> Option<f64> {
        self.0.get(&(measurement, case, variant.to_owned(), statistic.to_owned())).copied()
    }

    /// What a case adds to sending a packet.
    fn added(&self, case: Case) -> Option<f64> {
        self.get(Measurement::Send, case, "", statistic::ADDED)
    }

    /// What a decision of the program at tcx costs more than the empty one.
    fn decision(&self, rules: usize, known: bool) -> Option<f64> {
        let (position, tracking, variant) = match known {
            true => (Position::Last, Tracking::Established, variant::HOT),
            false => (Position::None, Tracking::New, variant::RANDOM),
        };
        let of = |contender| {
            let case = Case { position, tracking, ..usual(contender, rules) };
            self.get(Measurement::Decision, case, variant, statistic::MEDIAN)
        };
        Some(of(Contender::EbpfTcx)? - of(Contender::EmptyTcx)?)
    }

    fn against_chain(&self, rules: usize, mismatch: Mismatch, limit: f64) -> Vec<Row> {
        let chain = Case { mismatch, ..usual(Contender::BareIptables, rules) };
        let Some(chain_ns) = self.added(chain) else { return Vec::new() };
        let others = match mismatch {
            Mismatch::Address => "other addresses",
            Mismatch::Port => "other ports",
        };
        let row = |(name, known): (&str, bool)| {
            let own = self.decision(rules, known)?;
            let case = format!("{} rules, {others}; {name}", short(rules));
            // Half a nanosecond is what cannot be seen.
            let ratio = chain_ns / own.max(0.5);
            let reading = format!("{own:.1} ns, iptables {chain_ns:.0} ns");
            let row = Row::new(Goal::G7, case, (Bound::AtLeast, limit), ratio, "×");
            Some(
                row.with("reading", reading)
                    .with("rules", rules)
                    .with("engine_ns", own)
                    .with("chain_ns", chain_ns),
            )
        };
        [("packet of a known flow", true), ("first packet, random peers", false)]
            .into_iter()
            .filter_map(row)
            .collect()
    }

    fn against_set(&self, rules: usize, (set, limit): (Contender, f64)) -> Option<Row> {
        let own = self.added(usual(Contender::EbpfTcx, rules))?;
        let other = self.added(usual(set, rules))?;
        let case = format!("{} rules, against {set}", short(rules));
        let row = Row::new(Goal::G8, case, (Bound::AtMost, limit), own / other, "×");
        let reading = format!("adds {own:.0} ns to a packet, {set} {other:.0} ns");
        Some(
            row.with("reading", reading)
                .with("rules", rules)
                .with("engine_ns", own)
                .with("set_ns", other),
        )
    }

    fn round_trip(&self, rules: usize) -> Option<Row> {
        let case = Case { tracking: Tracking::Established, ..usual(Contender::EbpfTcx, rules) };
        let of = |name| self.get(Measurement::RoundTrip, case, variant::UNLOADED, name);
        let (ratio, own) = (of(statistic::RATIO_P50)?, of(statistic::P50)?);
        let added = of(statistic::ADDED_P50)?;
        let name = format!("{} rules", short(rules));
        let reading = format!("{:.2} µs, {added:.0} ns of them added", own / 1_000.0);
        let row = Row::new(Goal::G10, name, (Bound::AtMost, G10), ratio, "×");
        Some(
            row.with("reading", reading)
                .with("rules", rules)
                .with("p50_ns", own)
                .with("added_ns", added),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(measurement: Measurement, case: Case, names: [&str; 2], value: f64) -> Sample {
        let [variant, statistic] = names.map(str::to_owned);
        Sample { measurement, case, variant, statistic, pass: 1, round: 1, value }
    }

    fn rows_of(samples: Vec<Sample>) -> Vec<(Goal, f64, bool)> {
        let rows = rows(&Results { samples, ..Results::default() });
        rows.into_iter().map(|row| (row.goal, row.measured, row.met)).collect()
    }

    #[test]
    fn a_chain_is_compared_with_the_decision_and_a_set_with_what_is_added() {
        let known = |contender| Case { tracking: Tracking::Established, ..usual(contender, 1_000) };
        let decision = [variant::HOT, statistic::MEDIAN];
        let added = ["", statistic::ADDED];
        let samples = vec![
            sample(Measurement::Decision, known(Contender::EbpfTcx), decision, 30.0),
            sample(Measurement::Decision, known(Contender::EmptyTcx), decision, 10.0),
            sample(Measurement::Send, usual(Contender::BareIptables, 1_000), added, 4_000.0),
            sample(Measurement::Send, usual(Contender::EbpfTcx, 10_000), added, 50.0),
            sample(Measurement::Send, usual(Contender::BareNftSet, 10_000), added, 80.0),
        ];
        assert_eq!(rows_of(samples), [(Goal::G7, 200.0, true), (Goal::G8, 0.625, false)]);
    }

    #[test]
    fn what_was_not_measured_is_no_row() {
        assert_eq!(rows_of(Vec::new()), []);
        let lonely = usual(Contender::BareIptables, 1_000);
        let added = ["", statistic::ADDED];
        assert_eq!(rows_of(vec![sample(Measurement::Send, lonely, added, 4_000.0)]), []);
    }

    #[test]
    fn everything_a_goal_needs_is_set_up() {
        let cases: Vec<Case> =
            setups(&GOALS.iter().copied().collect()).into_iter().map(|setup| setup.case).collect();
        assert_eq!(cases.len(), G7.len() + G8_RULES.len() * (G8.len() + 1));
    }
}
