//! The object with our programs, and how it gets into the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use aya::programs::{ProgramError, SchedClassifier, Xdp};
use aya::{EbpfLoader, VerifierLogLevel};
use aya_obj::programs::XdpAttachType;
use ringfence_common::abi::config::Hook;

use super::maps::MAP_NAMES;
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
        let folder = pins.programs().join(format!("{:016x}", version()));
        let mut kernel = Self { folder: Some(folder), object: None, maps: Some(pins.maps()) };
        if !pins.exist() {
            kernel.object()?;
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

    /// The program for `hook`.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Refused`] when the verifier does not take it.
    pub fn program(&mut self, hook: Hook) -> Result<LoadedProgram, EbpfError> {
        let name = program_name(hook);
        let Some(folder) = self.folder.clone() else {
            return self.load(hook, None);
        };
        let path = folder.join(name);
        if !path.exists() {
            match fs::create_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(EbpfError::file("create", &folder)(error)),
            }
            return self.load(hook, Some(&path));
        }
        let program = match hook {
            Hook::Xdp => Xdp::from_pin(&path, XdpAttachType::Interface)
                .map(|program| LoadedProgram::Xdp(Box::new(program))),
            Hook::TcIngress | Hook::TcEgress => {
                SchedClassifier::from_pin(&path).map(|program| LoadedProgram::Tc(Box::new(program)))
            }
        };
        program.map_err(EbpfError::program(format!("open `{}`", path.display())))
    }

    fn load(&mut self, hook: Hook, pin: Option<&Path>) -> Result<LoadedProgram, EbpfError> {
        let name = program_name(hook);
        let missing = || EbpfError::Object(format!("it has no program `{name}`"));
        let object = self.object()?;
        let program = object.program_mut(name).ok_or_else(missing)?;
        let refused = |error| refused(name, error);
        match hook {
            Hook::Xdp => {
                let program: &mut Xdp = program.try_into().map_err(|_| missing())?;
                program.load().map_err(refused)?;
            }
            Hook::TcIngress | Hook::TcEgress => {
                let program: &mut SchedClassifier = program.try_into().map_err(|_| missing())?;
                program.load().map_err(refused)?;
            }
        }
        let temporary;
        let pin = if let Some(pin) = pin {
            pin
        } else {
            return self.reopen(hook);
        };
        temporary = pin.with_file_name(format!("{name}-new"));
        // A pin left by an interrupted run is of no use to anyone.
        let _ = fs::remove_file(&temporary);
        let program = self.object()?.program_mut(name).ok_or_else(missing)?;
        program
            .pin(&temporary)
            .map_err(|source| EbpfError::Pin { path: temporary.clone(), source })?;
        fs::rename(&temporary, pin).map_err(EbpfError::file("rename", &temporary))?;
        self.program(hook)
    }

    /// A handle of its own on a program that was just loaded and is not pinned.
    fn reopen(&mut self, hook: Hook) -> Result<LoadedProgram, EbpfError> {
        let name = program_name(hook);
        let missing = || EbpfError::Object(format!("it has no program `{name}`"));
        let object = self.object()?;
        let program = object.program_mut(name).ok_or_else(missing)?;
        let action = || EbpfError::program(format!("open program `{name}`"));
        let info = program.info().map_err(action())?;
        let opened = match hook {
            Hook::Xdp => Xdp::from_program_info(info, name.into(), XdpAttachType::Interface)
                .map(|program| LoadedProgram::Xdp(Box::new(program))),
            Hook::TcIngress | Hook::TcEgress => {
                SchedClassifier::from_program_info(info, name.into())
                    .map(|program| LoadedProgram::Tc(Box::new(program)))
            }
        };
        opened.map_err(action())
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
            EbpfError::Refused { program, reason: io_error, log: lines[end..].join("\n") }
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
