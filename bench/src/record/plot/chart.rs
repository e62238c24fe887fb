//! What is drawn, before it is.

use ringfence_testbed::lab::Contender;

use super::axis::Axis;

/// One picture.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its file.
    pub file: &'static str,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// Side by side.
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is shown in it.
    pub title: String,
    /// Rightwards.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn, in the order of contenders.
    pub lines: Vec<Line>,
}

/// The figures of one contender.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose.
    pub contender: Contender,
    /// From left to right.
    pub points: Vec<Point>,
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// How far to the right, in the axis' own unit.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// The least and the greatest pass.
    pub range: (f64, f64),
}

impl Chart {
    /// Gives all panels the same upward axis, so that they can be compared; `of` makes it of all
    /// values.
    pub fn with_one_height(mut self, of: impl Fn(Vec<f64>) -> Axis) -> Self {
        let lines = self.panels.iter().flat_map(|panel| &panel.lines);
        let points = lines.flat_map(|line| &line.points);
        let axis = of(points.map(|point| point.y).collect());
        self.panels.iter_mut().for_each(|panel| panel.y = axis.clone());
        self
    }

    /// The contenders in any of its panels, in their order.
    pub fn contenders(&self) -> Vec<Contender> {
        let is_drawn = |contender: &Contender| {
            let mut lines = self.panels.iter().flat_map(|panel| &panel.lines);
            lines.any(|line| line.contender == *contender)
        };
        Contender::ALL.into_iter().filter(is_drawn).collect()
    }
}
