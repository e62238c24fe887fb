//! The compilers that can build the kernel object.
//!
//! The committed object is defined by one of them, the *reference*: Debian's Rust packages with
//! their prebuilt `core` for `bpfel-unknown-none`, and bpf-linker linked with the same LLVM. They
//! can be installed without rustup's server. A nightly of rustup with its `rust-src` component
//! builds a working object too, but another one byte for byte.

pub mod install;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::child;

/// The version of bpf-linker that the committed object was linked with.
pub const LINKER_VERSION: &str = "0.13.0";

/// The file that tells that the prebuilt `core` for the kernel's machine is installed.
const PREBUILT_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Which compiler to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Debian's packages; the committed object is defined by this one
    Debian,
    /// rustup's nightly with its rust-src component; builds a different, working object
    Nightly,
}

/// Everything that takes part in building the object.
#[derive(Debug)]
pub struct Toolchain {
    /// Which one this is.
    pub kind: Kind,
    /// Cargo's program.
    pub cargo: PathBuf,
    /// The compiler's program. Named in full because rustup's `rustc` may come first in `PATH`.
    pub rustc: PathBuf,
    /// bpf-linker.
    pub linker: PathBuf,
    /// llvm-objcopy.
    pub objcopy: PathBuf,
}

impl Toolchain {
    /// Finds the wanted toolchain; without a wish Debian's, else a nightly of rustup.
    ///
    /// # Errors
    ///
    /// Names everything that is missing, and the command that installs it.
    pub fn find(wanted: Option<Kind>, checkout: &Path) -> Result<Self> {
        let (kind, cargo, rustc) = match wanted {
            Some(Kind::Debian) => match debian() {
                Ok(found) => found,
                Err(error) => bail!("{error}\n{WAY_OUT}"),
            },
            Some(Kind::Nightly) => nightly()?,
            None => match (debian(), nightly()) {
                (Ok(found), _) | (Err(_), Ok(found)) => found,
                (Err(no_debian), Err(no_nightly)) => bail!(
                    "no compiler for the kernel object\n  Debian's: {no_debian}\n  \
                     rustup's: {no_nightly}\n{WAY_OUT}"
                ),
            },
        };
        let linker = linker(checkout)?;
        let Some(objcopy) = child::find_in_path(&["llvm-objcopy-22", "llvm-objcopy"]) else {
            bail!("llvm-objcopy is missing (Debian's package `llvm-22`)\n{WAY_OUT}");
        };
        Ok(Self { kind, cargo, rustc, linker, objcopy })
    }

    /// The versions that decide about the object's bytes, one per line.
    pub fn versions(&self) -> Result<String> {
        let rustc = child::output(child::clean(&self.rustc).arg("-vV"))?;
        let line = |start: &str| rustc.lines().find(|line| line.starts_with(start)).unwrap_or("");
        let linker = child::output(child::clean(&self.linker).arg("--version"))?;
        let objcopy = child::output(child::clean(&self.objcopy).arg("--version"))?;
        let objcopy = objcopy.lines().find(|line| line.contains("version")).unwrap_or("").trim();
        Ok(format!(
            "{}\n{}\n{}\nllvm-objcopy: {objcopy}\n",
            line("rustc "),
            line("LLVM version"),
            linker.trim()
        ))
    }

    /// Whether `core` has to be compiled along, since it does not come with the compiler.
    pub fn builds_core(&self) -> bool {
        self.kind == Kind::Nightly
    }

    /// The folder of the compiler.
    pub fn sysroot(&self) -> Result<PathBuf> {
        let path = child::output(child::clean(&self.rustc).args(["--print", "sysroot"]))?;
        Ok(PathBuf::from(path.trim()))
    }
}

const WAY_OUT: &str = "`cargo xtask toolchain` installs what is missing (as root, on Debian)";

fn debian() -> Result<(Kind, PathBuf, PathBuf)> {
    let missing = install::missing_packages();
    if !missing.is_empty() {
        bail!("missing packages: {}", missing.join(" "));
    }
    Ok((Kind::Debian, DEBIAN_CARGO.into(), DEBIAN_RUSTC.into()))
}

fn nightly() -> Result<(Kind, PathBuf, PathBuf)> {
    let which = |tool| {
        let mut rustup = child::clean("rustup");
        rustup.env("RUSTUP_AUTO_INSTALL", "0").args(["which", "--toolchain", "nightly", tool]);
        child::output(&mut rustup).map(|path| PathBuf::from(path.trim()))
    };
    let (cargo, rustc) = (which("cargo")?, which("rustc")?);
    let sysroot = child::output(child::clean(&rustc).args(["--print", "sysroot"]))?;
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
    if !sources.is_file() {
        bail!(
            "nightly lacks the component rust-src (`rustup component add rust-src --toolchain \
             nightly`)"
        );
    }
    Ok((Kind::Nightly, cargo, rustc))
}

/// bpf-linker, of the checkout's own tools first, else the user's.
fn linker(checkout: &Path) -> Result<PathBuf> {
    let own = install::tools(checkout).join("bin/bpf-linker");
    let Some(linker) =
        own.is_file().then_some(own).or_else(|| child::find_in_path(&["bpf-linker"]))
    else {
        bail!("bpf-linker {LINKER_VERSION} is missing\n{WAY_OUT}");
    };
    let version = child::output(child::clean(&linker).arg("--version"))?;
    if version.trim() != format!("bpf-linker {LINKER_VERSION}") {
        bail!("`{}` is needed at version {LINKER_VERSION}\n{WAY_OUT}", version.trim());
    }
    Ok(linker)
}
