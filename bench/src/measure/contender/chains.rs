//! Ringfence's rule chains, applied as `ringfence apply` does it.

use std::collections::BTreeMap;

use ringfence_dataplane::compile::compile;
use ringfence_dataplane::enforce::{self, Options, Paths};
use ringfence_dataplane::model::PolicySet;

use super::{Call, Changing, Direction, Form};
use crate::kernel::MeasureError;
use crate::measure::scene::{Scene, State};

/// The engine on the host of a scene, from policies on: what a document says has been read.
pub struct Chains<'s> {
    scene: &'s Scene,
    options: Options,
    paths: Paths,
    known: BTreeMap<State, PolicySet>,
    prepared: Option<State>,
}

impl<'s> Chains<'s> {
    pub fn new(scene: &'s Scene, options: Options) -> Self {
        let (paths, known) = (Paths::default(), BTreeMap::new());
        Self { scene, options, paths, known, prepared: None }
    }

    /// Compiles and applies the policies of a state that is known.
    pub fn apply(&self, state: State) -> Result<(), MeasureError> {
        let unknown = || MeasureError::wrong("the measurement", "it prepared no policies");
        let policies = self.known.get(&state).ok_or_else(unknown)?;
        let tables = compile(policies).map_err(MeasureError::refused("compile"))?;
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
        if !self.known.contains_key(&state) {
            self.known.insert(state, state.policies(self.scene.rules())?);
        }
        Ok(())
    }

    fn reset(&mut self, state: State) -> Result<(), MeasureError> {
        self.know(state)?;
        self.apply(state)
    }

    fn prepare(&mut self, form: Form, direction: Direction) -> Result<(), MeasureError> {
        let [_, to] = form.states(direction);
        self.know(to)?;
        self.prepared = Some(to);
        Ok(())
    }

    fn change(&mut self) -> Result<Call, MeasureError> {
        let unprepared = || MeasureError::wrong("the measurement", "it prepared no change");
        let to = self.prepared.take().ok_or_else(unprepared)?;
        Call::time(|| self.apply(to))
    }
}
