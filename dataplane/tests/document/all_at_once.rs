//! All faults come in one run, each at its line and column, however many files and documents.

use std::path::Path;

use ringfence_dataplane::document::{self, Input, Validation};

use crate::{found, read};

#[test]
fn six_faults_of_one_file_are_found_in_one_run() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/document/fixtures/everything-wrong.yaml");
    let report = document::read(&[Input::File(path)], Validation::Strict);
    assert!(report.has_errors());
    assert_eq!(report.policies, None);
    assert_eq!(
        found(&report),
        [
            "11:7 RF0009",  // the second `app`
            "13:7 RF0021",  // `form`
            "18:17 RF0046", // "80"
            "20:20 RF0049", // 8000
            "26:17 RF0043", // 192.168.0.0/16
            "29:7 RF0020",  // NetworkPolcy
        ],
        "\n{}",
        report.render(false)
    );
    assert_eq!((report.errors(), report.warnings()), (6, 0));
}

#[test]
fn drawn_diagnostics_show_the_line_and_the_way_out() {
    let report = read(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: web }\nspec:\n  \
         podSelector: {}\n  ingress:\n    - form: []\n",
    );
    let expected = "\
error[RF0021]: unknown field `form`
 --> test.yaml:7:7
  |
7 |     - form: []
  |       ^^^^ an ingress rule has no such field
  |
help: did you mean `from`?

";
    assert_eq!(report.render(false), expected);
}

#[test]
fn one_bad_file_hides_no_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &[u8]| {
        std::fs::write(directory.path().join(name), text).expect("the file can be written");
    };
    write("a.yaml", b"apiVersion: v1\nkind: Namespace\nmetadata: { nam: a }\n");
    write("b.yml", b"apiVersion: v1\nkind: [\n");
    write(
        "c.json",
        b"{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"C\"}}",
    );
    write("d.yaml", b"kind: \xff\n");
    write("e.yaml", b"apiVersion: v1\nkind: Namespace\nmetadata: { name: e }\n");
    write("ignored.txt", b"kind: [");
    let inputs = [
        Input::File(directory.path().join("absent.yaml")),
        Input::File(directory.path().to_owned()),
    ];
    let report = document::read(&inputs, Validation::Strict);
    let found: Vec<_> = report
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let file = diagnostic.place.as_ref().map_or("-", |place| {
                place.file.rsplit('/').next().expect("a path has a last part")
            });
            (file.to_owned(), diagnostic.code.as_str())
        })
        .collect();
    let expected = [
        ("-", "RF0001"),
        ("a.yaml", "RF0021"),
        ("b.yml", "RF0004"),
        ("c.json", "RF0026"),
        ("d.yaml", "RF0002"),
    ];
    assert_eq!(found, expected.map(|(file, code)| (file.to_owned(), code)));
    let read: Vec<_> = report.documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(read, ["e"], "what is right is read all the same");
}

#[test]
fn the_other_documents_of_a_broken_file_are_read() {
    let report = read(
        "a: b: c\n---\napiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n---\n\
         kind: [}\n---\napiVersion: v1\nkind: Namespce\n",
    );
    assert_eq!(found(&report), ["1:5 RF0004", "7:7 RF0004", "10:7 RF0020"]);
    assert_eq!(report.documents.len(), 1);
}

#[test]
fn less_strict_validation_reads_on_without_the_surplus() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: { name: a, name: b, nme: c }\nspec:\n  podSelector: {}\n\
                ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\n";
    let places = ["3:22 RF0009", "3:31 RF0021", "8:7 RF0020"];

    let strict = crate::read_with(text, Validation::Strict);
    assert_eq!((found(&strict), strict.errors()), (places.map(str::to_owned).to_vec(), 3));
    assert_eq!(strict.policies, None);

    let warn = crate::read_with(text, Validation::Warn);
    assert_eq!((found(&warn), warn.errors(), warn.warnings()), (found(&strict), 0, 3));
    let names = |report: &document::Report| -> Vec<String> {
        let set = report.policies.as_ref().expect("there are no errors");
        set.policies.iter().map(|policy| policy.name.to_string()).collect()
    };
    assert_eq!(names(&warn), ["networkpolicy/default/a"]);

    let ignore = crate::read_with(text, Validation::Ignore);
    assert_eq!(found(&ignore), Vec::<String>::new());
    assert_eq!(names(&ignore), names(&warn));
}
