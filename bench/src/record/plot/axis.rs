//! Axes: where values lie, and what is written beside them.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::Ranged;

/// An axis. Positions on it are logarithms, or numbers of named places.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What is on it, with its unit.
    pub label: String,
    /// Its lowest and its highest position.
    pub range: (f64, f64),
    /// Positions with a line and what is written beside them.
    pub ticks: Vec<(f64, String)>,
    /// Positions with a thin line.
    pub light: Vec<f64>,
    is_log: bool,
}

impl Axis {
    /// A logarithmic axis for these values, of which those below `least` are drawn at `least`.
    /// `write` is how a value is written beside it.
    pub fn log(
        label: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        least: f64,
        write: impl Fn(f64) -> String,
    ) -> Self {
        let (low, high) = ends(values.into_iter().map(|value| value.max(least).log10()));
        let (from, to) = if low > high {
            (least.log10(), least.log10() + 1.0)
        } else if high - low > 1.5 {
            ((low - 0.1).floor(), (high + 0.1).ceil())
        } else {
            (step_below(low - 0.1), step_above(high + 0.1))
        };
        Self::between(label.into(), (from, to), write)
    }

    /// A logarithmic axis that ends shortly beyond the values.
    pub fn tight(
        label: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        write: impl Fn(f64) -> String,
    ) -> Self {
        let (low, high) = ends(values.into_iter().map(f64::log10));
        Self::between(label.into(), (low - 0.2, high + 0.2), write)
    }

    fn between(label: String, (from, to): (f64, f64), write: impl Fn(f64) -> String) -> Self {
        let inside = |position: &f64| *position >= from - 1e-9 && *position <= to + 1e-9;
        let multiples = |of: &'static [f64]| {
            let decades = from.floor() as i32..=to.ceil() as i32;
            decades.flat_map(|decade| {
                of.iter().map(move |multiple| f64::from(decade) + multiple.log10())
            })
        };
        let shown: &[f64] = if to - from > 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = multiples(shown).filter(inside);
        Self {
            label,
            range: (from, to),
            ticks: ticks.map(|position| (position, write(10_f64.powf(position)))).collect(),
            light: multiples(&[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]).filter(inside).collect(),
            is_log: true,
        }
    }

    /// An axis with a place for each name.
    pub fn named(label: impl Into<String>, names: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<(f64, String)> =
            names.into_iter().enumerate().map(|(place, name)| (place as f64, name)).collect();
        let range = (-0.4, ticks.len() as f64 - 0.6);
        Self { label: label.into(), range, ticks, light: Vec::new(), is_log: false }
    }

    /// Where a value lies; what is beyond an end lies on it.
    pub fn position(&self, value: f64) -> f64 {
        let position = if self.is_log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        position.clamp(self.range.0, self.range.1)
    }

    /// What is written at a position.
    pub fn text(&self, position: f64) -> String {
        let near = |(tick, _): &&(f64, String)| (tick - position).abs() < 1e-6;
        self.ticks.iter().find(near).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, position: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (position - self.range.0) / (self.range.1 - self.range.0);
        first + (share * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return self.light.clone();
        }
        self.ticks.iter().map(|(position, _)| *position).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, position: &f64) -> String {
        self.text(*position)
    }
}

/// The least and the greatest of what are numbers.
fn ends(logs: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = logs.filter(|log| log.is_finite());
    finite
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)))
}

/// The next of 1, 2, 5, 10, … at or below a logarithm.
fn step_below(log: f64) -> f64 {
    let decade = log.floor();
    let steps = [5.0, 2.0, 1.0].map(|step: f64| decade + step.log10());
    steps.into_iter().find(|step| *step <= log).unwrap_or(decade)
}

/// The next of 1, 2, 5, 10, … at or above a logarithm.
fn step_above(log: f64) -> f64 {
    let decade = log.floor();
    let steps = [1.0, 2.0, 5.0].map(|step: f64| decade + step.log10());
    steps.into_iter().find(|step| *step >= log).unwrap_or(decade + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::number;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_wide_axis_has_a_tick_for_each_decade() {
        let axis = Axis::log("time", [3.0, 4e5], 1.0, number::time_tick);
        assert_eq!(texts(&axis), ["1 ns", "10 ns", "100 ns", "1 µs", "10 µs", "100 µs", "1 ms"]);
        assert!((axis.position(100.0) - 2.0).abs() < 1e-9);
        assert_eq!(axis.position(-5.0), 0.0, "what is below lies on the lowest line");
    }

    #[test]
    fn a_narrow_axis_has_ticks_between_decades() {
        let axis = Axis::log("time", [30e3, 45e3], 1.0, number::time_tick);
        assert_eq!(texts(&axis), ["20 µs", "50 µs", "100 µs"]);
    }

    #[test]
    fn a_tight_axis_ends_beyond_its_values() {
        let axis = Axis::tight("rules", [1e3, 1e4], |rules| format!("{rules:.0}"));
        assert_eq!(texts(&axis), ["1000", "2000", "5000", "10000"]);
    }

    #[test]
    fn names_have_places() {
        let axis = Axis::named("load", ["unloaded".to_owned(), "50%".to_owned()]);
        assert_eq!(axis.text(1.0), "50%");
        assert_eq!(axis.text(0.5), "");
        assert_eq!(axis.range, (-0.4, 1.4));
    }
}
