//! Instructions of a process, counted by valgrind's callgrind while it interprets them.
//!
//! Counting is on below one function of the probe, and what was counted is written whenever that
//! function is left: a file for each part. What the processor does meanwhile, and who else uses it,
//! changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::bounded;
use super::figures::{Figure, HOT};

/// The function of the probe below which is counted. Its name is whole: with a pattern nothing is
/// written when it is left.
const COUNTED: &str = "probe::hot::gate_counts_this";

/// It takes half a minute where nothing else runs.
const LIMIT: Duration = Duration::from_secs(600);

/// Counts the parts of a probe; what is written on the way goes to `folder`.
pub fn count(valgrind: &Path, probe: &Path, folder: &Path) -> Result<Vec<Figure>> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new(valgrind);
    // Seeds of hash tables come from addresses on the stack, which begins with the environment.
    command.env_clear().args(["--tool=callgrind", "--collect-atstart=no"]);
    command.arg(format!("--toggle-collect={COUNTED}")).arg(format!("--dump-after={COUNTED}"));
    command.arg(format!("--callgrind-out-file={}", folder.join("out").display()));
    command.arg(probe).arg("hot");
    let ended = bounded::run(&mut command, LIMIT)?;
    if !ended.status.success() {
        bail!("the probe under valgrind ended with {}: {}", ended.status, ended.stderr.trim());
    }
    let names: Vec<String> =
        serde_json::from_str(&ended.stdout).context("the probe told no names of parts")?;
    let named = names.into_iter().enumerate();
    named.map(|(index, name)| figure(name, &folder.join(format!("out.{}", index + 1)))).collect()
}

fn figure(of: String, file: &PathBuf) -> Result<Figure> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("callgrind wrote no `{}` for {of}", file.display()))?;
    let parts = functions(&text).with_context(|| format!("`{}`", file.display()))?;
    let value = parts.values().sum();
    if value == 0 {
        bail!("callgrind counted nothing of {of}");
    }
    Ok(Figure { kind: HOT.to_owned(), of, value, parts })
}

/// What each function has run itself, from the text of a dump (valgrind manual, "Callgrind Format
/// Specification").
fn functions(text: &str) -> Result<BTreeMap<String, u64>> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut function, mut is_of_call, mut total) = (None, false, None);
    for line in text.lines() {
        let begins_with_place = line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c));
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            // A name is told once, with a number that stands for it afterwards.
            let (number, told) = name.split_once(' ').unwrap_or((name, ""));
            if !told.is_empty() {
                names.insert(number, told);
            }
            if line.starts_with("fn=") {
                function = Some(*names.get(number).context("a function without a name")?);
            }
        } else if line.starts_with("calls=") {
            is_of_call = true;
        } else if let Some(told) = line.strip_prefix("totals: ") {
            total = Some(told.trim().parse::<u64>().context("the total is no number")?);
        } else if begins_with_place && !std::mem::take(&mut is_of_call) {
            // The place, and how many instructions; the line after a call is of the one called.
            let count = line.split(' ').nth(1).and_then(|count| count.parse::<u64>().ok());
            let count = count.with_context(|| format!("`{line}` has no count"))?;
            let function = function.context("a count before any function")?;
            *counts.entry(plain(function)).or_default() += count;
        }
    }
    let sum: u64 = counts.values().sum();
    if total != Some(sum) {
        bail!("the functions have {sum} instructions, but all {total:?}");
    }
    Ok(counts)
}

/// A function's name without what differs from one build to the next: the hash at its end, and the
/// number that callgrind gives to calls of itself.
fn plain(name: &str) -> String {
    let name = name.split('\'').next().unwrap_or(name);
    match name.rsplit_once("::h") {
        Some((rest, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            rest.to_owned()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "# callgrind format\nversion: 1\npart: 2\ndesc: Trigger: --dump-after=x\n\
        positions: line\nevents: Ir\nsummary: 42\n\nob=(1) /probe\nfl=(1) ???\n\
        fn=(1) compile::h0123456789abcdef\n0 10\ncfn=(2) look_up\ncalls=3 0\n0 30\n+2 2\n\n\
        fn=(2)\n* 25\n0 5\nfn=(1)\n0 0\n\ntotals: 42\n";

    #[test]
    fn what_a_function_ran_itself_is_summed_and_what_it_called_left_out() {
        let expected = BTreeMap::from([("compile".to_owned(), 12), ("look_up".to_owned(), 30)]);
        assert_eq!(functions(DUMP).unwrap(), expected);
    }

    #[test]
    fn a_dump_that_does_not_add_up_is_refused() {
        assert!(functions(&DUMP.replace("totals: 42", "totals: 43")).is_err());
        assert!(functions(&DUMP.replace("totals: 42\n", "")).is_err());
        assert!(functions(&DUMP.replace("fn=(2)\n*", "fn=(3)\n*")).is_err());
    }

    #[test]
    fn names_are_without_what_differs_between_builds() {
        assert_eq!(plain("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(plain("a::h_of_something'2"), "a::h_of_something");
    }
}
