//! Figures: what the samples of a case come to.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};

use super::{Measurement, Sample, StatedError};
use crate::rounds;

/// What the samples of a case come to: the median of a pass's rounds, and the mean of the passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The mean of the passes.
    pub value: f64,
    /// The median of each pass's rounds, by pass.
    pub passes: Vec<f64>,
    /// How far the passes may be apart.
    pub stated: StatedError,
}

impl Figure {
    pub(super) fn new(passes: Vec<f64>, stated: StatedError) -> Self {
        let value = passes.iter().sum::<f64>() / passes.len() as f64;
        Self { value, passes, stated }
    }

    /// The least and the greatest pass.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let least = self.passes.iter().copied().fold(f64::INFINITY, f64::min);
        (least, self.passes.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    /// Whether the passes agree within the stated error.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let (least, greatest) = self.range();
        self.stated.allows(least, greatest)
    }

    /// How far the value may be off: as stated, or half of what lies between the passes.
    #[must_use]
    pub fn error(&self) -> f64 {
        let (least, greatest) = self.range();
        self.stated.at(self.value).max((greatest - least) / 2.0)
    }
}

/// What a figure is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What was measured.
    pub measurement: Measurement,
    /// Of whom, and when.
    pub case: Case,
    /// What else was chosen.
    pub variant: String,
    /// Which figure of the measurement.
    pub statistic: String,
}

/// Figures by what they are of.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    by_key: BTreeMap<Key, Figure>,
}

/// What is asked of [`Figures`]: the figures for each number of rules, under the circumstances that
/// are shown first.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What was measured.
    pub measurement: Measurement,
    /// The other choice.
    pub variant: &'a str,
    /// Which figure.
    pub statistic: &'a str,
    /// Which rule matches; nothing if it does not matter.
    pub position: Option<Position>,
    /// Why others do not; nothing if it does not matter.
    pub mismatch: Option<Mismatch>,
    /// What is known of the connection; nothing for the first there is of [`TRACKINGS`].
    pub tracking: Option<Tracking>,
    /// The version of IP.
    pub family: Family,
}

/// What is known of a connection, in the order in which a figure is chosen where several would do:
/// rules asked for each packet before rules asked once.
pub const TRACKINGS: [Tracking; 3] = [Tracking::New, Tracking::Stateless, Tracking::Established];

impl<'a> Question<'a> {
    /// Under the circumstances that are shown first: IPv4, everything else as it comes.
    #[must_use]
    pub const fn new(measurement: Measurement, variant: &'a str, statistic: &'a str) -> Self {
        Self {
            measurement,
            variant,
            statistic,
            position: None,
            mismatch: None,
            tracking: None,
            family: Family::V4,
        }
    }

    /// The last rule matches, the others for that reason not.
    #[must_use]
    pub const fn last(self, mismatch: Mismatch) -> Self {
        Self { position: Some(Position::Last), mismatch: Some(mismatch), ..self }
    }

    fn takes(&self, key: &Key) -> bool {
        let Case { position, mismatch, tracking, family, .. } = key.case;
        // A filter without rules has none that could match.
        let has_rules = key.case.rules > 0;
        key.measurement == self.measurement
            && key.variant == self.variant
            && key.statistic == self.statistic
            && family == self.family
            && (!has_rules || self.position.is_none_or(|asked| asked == position))
            && (!has_rules || self.mismatch.is_none_or(|asked| asked == mismatch))
            && self.tracking.is_none_or(|asked| asked == tracking)
    }

    /// The less, the sooner it is chosen among cases of one contender with so many rules.
    fn rank(&self, case: &Case) -> (usize, Position, Mismatch) {
        let position = TRACKINGS.iter().position(|tracking| *tracking == case.tracking);
        (position.unwrap_or(TRACKINGS.len()), case.position, case.mismatch)
    }
}

