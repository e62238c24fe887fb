//! What the project's README quotes of a record is what the record says.

use std::fs;
use std::path::Path;

use ringfence_bench::record::{self, Record};

/// Stands before the quoted table, with the folder of the record.
const MARK: &str = "<!-- recorded: ";

#[test]
fn the_readme_quotes_a_record() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, quoted) = readme.split_once(MARK).expect("it quotes a record");
    let (folder, quoted) = quoted.split_once(" -->\n").expect("the mark ends");
    let record = Record::read(&root.join(folder)).unwrap();
    assert!(record.run.complete, "{folder} is partial");
    let table = record::main_table(&record);
    assert!(
        quoted.starts_with(&table),
        "the README quotes {folder} otherwise than `cargo xtask results table {folder}`:\n{table}"
    );
    let plot = format!("{folder}/send-cost.svg");
    assert!(readme.contains(&format!("({plot})")), "the README does not show {plot}");
    assert!(root.join(&plot).is_file(), "there is no {plot}");
}
