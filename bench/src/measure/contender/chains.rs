//! Ringfence's rule chains, applied as `ringfence apply` does it.

use std::collections::BTreeMap;

use ringfence_dataplane::compile::compile;
use ringfence_dataplane::enforce::{self, Options, Paths};
use ringfence_dataplane::model::PolicySet;

use super::ready::Ready;
use super::{Call, Changing, Direction, Form};
use crate::kernel::MeasureError;
use crate::measure::scene::{Scene, State};

/// The engine on the host of a scene, from policies on: what a document says has been read.
pub struct Chains<'s> {
    scene: &'s Scene,
    options: Options,
    paths: Paths,
    ready: Ready<PolicySet>,
}

impl<'s> Chains<'s> {
    pub fn new(scene: &'s Scene, options: Options) -> Self {
        Self { scene, options, paths: Paths::default(), ready: Ready::new() }
    }

    /// Compiles and applies the policies of a state that is known.
    pub fn apply(&self, state: State) -> Result<(), MeasureError> {
        let tables = compile(self.ready.of(state)?).map_err(MeasureError::refused("compile"))?;
        let applied = enforce::apply(&self.paths, &tables, &BTreeMap::new(), &self.options);
        let summary = applied.map_err(MeasureError::refused("apply policies"))?;
        match summary.remote {
            0 => Ok(()),
            _ => Err(MeasureError::wrong("the engine", "it does not guard the server")),
        }
    }
}

impl Changing for Chains<'_> {
    fn forms(&self) -> &'static [Form] {
        &[Form::One, Form::Hundred, Form::Loaded]
    }

    fn know(&mut self, state: State) -> Result<(), MeasureError> {
        self.ready.know(state, || state.policies(self.scene.rules()))
    }

    fn reset(&mut self, state: State) -> Result<(), MeasureError> {
        self.know(state)?;
        self.apply(state)
    }

    fn prepare(&mut self, form: Form, direction: Direction) -> Result<(), MeasureError> {
        let [_, to] = form.states(direction);
        self.know(to)?;
        self.ready.lead_to(to);
        Ok(())
    }

    fn change(&mut self) -> Result<Call, MeasureError> {
        let to = self.ready.take_next()?;
        Call::time(|| self.apply(to))
    }
}
