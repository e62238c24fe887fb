//! `cargo xtask man`: writes the manual pages.
//!
//! The command writes them itself. This crate cannot depend on it, because it contains the kernel
//! object that `cargo xtask ebpf` builds.

use anyhow::Result;

use crate::{child, ebpf};

/// Where the pages go, below the checkout.
const FOLDER: &str = "target/man";

/// Builds the command and has it write its pages.
pub fn run() -> Result<()> {
    let mut cargo = child::clean("cargo");
    cargo.current_dir(ebpf::checkout()?).args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "ringfence",
        "--",
        "man",
        FOLDER,
    ]);
    child::run(&mut cargo)?;
    println!("manual pages are in {FOLDER}");
    Ok(())
}
