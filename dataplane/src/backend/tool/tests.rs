use std::fs;
use std::path::Path;

use super::*;

/// Tools in a folder of their own, each a few lines for the shell.
fn tools(folder: &Path, scripts: &[(&str, &str)]) -> Tools {
    for (name, text) in scripts {
        // Written by another process: a file that this one has open for writing could not be run
        // while a child of another test has inherited it.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", write, "sh"]).arg(folder.join(name)).arg(text);
        assert!(shell.status().unwrap().success(), "{name} is not written");
    }
    Tools::in_folders([folder.to_owned()])
}

#[test]
fn a_tool_gets_the_text_and_its_output_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools(folder.path(), &[("nft", "echo \"$LC_ALL $*\"; cat")]);
    let mut script = Script::default();
    // More than a pipe holds, in both directions.
    (0..20_000).for_each(|number| script.line(format!("add rule {number}")));
    let said = tools.feed("nft", &["-f", "-"], &script, &BTreeMap::new()).unwrap();
    assert_eq!(said, format!("C -f -\n{script}"));
}

#[test]
fn a_tool_that_reads_nothing_is_heard_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools(folder.path(), &[("ipset", "echo 'Kernel error received' >&2; exit 1")]);
    let mut script = Script::default();
    (0..20_000).for_each(|number| script.line(format!("add a {number}")));
    let error = tools.feed("ipset", &["restore"], &script, &BTreeMap::new()).unwrap_err();
    assert_eq!(error.to_string(), "`ipset restore` failed: Kernel error received");
}

#[test]
fn a_tool_that_is_not_there_is_named_with_its_package() {
    let tools = Tools::in_folders([]);
    for (tool, package) in
        [("ipset", "ipset"), ("nft", "nftables"), ("ip6tables-legacy-restore", "iptables")]
    {
        let error = tools.ask(tool, &[]).unwrap_err().to_string();
        let way_out = format!("`{tool}` is not installed, or in no folder of PATH: install it");
        assert!(error.starts_with(&way_out), "{error}");
        assert!(error.contains(&format!("`apt-get install {package}`")), "{error}");
    }
}

#[test]
fn a_file_that_is_no_program_is_no_tool() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("nft"), "").unwrap();
    fs::create_dir(folder.path().join("ipset")).unwrap();
    let tools = Tools::in_folders([folder.path().to_owned()]);
    assert_eq!((tools.find("nft"), tools.find("ipset")), (None, None));
}

#[test]
fn a_tool_that_hangs_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools(folder.path(), &[("nft", "exec sleep 600")])
        .no_longer_than(Duration::from_millis(200));
    let started = Instant::now();
    let error = tools.ask("nft", &[]).unwrap_err();
    assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn a_refused_line_is_told_with_the_rule_that_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let said = "echo 'ipset v7.17: Error in line '$1': Hash is full, cannot add more' >&2; exit 1";
    let tools = tools(folder.path(), &[("ipset", said)]);
    let mut script = Script::default();
    script.line("create rf4-a hash:net");
    script.rule_line("add rf4-a 10.0.0.0/8", 7);
    script.rule_line("add rf4-a 11.0.0.0/8", 8);
    let name = "networkpolicy/shop/web ingress[0]".to_owned();
    let described = RuleDescription { name, origin: Some("web.yaml:12".to_owned()) };
    let rules = BTreeMap::from([(7, described)]);
    for (line, message) in [
        ("1", "`ipset` refuses line 1, `create rf4-a hash:net`: Hash is full, cannot add more"),
        (
            "2",
            "`ipset` refuses line 2, `add rf4-a 10.0.0.0/8`, which comes from \
             `networkpolicy/shop/web ingress[0]` at web.yaml:12: Hash is full, cannot add more",
        ),
        (
            "3",
            "`ipset` refuses line 3, `add rf4-a 11.0.0.0/8`, which comes from `rule 00000008`: \
             Hash is full, cannot add more",
        ),
        ("4", "`ipset 4` failed: Hash is full, cannot add more"),
    ] {
        let error = tools.feed("ipset", &[line], &script, &rules).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
