//! A revision's probe.
//!
//! Both revisions are built in the same folder one after the other, so that cargo builds only what
//! differs between them and no path makes code differ. A probe that was built is kept under its tree's
//! number.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::trees::{Repository, Tree};
use crate::child;

/// What a revision has that has a probe.
pub const PROBE: &str = "bench/probe/Cargo.toml";

/// The profile, which the workspace's manifest has.
const PROFILE: &str = "gate";

/// Probes that are kept: each has some ten megabytes.
const KEPT: usize = 6;

/// The program of a tree, built if it is not there.
pub fn probe(repository: &Repository, tree: &Tree, own: &Path) -> Result<PathBuf> {
    let kept = own.join("probes");
    let folder = kept.join(format!("{}-{:016x}", tree.0, compiler()?));
    let program = folder.join("probe");
    if program.is_file() {
        // Which ones are used says which are kept.
        let now = fs::File::options().append(true).open(&program)?;
        now.set_modified(SystemTime::now())?;
        return Ok(program);
    }
    let (source, target) = (own.join("tree"), own.join("build"));
    repository.put(tree, &source, "tree")?;
    let mut cargo = child::clean("cargo");
    cargo.current_dir(&source).args(["build", "--quiet", "--locked", "--profile", PROFILE]);
    cargo.args(["--package", "ringfence-probe", "--bin", "probe", "--target-dir"]).arg(&target);
    child::run(&mut cargo)?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    // The name comes last: what has it is whole.
    let copy = folder.join("copy");
    let built = target.join(PROFILE).join("probe");
    fs::copy(&built, &copy).with_context(|| format!("cannot copy `{}`", built.display()))?;
    fs::rename(&copy, &program)?;
    forget_old(&kept)?;
    Ok(program)
}

/// Another compiler makes other code.
fn compiler() -> Result<u64> {
    let version = child::output(child::clean("rustc").arg("-vV"))?;
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    Ok(hasher.finish())
}

/// Removes all but the ones used last.
fn forget_old(kept: &Path) -> Result<()> {
    let mut probes = Vec::new();
    for entry in fs::read_dir(kept)? {
        let folder = entry?.path();
        let used = fs::metadata(folder.join("probe")).and_then(|probe| probe.modified());
        probes.push((used.unwrap_or(SystemTime::UNIX_EPOCH), folder));
    }
    probes.sort();
    let old = probes.len().saturating_sub(KEPT);
    for (_, folder) in probes.drain(..old) {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    Ok(())
}
