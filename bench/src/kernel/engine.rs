//! The engine's own object, loaded by its backend.

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapInfo};
use aya::programs::{TcAttachType, XdpMode};
use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::ebpf::{Changer, Kernel, LoadedProgram, Maps};
use ringfence_dataplane::backend::host::difference::HostDiff;
use ringfence_dataplane::backend::{Desired, How};

use super::{MeasureError, Program};

/// The programs of the object.
const PROGRAMS: [&str; 3] = ["ringfence_xdp", "ringfence_tc_ingress", "ringfence_tc_egress"];

/// The reasons from this one on are denials.
const FIRST_DENIAL: u8 = Reason::NoRule as u8;

/// Programs and maps of the engine that end with this value and are attached nowhere.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Engine {
    maps: Open,
    programs: Vec<(Hook, LoadedProgram)>,
    _kernel: Kernel,
}

/// The maps, as one way or the other of changing them has them.
enum Open {
    /// For whole loads.
    Whole(Box<Maps>),
    /// For changes.
    Changes(Box<Changer>),
    /// Neither, after an error.
    Lost,
}

impl Engine {
    /// Loads the programs for `hooks`, with empty tables.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`] when the kernel refuses a program or a map.
    pub fn load(hooks: &[Hook]) -> Result<Self, MeasureError> {
        let mut kernel = Kernel::unpinned()?;
        kernel.load(hooks)?;
        let mut programs = Vec::new();
        for hook in hooks {
            programs.push((*hook, kernel.program(*hook)?));
        }
        let maps = Maps::from_kernel(&mut kernel)?;
        Ok(Self { maps: Open::Whole(Box::new(maps)), programs, _kernel: kernel })
    }

    /// Installs a state whole.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`] when the tables do not fit.
    pub fn install(&mut self, desired: &Desired) -> Result<(), MeasureError> {
        self.maps()?.install(desired)?;
        Ok(())
    }

