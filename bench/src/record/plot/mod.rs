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
