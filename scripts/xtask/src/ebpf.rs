//! `cargo xtask ebpf`: builds the kernel's crates into the objects that are checked in.
//!
//! Goal: the same source gives the same bytes on every machine, so that CI can prove that the
//! committed objects are what the source says. Hence one reference toolchain (see [`crate::toolchain`]),
//! the committed Cargo.lock, an environment without the user's settings, no debug sections except
//! BTF, and every path that the compiler writes replaced by one that does not depend on the machine.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::toolchain::{Kind, Toolchain};
use crate::{child, object_diff};

const TARGET: &str = "bpfel-unknown-none";
/// The objects: Ringfence's, and what it is measured against.
const OBJECTS: [Object; 2] = [
    Object {
        package: "ringfence-ebpf",
        name: "ringfence.bpf.o",
        committed: "dataplane-ebpf/prebuilt/ringfence.bpf.o",
    },
    Object {
        package: "ringfence-controls",
        name: "controls.bpf.o",
        committed: "bench/controls/prebuilt/controls.bpf.o",
    },
];
/// What they were built with, below the checkout.
const VERSIONS: &str = "dataplane-ebpf/prebuilt/toolchain.txt";

/// A crate for the kernel and what is made of it.
struct Object {
    /// Its package, and the program in it.
    package: &'static str,
    /// Its file's name.
    name: &'static str,
    /// The committed object, below the checkout.
    committed: &'static str,
}

/// What separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";
/// BTF carries the source line of each instruction, which the verifier quotes when it refuses a
/// program. LLVM would read those lines from whatever lies at the replaced path on this machine,
/// so the compiler hands them over itself; only DWARF 5 can do that.
const FLAGS: &[&str] = &[
    "-Clink-arg=--btf",
    "-Zembed-source=yes",
    "-Zdwarf-version=5",
    // Diagnostics keep the real paths.
    "--remap-path-scope=object",
];

/// `cargo xtask ebpf`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Change nothing; exit 1 when a committed object is not what the source builds
    #[arg(long)]
    check: bool,
    /// The compiler to take [default: debian, else nightly]
    #[arg(long, value_name = "NAME")]
    toolchain: Option<Kind>,
}

/// Builds the objects; puts them in their places, or compares them with those there.
pub fn run(arguments: &Arguments) -> Result<()> {
    let checkout = checkout()?;
    // The comparison means something only with the toolchain that defines the objects.
    let wanted = if arguments.check { Some(Kind::Debian) } else { arguments.toolchain };
    let toolchain = Toolchain::find(wanted, &checkout)?;
    for object in &OBJECTS {
        let built = build(&toolchain, &checkout, object)?;
        if arguments.check {
            check(&toolchain, &checkout, object, &built)?;
        } else {
            put(&checkout, object, &built)?;
        }
    }
    if !arguments.check {
        record(&toolchain, &checkout)?;
    }
    Ok(())
}

/// Builds Ringfence's object from the sources in `folder`, whatever they are, with the toolchain that
/// `checkout` has, and puts it in its place there.
pub fn rebuild(folder: &Path, checkout: &Path) -> Result<()> {
    let toolchain = Toolchain::find(None, checkout)?;
    let object = &OBJECTS[0];
    let built = build(&toolchain, folder, object)?;
    put(folder, object, &built)
}

/// The root of the checkout whose `cargo xtask` this is.
pub fn checkout() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: run this as `cargo xtask`")?;
    let folder = PathBuf::from(manifest).join("../..");
    folder.canonicalize().with_context(|| format!("cannot resolve `{}`", folder.display()))
}

