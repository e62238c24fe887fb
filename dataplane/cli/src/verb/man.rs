//! `ringfence man DIR`, for packagers; hidden from the help.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use crate::{arguments, exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder to write `ringfence.1` and a page for each verb into.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    let folder = &arguments.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    clap_mangen::generate_to(arguments::Arguments::command(), folder)
        .with_context(|| format!("cannot write into `{}`", folder.display()))?;
    Ok(exit::Outcome::Success)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_is_a_page_for_the_command_and_for_each_verb_that_the_help_shows() {
        let command = arguments::Arguments::command();
        command.clone().debug_assert();
        let mut expected = BTreeSet::from(["ringfence.1".to_owned()]);
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let page = format!("ringfence-{}", verb.get_name());
            let of_verb = verb.get_subcommands().map(|one| format!("{page}-{}.1", one.get_name()));
            expected.extend(of_verb);
            expected.insert(format!("{page}.1"));
        }

        let folder = tempfile::tempdir().unwrap();
        let outcome = run(&Arguments { folder: folder.path().join("man1") }).unwrap();

        assert_eq!(outcome, exit::Outcome::Success);
        let pages = fs::read_dir(folder.path().join("man1")).unwrap();
        let names: BTreeSet<String> =
            pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names, expected);
    }
}
