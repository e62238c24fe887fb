//! The eBPF backend: programs and maps in the kernel, held by pins.
//!
//! Goals: (a) a packet meets one generation, never two (safety P1); (b) the process may end at any
//! moment and change no verdict (P2); (c) what differs is touched and nothing else; (d) what is
//! ours is told from what is others' (P19).
//!
//! Design. Programs, maps and links are pinned below one directory, so they live without us (b).
//! Each table of policy has two slots; one number says which slot counts. An apply either changes
//! entries of the counting slot in the order that `compile::in_place` proves safe (c), or fills the
//! other slot and switches (a). A generation ends with its number: it is written last, so that
//! what an interrupted apply left is never taken for finished. Links are made after the tables
//! they need, and taken away before them.
//!
//! Not done here: which interface a workload sits behind ([`crate::enforce`]), what to keep on
//! disk, and who may apply.
//!
//! This is the only folder of the engine that names aya.

mod attach;
mod bpf;
mod changer;
mod classes;
mod content;
mod contents;
mod counters;
mod error;
mod events;
mod expedite;
mod generations;
mod image;
mod install;
mod maps;
mod object;
mod pins;
mod rows;
mod rules;
mod side;
mod state;
mod steps;
mod table;
mod tries;
mod xdp;

pub use attach::Foreign;
pub use changer::Changer;
pub use error::EbpfError;
pub use events::Events;
pub use maps::Maps;
pub use object::{Kernel, LoadedProgram};
pub use pins::Pins;

use super::{Applied, Backend, Counters, Desired, How, Installed, Interface, Numbers};

/// The eBPF backend below one directory of pins.
#[derive(Debug)]
pub struct Ebpf {
    pins: Pins,
}

impl Ebpf {
    /// The backend whose pins are below `pins`.
    #[must_use]
    pub fn new(pins: Pins) -> Self {
        Self { pins }
    }

    /// The maps that are installed; nothing where nothing is.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when they cannot be opened or are of another version.
    pub fn maps(&self) -> Result<Option<Maps>, EbpfError> {
        if !self.pins.exist() {
            return Ok(None);
        }
        self.pins.check()?;
        let maps = Maps::from_pins(&self.pins)?;
        maps.check_version()?;
        Ok(Some(maps))
    }

    /// Programs of others on `interfaces`.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when an interface cannot be asked.
    pub fn foreign(&self, interfaces: &[Interface]) -> Result<Vec<Foreign>, EbpfError> {
        attach::foreign(&self.pins, interfaces)
    }

    fn bring_up(&self, desired: &Desired) -> Result<Applied, EbpfError> {
        let mut kernel = Kernel::pinned(&self.pins)?;
        let mut maps = Maps::from_pins(&self.pins)?;
        // Programs first: if the kernel refuses one, nothing has been changed yet.
        attach::load(&mut kernel, &desired.interfaces)?;
        let (applied, before) = install::install(&mut maps, desired)?;
        match attach::attach(&self.pins, &mut kernel, &desired.interfaces) {
            Ok(hooks) => {
                install::forget_detached(&mut maps, desired)?;
                Ok(with_hooks(applied, hooks))
            }
            Err(error) => {
                if before.config.generation != 0 {
                    install::restore(&mut maps, &before)?;
                }
                Err(error)
            }
        }
    }
}

fn with_hooks(mut applied: Applied, hooks: Vec<String>) -> Applied {
    if !hooks.is_empty() && applied.how == How::Nothing {
        applied.how = How::InPlace;
    }
    Applied { hooks, ..applied }
}

impl Backend for Ebpf {
    type Error = EbpfError;

    fn read_back(&self) -> Result<Option<Installed>, EbpfError> {
        let Some(maps) = self.maps()? else { return Ok(None) };
        let mut installed = maps.installed()?;
        if installed.generation == 0 {
            return Ok(None);
        }
        installed.attached = attach::list(&self.pins)?;
        let expected = maps.expected_hooks()?;
        attach::add_missing(&mut installed.attached, expected.iter());
        Ok(Some(installed))
    }

    fn generation(&self) -> Result<u32, EbpfError> {
        let Some(maps) = self.maps()? else { return Ok(0) };
        Ok(maps.current()?.1.generation)
    }

    fn counters(&self) -> Result<Option<Counters>, EbpfError> {
        self.maps()?.map(|maps| maps.counters()).transpose()
    }

    fn preview(&self, desired: &Desired, _: Option<&Numbers>) -> Result<Applied, EbpfError> {
        attach::refuse_foreign(&self.pins, &desired.interfaces)?;
        self.pins.can_create()?;
        let applied = install::preview(self.maps()?.as_ref(), desired)?;
        Ok(with_hooks(applied, attach::preview(&self.pins, &desired.interfaces)?))
    }

    fn apply(&mut self, desired: &Desired, _: Option<&Numbers>) -> Result<Applied, EbpfError> {
        attach::refuse_foreign(&self.pins, &desired.interfaces)?;
        let is_first = self.generation()? == 0;
        self.pins.create()?;
        self.bring_up(desired).inspect_err(|_| {
            if is_first {
                // The host was open, and what is there of us guards nothing. If that cannot be
                // taken away, the error that is reported is still the one that matters.
                let _ = self.pins.remove();
            }
        })
    }

    fn remove(&mut self) -> Result<Option<Vec<String>>, EbpfError> {
        if !self.pins.root().exists() {
            return Ok(None);
        }
        let removed = attach::list(&self.pins)?;
        attach::detach(&self.pins, &removed)?;
        self.pins.remove()?;
        Ok(Some(removed.iter().map(attach::describe).collect()))
    }
}
