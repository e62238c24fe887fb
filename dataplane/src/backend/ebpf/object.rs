//! The object with our programs, and how it gets into the kernel.

use std::fs;
use std::path::PathBuf;
use std::thread;

use aya::programs::{Program, ProgramError, SchedClassifier, Xdp};
use aya::{EbpfLoader, VerifierLogLevel};
use aya_obj::programs::XdpAttachType;
use ringfence_common::abi::config::Hook;

use super::maps::MAP_NAMES;
use super::pins::remove;
use super::{EbpfError, Pins};

/// The object, built from `dataplane-ebpf` and checked in (`cargo xtask ebpf`).
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../dataplane-ebpf/prebuilt/ringfence.bpf.o"
));

/// Lines of the verifier's log that go into an error.
const LOG_LINES: usize = 12;

/// A program in the kernel.
#[derive(Debug)]
pub enum LoadedProgram {
    /// For XDP.
    Xdp(Box<Xdp>),
    /// For tc.
    Tc(Box<SchedClassifier>),
}

/// Our programs in the kernel. They are loaded when first asked for: the verifier takes its time
/// for each.
#[derive(Debug)]
pub struct Kernel {
    /// Where pinned programs are; nothing for programs that end with this process.
    folder: Option<PathBuf>,
    object: Option<aya::Ebpf>,
    maps: Option<PathBuf>,
}

impl Kernel {
    /// Programs that are pinned, or will be.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when the maps cannot be made.
    pub fn pinned(pins: &Pins) -> Result<Self, EbpfError> {
        let folder = pins.programs().join(version_name());
        let mut kernel = Self { folder: Some(folder), object: None, maps: Some(pins.maps()) };
        if !pins.exist() {
            pins.make_maps(|unfinished| {
                kernel.maps = Some(unfinished.to_owned());
                kernel.object().map(drop)
            })?;
            kernel.maps = Some(pins.maps());
        }
        Ok(kernel)
    }

    /// Programs and maps that end with this process, for tests and measurements.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when the maps cannot be made.
    pub fn unpinned() -> Result<Self, EbpfError> {
        let mut kernel = Self { folder: None, object: None, maps: None };
        kernel.object()?;
        Ok(kernel)
    }

    /// The maps of an unpinned object; they can be taken once.
    pub(super) fn take_map(&mut self, name: &str) -> Option<aya::maps::Map> {
        self.object.as_mut()?.take_map(name)
    }

    /// Loads the programs for `hooks` that are not in the kernel yet, side by side: the verifier
    /// takes about half a second for each.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Refused`] when the verifier does not take one; none is pinned then.
    pub fn load(&mut self, hooks: &[Hook]) -> Result<(), EbpfError> {
        let is_missing = |hook: &&Hook| match &self.folder {
            Some(folder) => !folder.join(program_name(**hook)).exists(),
            None => true,
        };
        let names: Vec<&'static str> =
            hooks.iter().filter(is_missing).map(|hook| program_name(*hook)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let object = self.object()?;
        let programs = object.programs_mut().filter(|(name, _)| names.contains(name));
        let loaded: Result<Vec<()>, EbpfError> = thread::scope(|scope| {
            let load = |(name, program)| {
                let name = names.iter().copied().find(|known| *known == name).unwrap_or_default();
                scope.spawn(move || load_one(name, program))
            };
            let threads: Vec<_> = programs.map(load).collect();
            let died = |_| Err(EbpfError::Object("a loading thread has panicked".to_owned()));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(died)).collect()
        });
        loaded?;
        names.iter().try_for_each(|name| self.pin(name))
    }

    /// The program for `hook`, loaded if it is not yet.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Refused`] when the verifier does not take it.
    pub fn program(&mut self, hook: Hook) -> Result<LoadedProgram, EbpfError> {
        self.load(&[hook])?;
        let name = program_name(hook);
        let action = || EbpfError::program(format!("open program `{name}`"));
        let Some(folder) = self.folder.clone() else {
            let missing = || EbpfError::Object(format!("it has no program `{name}`"));
            let program = self.object()?.program_mut(name).ok_or_else(missing)?;
            let info = program.info().map_err(action())?;
            let opened = match hook {
                Hook::Xdp => Xdp::from_program_info(info, name.into(), XdpAttachType::Interface)
                    .map(|program| LoadedProgram::Xdp(Box::new(program))),
                Hook::TcIngress | Hook::TcEgress => {
                    SchedClassifier::from_program_info(info, name.into())
                        .map(|program| LoadedProgram::Tc(Box::new(program)))
                }
            };
            return opened.map_err(action());
        };
        let path = folder.join(name);
        let opened = match hook {
            Hook::Xdp => Xdp::from_pin(&path, XdpAttachType::Interface)
                .map(|program| LoadedProgram::Xdp(Box::new(program))),
            Hook::TcIngress | Hook::TcEgress => {
                SchedClassifier::from_pin(&path).map(|program| LoadedProgram::Tc(Box::new(program)))
            }
        };
        opened.map_err(action())
    }

