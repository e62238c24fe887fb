//! `cargo xtask faults`: would the tests notice?
//!
//! `testbed/faults/*.txt` hold small mistakes, each a few lines of the engine before and after. Each
//! is made in a copy of the sources, the test programs of [`PROGRAMS`] are built and run, and one of
//! their tests has to fail. A mistake that nobody notices is a hole in the corpus and the
//! generators; one that can no longer be made means that the list is older than the code.

mod list;
mod tree;
mod trial;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};

use self::list::Fault;
use self::tree::Tree;
use self::trial::{Bench, Outcome, Program};

/// The test programs of the testbed that have to notice, the quickest first, and which of their
/// tests. The kernel's programs are built from other sources than the copy, so nothing is asked of
/// them.
const PROGRAMS: &[Program] = &[
    Program { name: "short_way", arguments: &[] },
    Program { name: "corpus", arguments: &["oracle_and_userspace", "the_text"] },
    Program { name: "generated", arguments: &["--skip", "kernel"] },
    Program { name: "oracle_frames", arguments: &[] },
];

/// Arguments of `cargo xtask faults`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only these faults, by name; all of them if none is named
    names: Vec<String>,
    /// Look with this test program alone; may be given several times
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,
    /// Show the list and end
    #[arg(long)]
    list: bool,
}

/// Makes every fault, one after the other, and says what noticed it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let root = root();
    let faults = chosen(list::read(&root)?, &arguments.names)?;
    if arguments.list {
        for fault in &faults {
            println!("{:32} {}: {}", fault.name, fault.file, fault.breaks);
        }
        println!("{} faults", faults.len());
        return Ok(());
    }
    if let Some(error) = faults.iter().find_map(|fault| fault.check_against(&root).err()) {
        return Err(error);
    }
    let started = Instant::now();
    let scratch = root.join("target/faults");
    let tree = Tree::copy(&root, &scratch.join("tree"))?;
    let bench = Bench::new(&tree, &scratch.join("target"), programs(&arguments.programs)?);
    println!("building and running the tests without any fault");
    bench.baseline()?;
    println!("they pass, after {} s\n", started.elapsed().as_secs());
    let mut wrong = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let begin = Instant::now();
        let outcome = bench.try_fault(fault)?;
        let seconds = begin.elapsed().as_secs();
        println!("{:2}/{} {:34} {outcome} ({seconds} s)", index + 1, faults.len(), fault.name);
        if !matches!(outcome, Outcome::Caught { .. }) {
            println!("      {}: {}", fault.file, fault.breaks);
            wrong.push(fault.name.as_str());
        }
    }
    let caught = faults.len() - wrong.len();
    let seconds = started.elapsed().as_secs();
    println!("\n{caught} of {} faults were caught, in {seconds} s", faults.len());
    if !wrong.is_empty() {
        bail!("not caught: {}", wrong.join(", "));
    }
    Ok(())
}

fn programs(names: &[String]) -> Result<Vec<&'static Program>> {
    if let Some(unknown) = names.iter().find(|name| PROGRAMS.iter().all(|p| p.name != **name)) {
        let known: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        bail!("there is no test program `{unknown}`; they are {}", known.join(", "));
    }
    let wanted = |program: &&Program| names.is_empty() || names.iter().any(|n| n == program.name);
    Ok(PROGRAMS.iter().filter(wanted).collect())
}

fn chosen(faults: Vec<Fault>, names: &[String]) -> Result<Vec<Fault>> {
    if let Some(unknown) = names.iter().find(|name| faults.iter().all(|f| f.name != **name)) {
        bail!("there is no fault `{unknown}`; `cargo xtask faults --list` shows them all");
    }
    let wanted = |fault: &Fault| names.is_empty() || names.contains(&fault.name);
    Ok(faults.into_iter().filter(wanted).collect())
}

/// The workspace's root.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.ancestors().nth(2).expect("xtask lies in scripts/xtask").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{list, root};

    /// The fewest that show something.
    const ENOUGH: usize = 50;

    #[test]
    fn every_fault_can_still_be_made() {
        let faults = list::read(&root()).unwrap();
        let mut cannot = Vec::new();
        for fault in &faults {
            if let Err(error) = fault.check_against(&root()) {
                cannot.push(format!("{error:#}"));
            }
        }
        assert!(cannot.is_empty(), "\n{}", cannot.join("\n"));
        assert!(faults.len() >= ENOUGH, "only {} faults", faults.len());
        let names: BTreeSet<_> = faults.iter().map(|fault| &fault.name).collect();
        assert_eq!(names.len(), faults.len(), "two faults have the same name");
    }
}
