//! `--mode`.

use clap::ValueEnum;
use ringfence_dataplane::backend::Mode;

/// What becomes of what policy does not allow, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeChoice {
    /// Denied traffic is denied
    Enforce,
    /// Denied traffic passes, and is reported or counted
    Audit,
}

impl From<ModeChoice> for Mode {
    fn from(choice: ModeChoice) -> Self {
        match choice {
            ModeChoice::Enforce => Self::Enforce,
            ModeChoice::Audit => Self::Audit,
        }
    }
}