    /// The id of the pinned program of this version for `hook`, if there is one.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Program`] when the kernel does not tell.
    pub(super) fn pinned_id(pins: &Pins, hook: Hook) -> Result<Option<u32>, EbpfError> {
        let folder = pins.programs().join(version_name());
        if !folder.join(program_name(hook)).exists() {
            return Ok(None);
        }
        let mut kernel = Self { folder: Some(folder), object: None, maps: Some(pins.maps()) };
        kernel.program(hook)?.id().map(Some)
    }

    /// Takes away the pinned programs of other versions, when no hook uses them any more.
    ///
    /// # Errors
    ///
    /// [`EbpfError::File`].
    pub(super) fn remove_other_versions(pins: &Pins) -> Result<(), EbpfError> {
        let others = Pins::names(&pins.programs())?;
        let others = others.iter().filter(|name| **name != version_name());
        others.into_iter().try_for_each(|name| remove(&pins.programs().join(name)))
    }

    /// Pins a loaded program, whole or not at all.
    fn pin(&mut self, name: &str) -> Result<(), EbpfError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        match fs::create_dir(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(EbpfError::file("create", &folder)(error)),
        }
        let temporary = folder.join(format!("{name}-new"));
        // A pin left by an interrupted run is of no use to anyone.
        let _ = fs::remove_file(&temporary);
        let missing = || EbpfError::Object(format!("it has no program `{name}`"));
        let program = self.object()?.program_mut(name).ok_or_else(missing)?;
        program
            .pin(&temporary)
            .map_err(|source| EbpfError::Pin { path: temporary.clone(), source })?;
        fs::rename(&temporary, folder.join(name)).map_err(EbpfError::file("rename", &temporary))
    }

    /// The parsed object with its maps in the kernel: new ones, or those that are pinned.
    fn object(&mut self) -> Result<&mut aya::Ebpf, EbpfError> {
        let maps = self.maps.clone();
        if self.object.is_none() {
            let paths: Vec<(&str, PathBuf)> = match &maps {
                Some(folder) => MAP_NAMES.iter().map(|name| (*name, folder.join(name))).collect(),
                None => Vec::new(),
            };
            let mut loader = EbpfLoader::new();
            loader.verifier_log_level(VerifierLogLevel::STATS);
            for (name, path) in &paths {
                loader.map_pin_path(name, path.as_path());
            }
            self.object = Some(loader.load(OBJECT).map_err(unusable)?);
        }
        match &mut self.object {
            Some(object) => Ok(object),
            None => Err(EbpfError::Object("it was not loaded".to_owned())),
        }
    }
}

/// Loads a program unless it is loaded already.
fn load_one(name: &'static str, program: &mut Program) -> Result<(), EbpfError> {
    if program.info().is_ok() {
        return Ok(());
    }
    let loaded = match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => return Err(EbpfError::Object(format!("program `{name}` is of another kind"))),
    };
    loaded.map_err(|error| refused(name, error))
}

/// The program's name in the object.
pub(super) const fn program_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Xdp => "ringfence_xdp",
        Hook::TcIngress => "ringfence_tc_ingress",
        Hook::TcEgress => "ringfence_tc_egress",
    }
}

/// A number for this version of the object: 64-bit FNV-1a of its bytes. It tells pinned programs
/// of this version from others; it protects against nothing.
fn version() -> u64 {
    OBJECT.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What the folder of this version's pinned programs is called.
fn version_name() -> String {
    format!("{:016x}", version())
}

fn refused(program: &'static str, error: ProgramError) -> EbpfError {
    match error {
        ProgramError::LoadError { io_error, .. }
            if io_error.raw_os_error() == Some(libc::EPERM) =>
        {
            EbpfError::NotPermitted("to load programs".to_owned())
        }
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
            let end = lines.len().saturating_sub(LOG_LINES);
            let log = lines[end..].iter().map(|line| format!("\n{line}")).collect();
            EbpfError::Refused { program, reason: io_error, log }
        }
        other => EbpfError::program(format!("load program `{program}`"))(other),
    }
}

fn unusable(error: aya::EbpfError) -> EbpfError {
    let text = chain(&error);
    if text.contains("EPERM") || text.contains("Operation not permitted") {
        return EbpfError::NotPermitted("to create maps".to_owned());
    }
    EbpfError::Object(text)
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl LoadedProgram {
    /// The program's id in the kernel.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Program`] when the kernel does not tell.
    pub fn id(&self) -> Result<u32, EbpfError> {
        let info = match self {
            Self::Xdp(program) => program.info(),
            Self::Tc(program) => program.info(),
        };
        Ok(info.map_err(EbpfError::program("ask for a program's id"))?.id())
    }
}
