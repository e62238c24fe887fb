//! How far the cases are, on stderr if that is a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is done sooner needs no bar.
const DELAY: Duration = Duration::from_secs(1);

/// A bar that appears after [`DELAY`].
pub struct Bar {
    bar: ProgressBar,
    since: Instant,
    quiet: bool,
}

impl Bar {
    /// A bar of `length` steps, drawn by `template`; never drawn where it has to be `quiet`.
    pub fn new(length: usize, template: &str, quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, since: Instant::now(), quiet }
    }

    /// Makes a change to the bar, which may be the first one that is seen.
    pub fn update(&self, change: impl FnOnce(&ProgressBar)) {
        if !self.quiet && self.bar.is_hidden() && self.since.elapsed() >= DELAY {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        change(&self.bar);
    }

    /// Takes it off the screen.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
