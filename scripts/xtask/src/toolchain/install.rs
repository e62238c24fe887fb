//! `cargo xtask toolchain`: installs what building the object needs and is not there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{DEBIAN_CARGO, DEBIAN_RUSTC, LINKER_VERSION, PREBUILT_CORE};
use crate::{child, ebpf};

/// Debian's packages, each with a file of it that the build uses.
const PACKAGES: &[(&str, &str)] = &[
    ("rustc-web", DEBIAN_RUSTC),
    ("cargo-web", DEBIAN_CARGO),
    ("rust-web-src", "/usr/lib/rustlib/src/rust/library/core/src/lib.rs"),
    ("libstd-rust-web-dev-bpf", PREBUILT_CORE),
    ("llvm-22", "/usr/bin/llvm-objcopy-22"),
];

/// What only installing bpf-linker needs.
const LINKER_PACKAGES: &[(&str, &str)] =
    &[("llvm-22-dev", "/usr/lib/llvm-22/include/llvm-c/Core.h")];

/// `cargo xtask toolchain`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Say what is missing and install nothing; exit 1 when something is
    #[arg(long)]
    check: bool,
}

/// Installs what is missing.
pub fn run(arguments: &Arguments) -> Result<()> {
    let checkout = ebpf::checkout()?;
    let has_linker = super::linker(&checkout).is_ok();
    let mut packages = missing_packages();
    if !has_linker {
        packages.extend(missing(LINKER_PACKAGES));
    }
    if packages.is_empty() && has_linker {
        println!("nothing is missing");
        return Ok(());
    }
    if arguments.check {
        packages.extend((!has_linker).then_some("bpf-linker"));
        bail!("missing: {}", packages.join(" "));
    }
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    if !has_linker {
        install_linker(&checkout)?;
    }
    Ok(())
}

/// The folder of tools that belong to this checkout; git ignores it.
pub fn tools(checkout: &Path) -> PathBuf {
    checkout.join(".toolchain")
}

/// Debian's packages that the build needs and that are not installed.
pub fn missing_packages() -> Vec<&'static str> {
    missing(PACKAGES)
}

fn missing(packages: &[(&'static str, &str)]) -> Vec<&'static str> {
    packages.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect()
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if child::find_in_path(&["apt-get"]).is_none() {
        bail!("there is no apt-get here to install Debian's packages: {list}");
    }
    let user = child::output(child::clean("id").arg("-u"))?;
    if user.trim() != "0" {
        bail!("packages are missing and only root can install them: apt-get install {list}");
    }
    println!("installing {list}");
    let apt = |words: &[&str]| {
        let mut apt = child::clean("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(words);
        child::output(&mut apt).map(|_report| ())
    };
    apt(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends", "--no-upgrade"];
    install.extend(packages);
    apt(&install).with_context(|| format!("cannot install {list}"))
}

/// Compiles bpf-linker with Debian's compiler, linked with Debian's LLVM 22.
fn install_linker(checkout: &Path) -> Result<()> {
    println!("building bpf-linker {LINKER_VERSION} (about a minute)");
    let mut cargo = child::clean(DEBIAN_CARGO);
    cargo
        .env("RUSTC", DEBIAN_RUSTC)
        .env("LLVM_PREFIX", "/usr/lib/llvm-22")
        .args(["install", "--quiet", "--locked", "--force", "bpf-linker"])
        .args(["--version", LINKER_VERSION, "--no-default-features", "--features", "llvm-22"])
        .arg("--root")
        .arg(tools(checkout))
        .arg("--target-dir")
        .arg(checkout.join("target/bpf-linker"));
    child::run(&mut cargo)
}