    /// Makes the maps ready for [`Engine::change`].
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`] when they cannot be read.
    pub fn expect_changes(&mut self) -> Result<(), MeasureError> {
        self.maps = match mem::replace(&mut self.maps, Open::Lost) {
            Open::Whole(maps) => Open::Changes(Box::new(Changer::open(*maps)?)),
            other => other,
        };
        Ok(())
    }

    /// Changes what is installed.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`] when the tables do not fit; [`MeasureError::Wrong`] when the maps
    /// are not ready for changes.
    pub fn change(&mut self, diff: &HostDiff) -> Result<How, MeasureError> {
        match &mut self.maps {
            Open::Changes(changer) => Ok(changer.apply(diff)?),
            Open::Whole(_) | Open::Lost => Err(not_open()),
        }
    }

    /// The maps, no longer ready for changes.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`] when they cannot be written.
    pub fn maps(&mut self) -> Result<&mut Maps, MeasureError> {
        self.maps = match mem::replace(&mut self.maps, Open::Lost) {
            Open::Changes(changer) => Open::Whole(Box::new(changer.close()?)),
            other => other,
        };
        match &mut self.maps {
            Open::Whole(maps) => Ok(maps),
            Open::Changes(_) | Open::Lost => Err(not_open()),
        }
    }

    /// Forgets all connections.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`].
    pub fn forget(&mut self) -> Result<(), MeasureError> {
        self.any_maps()?.forget_state()?;
        Ok(())
    }

    /// The maps, for what does not concern the tables.
    fn any_maps(&mut self) -> Result<&mut Maps, MeasureError> {
        match &mut self.maps {
            Open::Whole(maps) => Ok(maps),
            Open::Changes(changer) => Ok(changer.maps()),
            Open::Lost => Err(not_open()),
        }
    }

    /// The program for `hook`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when it was not loaded.
    pub fn program(&self, hook: Hook) -> Result<Program<'_>, MeasureError> {
        let loaded = self.programs.iter().find(|(known, _)| *known == hook);
        let not_loaded = || MeasureError::Refused {
            what: format!("run the engine's program for {hook:?}"),
            why: "it is not loaded".to_owned(),
        };
        loaded.map(|(_, program)| program.into()).ok_or_else(not_loaded)
    }

    /// The name in the object of the program for `hook`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when it was not loaded.
    pub fn name(&self, hook: Hook) -> Result<String, MeasureError> {
        let info = self.program(hook)?.info()?;
        // The kernel keeps fifteen characters.
        let kept = info.name_as_str().unwrap_or_default();
        let name = PROGRAMS.iter().find(|name| name[..name.len().min(15)] == *kept);
        let unknown = || MeasureError::wrong("the engine", format!("its program is `{kept}`"));
        name.map(|name| (*name).to_owned()).ok_or_else(unknown)
    }

    /// The maps of all loaded programs, by their names as far as the kernel keeps those.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn map_infos(&self) -> Result<BTreeMap<String, MapInfo>, MeasureError> {
        let refused = || MeasureError::refused("ask for the engine's maps");
        let mut maps = BTreeMap::new();
        for (hook, _) in &self.programs {
            let ids = self.program(*hook)?.info()?.map_ids().map_err(refused())?;
            for id in ids.unwrap_or_default() {
                let info = MapInfo::from_id(id).map_err(MeasureError::refused("open a map"))?;
                maps.insert(info.name_as_str().unwrap_or_default().to_owned(), info);
            }
        }
        Ok(maps)
    }

    /// Pins the maps called `names` below `folder`, for other programs to use; their names and paths.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn pin<'a>(
        &self,
        names: &[&'a str],
        folder: &Path,
    ) -> Result<Vec<(&'a str, PathBuf)>, MeasureError> {
        let infos = self.map_infos()?;
        let pin = |name: &&'a str| {
            let refused = || MeasureError::refused(format!("pin map `{name}`"));
            let missing = || MeasureError::wrong("the engine", format!("it has no map `{name}`"));
            let info = infos.get(*name).ok_or_else(missing)?;
            let path = folder.join(name);
            let data = MapData::from_id(info.id()).map_err(refused())?;
            data.pin(&path).map_err(MeasureError::refused(format!("pin map `{name}`")))?;
            Ok((*name, path))
        };
        names.iter().map(pin).collect()
    }

    /// Attaches all programs to an interface of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn attach(&mut self, name: &str, ifindex: u32) -> Result<(), MeasureError> {
        for (hook, program) in &mut self.programs {
            let attached = match (program, &*hook) {
                (LoadedProgram::Xdp(program), _) => {
                    program.attach_to_if_index(ifindex, XdpMode::Driver).map(|_| ())
                }
                (LoadedProgram::Tc(program), Hook::TcIngress) => {
                    program.attach(name, TcAttachType::Ingress).map(|_| ())
                }
                (LoadedProgram::Tc(program), _) => {
                    program.attach(name, TcAttachType::Egress).map(|_| ())
                }
            };
            attached.map_err(MeasureError::refused(format!("attach at {hook:?}")))?;
        }
        Ok(())
    }

    /// How many packets have been denied so far, for whatever reason.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`].
    pub fn denied(&mut self) -> Result<u64, MeasureError> {
        let counters = self.any_maps()?.counters()?;
        let denied = counters.reasons.iter().filter(|count| count.reason as u8 >= FIRST_DENIAL);
        Ok(denied.map(|count| count.count.packets).sum())
    }

    /// How many packets have been decided for `reason` so far.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`].
    pub fn decided(&mut self, reason: Reason) -> Result<u64, MeasureError> {
        let counters = self.any_maps()?.counters()?;
        let counts = counters.reasons.iter().filter(|count| count.reason == reason);
        Ok(counts.map(|count| count.count.packets).sum())
    }
}

fn not_open() -> MeasureError {
    MeasureError::wrong("the measurement", "the maps are not open for this")
}
