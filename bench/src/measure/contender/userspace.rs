//! Ringfence's filter in user space, in the box on the wire to the server.

use std::num::NonZeroUsize;

use ringfence_dataplane::backend::userspace::live::{self, Running, Wire};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::enforce::{Ends, HostView, wires};

use super::ready::Ready;
use super::{Call, Changing, Direction, Form};
use crate::kernel::MeasureError;
use crate::measure::memory::allocated;
use crate::measure::scene::{Scene, State};

/// One thread: the other CPU is the client's.
const THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// The filter, which stops with this.
pub struct Filter<'s> {
    scene: &'s Scene,
    running: Running,
    wires: Vec<Wire>,
    ready: Ready<Tables>,
}

impl<'s> Filter<'s> {
    /// Starts it with a policy that is closed, after packets have gone through it without one.
    pub fn start(scene: &'s Scene) -> Result<Self, MeasureError> {
        let nothing = PolicyTables { scene }.open()?;
        let options = live::Options {
            mode: Default::default(),
            settings: Default::default(),
            threads: THREADS,
        };
        let (running, wires) = scene.in_box(|| {
            let wires = find(scene, &nothing)?;
            let running = live::start(wires.clone(), &nothing, options);
            Ok((running.map_err(MeasureError::refused("start the filter"))?, wires))
        })?;
        let new = Self { scene, running, wires, ready: Ready::new() };
        scene.warm_up()?;
        Ok(new)
    }

    fn replace(&mut self, state: State) -> Result<(), MeasureError> {
        let replaced = self.running.replace(&self.wires, self.ready.of(state)?);
        replaced.map_err(MeasureError::refused("replace the filter's tables"))?;
        match self.running.is_whole() {
            true => Ok(()),
            false => Err(MeasureError::wrong("the filter", "it has stopped")),
        }
    }
}

impl Changing for Filter<'_> {
    fn forms(&self) -> &'static [Form] {
        &[Form::One, Form::Hundred, Form::Loaded]
    }

    fn know(&mut self, state: State) -> Result<(), MeasureError> {
        self.ready.know(state, || PolicyTables { scene: self.scene }.of(state))
    }

    fn reset(&mut self, state: State) -> Result<(), MeasureError> {
        self.know(state)?;
        self.replace(state)
    }

    fn prepare(&mut self, form: Form, direction: Direction) -> Result<(), MeasureError> {
        let [_, to] = form.states(direction);
        self.know(to)?;
        self.ready.lead_to(to);
        Ok(())
    }

    fn change(&mut self) -> Result<Call, MeasureError> {
        let to = self.ready.take_next()?;
        Call::time(|| self.replace(to))
    }

    fn process_memory(&mut self) -> Result<Option<u64>, MeasureError> {
        self.know(State::Standing)?;
        self.reset(State::Closed)?;
        let before = allocated();
        self.reset(State::Standing)?;
        Ok(Some(allocated().saturating_sub(before)))
    }
}

/// Tables in which the server says behind which interface of the box it sits.
struct PolicyTables<'s> {
    scene: &'s Scene,
}

impl PolicyTables<'_> {
    fn of(&self, state: State) -> Result<Tables, MeasureError> {
        self.compile(state.policies(self.scene.rules())?)
    }

    /// Of no policy.
    fn open(&self) -> Result<Tables, MeasureError> {
        let mut policies = State::Closed.policies(self.scene.rules())?;
        policies.policies.clear();
        self.compile(policies)
    }

    fn compile(
        &self,
        policies: ringfence_dataplane::model::PolicySet,
    ) -> Result<Tables, MeasureError> {
        let mut tables = compile(&policies).map_err(MeasureError::refused("compile"))?;
        let inside = self.scene.filter_box()?.links.first().map(|link| link.inside.clone());
        for endpoint in tables.endpoints.values_mut() {
            endpoint.interface.clone_from(&inside);
        }
        Ok(tables)
    }
}

/// The wire to the server; to be called in the box.
fn find(scene: &Scene, tables: &Tables) -> Result<Vec<Wire>, MeasureError> {
    let links = scene.filter_box()?.links.iter();
    let ends =
        links.map(|link| Ends { inside: link.inside.clone(), outside: link.outside.clone() });
    let host = HostView::read().map_err(MeasureError::refused("look at the box"))?;
    let wires = wires(tables, &ends.collect::<Vec<_>>(), &host);
    Ok(wires.map_err(MeasureError::refused("find the wire to the server"))?.wires)
}
