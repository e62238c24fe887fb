//! A laboratory with a contender beside one without.

use std::time::Duration;

use ringfence_testbed::lab::{Asked, Case, Contender, Lab, Transport};
use ringfence_testbed::traffic::Ends;

use super::empty;
use crate::kernel::{Controls, MeasureError};

/// How long putting a contender into place may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The two laboratories.
pub struct Pair {
    /// With the contender.
    pub own: Lab,
    /// Without a filter.
    pub without: Lab,
    empty: Option<Controls>,
}

impl Pair {
    /// Builds both; nothing filters.
    ///
    /// # Errors
    ///
    /// [`MeasureError`], without privileges for instance.
    pub fn new() -> Result<Self, MeasureError> {
        Ok(Self { own: lab()?, without: lab()?, empty: None })
    }

    /// Puts the contender of `case` into place, and checks it.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] with the words of whoever refused.
    pub fn install(&mut self, case: Case, transport: Transport) -> Result<(), MeasureError> {
        self.empty = None;
        self.own.install(Asked { case, transport }, LIMIT).map_err(refused(&case))?;
        self.empty = empty::attach(&self.own, case.contender)?;
        Ok(())
    }

    /// The ends between which the packets of `case` are measured: of the contender's laboratory,
    /// and of the other.
    pub fn ends(&self, case: &Case) -> [Ends<'_>; 2] {
        [&self.own, &self.without].map(|lab| Ends {
            client: lab.client(),
            from: Lab::source(case),
            server: lab.server(),
            to: Lab::target(case),
        })
    }

    /// Whether both laboratories would be the same.
    pub fn is_single(case: &Case) -> bool {
        case.contender == Contender::None
    }
}

fn lab() -> Result<Lab, MeasureError> {
    Lab::new().map_err(MeasureError::refused("build a laboratory"))
}

fn refused<E: std::error::Error>(case: &Case) -> impl FnOnce(E) -> MeasureError {
    MeasureError::refused(format!("put {} with {} rules into place", case.contender, case.rules))
}
