//! Ringfence's eBPF programs, attached to the host's interfaces.

use std::collections::BTreeMap;
use std::mem;

use ringfence_dataplane::backend::ebpf::{Changer, Ebpf, Maps, Pins};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::host::difference::HostDiff;
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::enforce::{self, HostView, Options, Paths, place};

use super::chains::Chains;
use super::{Call, Changing, Direction, Form};
use crate::kernel::{MeasureError, memory_of_maps};
use crate::measure::memory::allocated;
use crate::measure::scene::{Scene, State};

/// The programs, installed by `ringfence apply`, and their maps, opened for changes as a process
/// has them that runs on.
pub struct Programs<'s> {
    scene: &'s Scene,
    options: Options,
    applied: Chains<'s>,
    maps: Open,
    tables: BTreeMap<State, HostTables>,
    prepared: Option<Prepared>,
}

enum Open {
    /// For changes.
    Changes(Box<Changer>),
    /// For whole loads.
    Whole(Box<Maps>),
    /// Whoever applies opens them by himself.
    Closed,
}

enum Prepared {
    Difference(HostDiff),
    Whole(Box<HostTables>),
    Applied(State),
}

impl<'s> Programs<'s> {
    /// Applies a policy that is closed.
    pub fn start(scene: &'s Scene, options: Options) -> Result<Self, MeasureError> {
        let mut applied = Chains::new(scene, options);
        applied.reset(State::Closed)?;
        let (tables, maps) = (BTreeMap::new(), Open::Closed);
        Ok(Self { scene, options, applied, maps, tables, prepared: None })
    }

    /// Reckons what the maps hold in a state, configuration aside.
    fn know_tables(&mut self, state: State) -> Result<(), MeasureError> {
        if self.tables.contains_key(&state) {
            return Ok(());
        }
        let policies = state.policies(self.scene.rules())?;
        let tables = compile(&policies).map_err(MeasureError::refused("compile"))?;
        let host = HostView::read().map_err(MeasureError::refused("look at the host"))?;
        let placed = place(&tables, &host).map_err(MeasureError::refused("find the server"))?;
        let desired = enforce::desired(&tables, &placed, &self.options);
        let desired = desired.map_err(MeasureError::refused("plan"))?;
        self.tables.insert(state, desired.host_tables(desired.config(1, 0, 0)));
        Ok(())
    }

    fn tables(&self, state: State) -> Result<&HostTables, MeasureError> {
        let unknown = || MeasureError::wrong("the measurement", "it prepared no tables");
        self.tables.get(&state).ok_or_else(unknown)
    }

    /// Opens the maps for changes.
    fn changer(&mut self) -> Result<&mut Changer, MeasureError> {
        self.maps = match mem::replace(&mut self.maps, Open::Closed) {
            Open::Changes(changer) => Open::Changes(changer),
            Open::Whole(maps) => Open::Changes(Box::new(Changer::open(*maps)?)),
            Open::Closed => Open::Changes(Box::new(Changer::open(pinned()?)?)),
        };
        match &mut self.maps {
            Open::Changes(changer) => Ok(changer),
            Open::Whole(_) | Open::Closed => Err(not_open()),
        }
    }

    /// Opens the maps for whole loads.
    fn whole(&mut self) -> Result<&mut Maps, MeasureError> {
        self.maps = match mem::replace(&mut self.maps, Open::Closed) {
            Open::Changes(changer) => Open::Whole(Box::new(changer.close()?)),
            Open::Whole(maps) => Open::Whole(maps),
            Open::Closed => Open::Whole(Box::new(pinned()?)),
        };
        match &mut self.maps {
            Open::Whole(maps) => Ok(maps),
            Open::Changes(_) | Open::Closed => Err(not_open()),
        }
    }

    /// Lets go of the maps.
    fn close(&mut self) -> Result<(), MeasureError> {
        if let Open::Changes(changer) = mem::replace(&mut self.maps, Open::Closed) {
            changer.close()?;
        }
        Ok(())
    }

    /// The tables of a state, to be the next generation.
    fn next(&mut self, state: State) -> Result<HostTables, MeasureError> {
        let mut tables = self.tables(state)?.clone();
        let mut config = self.whole()?.config()?;
        config.generation += 1;
        // What the tables themselves say of prefixes stays.
        let flags = tables.config.flags;
        tables.config = config;
        tables.config.flags = flags;
        Ok(tables)
    }
}

impl Changing for Programs<'_> {
    fn forms(&self) -> &'static [Form] {
        &[
            Form::One,
            Form::Hurried,
            Form::Applied,
            Form::Hundred,
            Form::Loaded,
            Form::Incremental,
            Form::Rebuilt,
        ]
    }

    fn know(&mut self, state: State) -> Result<(), MeasureError> {
        self.applied.know(state)
    }

    fn reset(&mut self, state: State) -> Result<(), MeasureError> {
        self.close()?;
        self.applied.reset(state)
    }

    fn prepare(&mut self, form: Form, direction: Direction) -> Result<(), MeasureError> {
        let [from, to] = form.states(direction);
        self.know_tables(from)?;
        self.know_tables(to)?;
        self.prepared = Some(match form {
            Form::Applied => {
                self.close()?;
                self.applied.know(to)?;
                Prepared::Applied(to)
            }
            Form::Loaded | Form::Rebuilt => Prepared::Whole(Box::new(self.next(to)?)),
            form => {
                let changer = self.changer()?;
                if form != Form::Hurried {
                    changer.tidy_up()?;
                }
                Prepared::Difference(HostDiff::of(self.tables(from)?, self.tables(to)?))
            }
        });
        Ok(())
    }

    fn change(&mut self) -> Result<Call, MeasureError> {
        // What it takes in memory is given back after the time is taken.
        let prepared = self.prepared.take();
        match prepared.as_ref() {
            Some(Prepared::Difference(diff)) => {
                let changer = self.changer()?;
                Ok(Call::time(|| changer.apply(diff))?)
            }
            Some(Prepared::Whole(tables)) => {
                let maps = self.whole()?;
                Ok(Call::time(|| maps.install_tables(tables))?)
            }
            Some(Prepared::Applied(state)) => Call::time(|| self.applied.apply(*state)),
            None => Err(MeasureError::wrong("the measurement", "it prepared no change")),
        }
    }

    fn exact_memory(&mut self) -> Result<Option<u64>, MeasureError> {
        self.close()?;
        let maps = memory_of_maps(&Paths::default().pins().join("maps"))?;
        Ok(Some(maps.values().sum()))
    }

    /// Of a process that has the maps open for changes.
    fn process_memory(&mut self) -> Result<Option<u64>, MeasureError> {
        // What is allocated once is nothing of the rules.
        self.changer()?;
        let mut taken = [0; 2];
        for (taken, state) in taken.iter_mut().zip([State::Closed, State::Standing]) {
            self.reset(state)?;
            let before = allocated();
            self.changer()?;
            *taken = allocated().saturating_sub(before);
        }
        self.close()?;
        Ok(Some(taken[1].saturating_sub(taken[0])))
    }
}

fn pinned() -> Result<Maps, MeasureError> {
    let maps = Ebpf::new(Pins::below(Paths::default().pins())).maps()?;
    maps.ok_or_else(|| MeasureError::wrong("the engine", "it has pinned no maps"))
}

fn not_open() -> MeasureError {
    MeasureError::wrong("the measurement", "the maps are not open for this")
}
