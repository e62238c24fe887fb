//! Plots of a record, as SVG.
//!
//! A plot is drawn from the record's samples alone and is the same each time. Contenders differ in
//! colour, in dash and in marker, so that no one has to tell colours apart. What lies below an axis
//! is drawn on its lowest line, and the plot says so.

mod axis;
mod chart;
mod draw;
mod loads;
mod rules;
mod style;

use super::figures::Figures;
use super::{Record, RecordError};

/// A drawn plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// Its file in a record.
    pub file: &'static str,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// The drawing.
    pub svg: String,
}

/// Draws all plots for which there is something to draw.
///
/// # Errors
///
/// [`RecordError::Plot`].
pub fn draw(record: &Record) -> Result<Vec<Plot>, RecordError> {
    let figures = Figures::of(&record.samples);
    let charts = [
        rules::send(&figures),
        rules::decision(&figures),
        loads::plain(&figures),
        loads::steered(&figures),
        rules::throughput(&figures),
        rules::connections(&figures),
        rules::change(&figures),
        rules::memory(&figures),
    ];
    charts
        .into_iter()
        .filter(|chart| !chart.panels.is_empty())
        .map(|chart| draw::plot(&chart))
        .collect()
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::lab::Contender;

    use super::*;
    use crate::record::{Measurement, synthetic};

    #[test]
    fn plots_name_their_axes_and_every_contender() {
        let plots = draw(&synthetic::record()).unwrap();
        let files: Vec<&str> = plots.iter().map(|plot| plot.file).collect();
        let expected = [
            "send-cost.svg",
            "decision.svg",
            "round-trip.svg",
            "round-trip-steered.svg",
            "throughput.svg",
            "connections.svg",
            "change.svg",
            "memory.svg",
        ];
        assert_eq!(files, expected);
        let labels = [
            ["rules", "added time for each packet", "10 µs"],
            ["rules", "time of a decision", "50 ns"],
            ["load", "time of a round trip", "1 ms"],
            ["load", "time of a round trip", "120%"],
            ["rules", "packets a second", "100 K/s"],
            ["rules", "connections a second", "10 K/s"],
            ["rules", "time of the change", "10 ms"],
            ["rules", "memory for each rule", "100 B"],
        ];
        for (plot, labels) in plots.iter().zip(labels) {
            for label in labels {
                assert!(has_text(plot, label), "`{label}` is not in {}", plot.file);
            }
        }
        let trips = &plots[2];
        for contender in Contender::ALL {
            assert!(has_text(trips, contender.title()), "{contender} is not in {}", trips.file);
        }
    }

    #[test]
    fn a_plot_is_the_same_each_time() {
        let record = synthetic::record();
        assert_eq!(draw(&record).unwrap(), draw(&record).unwrap());
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let mut record = synthetic::record();
        record.samples.retain(|sample| sample.measurement == Measurement::Memory);
        let plots = draw(&record).unwrap();
        let [memory] = plots.as_slice() else { panic!("{} plots", plots.len()) };
        assert_eq!(memory.file, "memory.svg");
        assert!(!has_text(memory, Contender::None.title()), "{}", memory.svg);
    }

    /// Whether some text of the drawing is exactly this.
    fn has_text(plot: &Plot, text: &str) -> bool {
        plot.svg.lines().any(|line| line.trim() == text)
    }
}