impl Figures {
    /// Of these samples.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let mut values: BTreeMap<Key, BTreeMap<u32, Vec<f64>>> = BTreeMap::new();
        for sample in samples {
            let key = Key {
                measurement: sample.measurement,
                case: sample.case,
                variant: sample.variant.clone(),
                statistic: sample.statistic.clone(),
            };
            values.entry(key).or_default().entry(sample.pass).or_default().push(sample.value);
        }
        let figure = |(key, passes): (Key, BTreeMap<u32, Vec<f64>>)| {
            let stated = key.measurement.error(&key.variant, &key.statistic);
            let figure = Figure::new(passes.into_values().map(rounds::median).collect(), stated);
            (key, figure)
        };
        Self { by_key: values.into_iter().map(figure).collect() }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Figure)> {
        self.by_key.iter()
    }

    /// The figure of exactly that.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Figure> {
        self.by_key.get(key)
    }

    /// A contender's figures by number of rules.
    #[must_use]
    pub fn by_rules(
        &self,
        question: &Question<'_>,
        contender: Contender,
    ) -> BTreeMap<usize, (Case, &Figure)> {
        let mut found: BTreeMap<usize, (Case, &Figure)> = BTreeMap::new();
        for (key, figure) in &self.by_key {
            if key.case.contender != contender || !question.takes(key) {
                continue;
            }
            let is_better =
                |(case, _): &(Case, &Figure)| question.rank(&key.case) < question.rank(case);
            if found.get(&key.case.rules).is_none_or(is_better) {
                found.insert(key.case.rules, (key.case, figure));
            }
        }
        found
    }

    /// A contender's figure at a number of rules.
    #[must_use]
    pub fn at(
        &self,
        question: &Question<'_>,
        contender: Contender,
        rules: usize,
    ) -> Option<(Case, &Figure)> {
        self.by_rules(question, contender).remove(&rules)
    }

    /// What a filter adds to no filter, by number of rules: pass by pass, and the error of both.
    #[must_use]
    pub fn added(
        &self,
        question: &Question<'_>,
        contender: Contender,
    ) -> BTreeMap<usize, (Case, Figure)> {
        let of_it = self.by_rules(question, contender).into_iter();
        of_it
            .filter_map(|(rules, (case, figure))| {
                let added = minus(figure, self.unfiltered(question, &case)?)?;
                Some((rules, (case, added)))
            })
            .collect()
    }

    /// The numbers of rules for which there is something, of any contender.
    #[must_use]
    pub fn rules(&self, measurement: Measurement) -> BTreeSet<usize> {
        let of_it = self.by_key.keys().filter(|key| key.measurement == measurement);
        of_it.map(|key| key.case.rules).filter(|rules| *rules > 0).collect()
    }

    /// The figure of no filter that is nearest to a case.
    fn unfiltered(&self, question: &Question<'_>, case: &Case) -> Option<&Figure> {
        let distance = |other: &Case| {
            (
                other.tracking != case.tracking,
                other.mismatch != case.mismatch,
                other.position != case.position,
                other.rules.abs_diff(case.rules),
            )
        };
        let of_none = self.by_key.iter().filter(|(key, _)| {
            key.case.contender == Contender::None
                && key.measurement == question.measurement
                && key.variant == question.variant
                && key.statistic == question.statistic
                && key.case.family == case.family
        });
        of_none.min_by_key(|(key, _)| distance(&key.case)).map(|(_, figure)| figure)
    }
}

/// The difference, pass by pass. What is subtracted has an error too.
fn minus(figure: &Figure, other: &Figure) -> Option<Figure> {
    let passes: Vec<f64> =
        figure.passes.iter().zip(&other.passes).map(|(one, other)| one - other).collect();
    let absolute = figure.stated.at(figure.value).hypot(other.stated.at(other.value));
    let stated = StatedError { relative: 0.0, absolute, because: figure.stated.because };
    (!passes.is_empty()).then(|| Figure::new(passes, stated))
}