/// Builds an object below `target/ebpf` and gives its stripped file's path.
fn build(toolchain: &Toolchain, checkout: &Path, object: &Object) -> Result<PathBuf> {
    let target_dir = checkout.join("target/ebpf");
    let mut cargo = child::clean(&toolchain.cargo);
    cargo
        .current_dir(checkout)
        .env("RUSTC", &toolchain.rustc)
        // The target has no stable support, whatever the compiler's channel.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", compiler_flags(toolchain, checkout)?)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
        .args(["build", "--quiet", "--locked", "--package", object.package])
        .args(["--profile", "ebpf", "--target", TARGET, "--target-dir"])
        .arg(&target_dir);
    if toolchain.builds_core() {
        cargo.args(["-Z", "build-std=core"]);
    }
    child::run(&mut cargo)?;

    let linked = target_dir.join(TARGET).join("ebpf").join(object.package);
    let stripped = target_dir.join(object.name);
    // Removes DWARF and leaves .BTF and .BTF.ext, which the kernel and the loader read.
    child::run(child::clean(&toolchain.objcopy).arg("--strip-debug").arg(&linked).arg(&stripped))?;
    Ok(stripped)
}

/// Flags for the compiler, in the form of `CARGO_ENCODED_RUSTFLAGS`.
fn compiler_flags(toolchain: &Toolchain, checkout: &Path) -> Result<OsString> {
    let mut flags = OsString::from(FLAGS.join(SEPARATOR));
    let mut replace = |from: &Path, to: &str| {
        flags.push(SEPARATOR);
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    replace(checkout, "/ringfence");
    for folder in dependency_folders(toolchain, checkout)? {
        replace(&folder, "/dependency");
    }
    replace(&toolchain.sysroot()?.join("lib/rustlib/src/rust"), "/rust");
    Ok(flags)
}

/// The folders in which Cargo keeps the sources of other people's packages.
fn dependency_folders(toolchain: &Toolchain, checkout: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut cargo = child::clean(&toolchain.cargo);
    cargo
        .current_dir(checkout)
        .env("RUSTC", &toolchain.rustc)
        .args(["metadata", "--quiet", "--locked", "--format-version", "1"])
        .args(["--filter-platform", TARGET]);
    let metadata: serde_json::Value = serde_json::from_str(&child::output(&mut cargo)?)
        .context("`cargo metadata` wrote something else than JSON")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let folders = packages
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter_map(|package| package["manifest_path"].as_str())
        .filter_map(|manifest| Path::new(manifest).ancestors().nth(2))
        .map(Path::to_path_buf)
        .collect();
    Ok(folders)
}

fn put(checkout: &Path, object: &Object, built: &Path) -> Result<()> {
    let committed = checkout.join(object.committed);
    let folder = committed.parent().context("the committed object is in a folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make `{}`", folder.display()))?;
    std::fs::copy(built, &committed)
        .with_context(|| format!("cannot write `{}`", committed.display()))?;
    println!("{}: {}", object.committed, object_diff::describe(&committed)?);
    Ok(())
}

/// Writes down what the objects were built with.
fn record(toolchain: &Toolchain, checkout: &Path) -> Result<()> {
    std::fs::write(checkout.join(VERSIONS), toolchain.versions()?)
        .with_context(|| format!("cannot write `{VERSIONS}`"))?;
    if toolchain.kind != Kind::Debian {
        eprintln!(
            "warning: these objects are not built by Debian's packages, so `cargo xtask ebpf \
             --check` will refuse them: do not commit them"
        );
    }
    Ok(())
}

fn check(toolchain: &Toolchain, checkout: &Path, object: &Object, built: &Path) -> Result<()> {
    let name = object.committed;
    let committed = checkout.join(name);
    let Some(difference) = object_diff::first_difference(&committed, built)? else {
        println!("{name} is what the source builds: {}", object_diff::describe(built)?);
        return Ok(());
    };
    let versions = toolchain.versions()?;
    let recorded = std::fs::read_to_string(checkout.join(VERSIONS))
        .with_context(|| format!("cannot read `{VERSIONS}`"))?;
    let reason = if versions == recorded {
        "The source changed: `cargo xtask ebpf` builds the object anew; commit it.".to_owned()
    } else {
        format!(
            "The toolchain changed. The object was built with\n{recorded}and this is\n{versions}"
        )
    };
    bail!(
        "`{name}` is not what the source builds\n  committed: {}\n  built:     {}\n  \
         first difference: {difference}\n{reason}",
        object_diff::describe(&committed)?,
        object_diff::describe(built)?,
    )
}
