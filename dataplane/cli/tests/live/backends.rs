//! Every backend by the command: applied, shown, switched, refused and taken away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use ringfence_testbed::require::{self, Tool};
use serde_json::Value;

use crate::host::{Host, Run, ingress};

/// The ways to enforce by rules, as arguments of `apply`.
const WAYS: [&str; 6] = [
    "--backend iptables --iptables legacy",
    "--backend iptables --iptables nft",
    "--backend iptables --iptables nft --layout flat",
    "--backend ipset --iptables legacy",
    "--backend ipset --iptables nft",
    "--backend nftables",
];

/// What prints the rules of the host, ours and others'.
const PRINTERS: [&[&str]; 6] = [
    &["iptables-legacy-save"],
    &["ip6tables-legacy-save"],
    &["iptables-nft-save"],
    &["ip6tables-nft-save"],
    &["ipset", "save", "-sorted"],
    &["nft", "-s", "list", "ruleset"],
];

/// The name of the backend in `way`.
fn backend(way: &str) -> &str {
    way.split(' ').nth(1).expect("a way names its backend")
}

fn apply(host: &Host, documents: &str, arguments: &str) -> Run {
    let arguments = arguments.split_whitespace();
    let all: Vec<&str> = ["apply", "-f", documents].into_iter().chain(arguments).collect();
    host.ringfence(&all)
}

fn succeeded(run: Run) -> String {
    assert_eq!(run.code, Some(0), "{run:?}");
    run.stdout
}

fn status(host: &Host) -> Value {
    let text = succeeded(host.ringfence(&["status", "-o", "json"]));
    serde_json::from_str(&text).expect("the status is JSON")
}

/// Runs a tool on the host.
fn tool(host: &Host, arguments: &[&str]) -> String {
    let output = host.run(|| {
        Command::new(arguments[0]).args(&arguments[1..]).output().expect("the tool is installed")
    });
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All rules of the host without what counts or says the time. That of a chain without rules is
/// left out: listing rules makes the kernel's own chains appear.
fn rules(host: &Host) -> Vec<String> {
    let lines = |arguments: &&[&str]| -> Vec<String> {
        let text = in_order(&tool(host, arguments));
        let kept = text.lines().filter(|line| {
            let line = line.trim();
            let empty = line.is_empty() || line.starts_with([':', '#', '*', '}']);
            !empty
                && line != "COMMIT"
                && !line.starts_with("table ")
                && !line.contains(" hook ")
                && !line.starts_with("chain ")
        });
        kept.map(|line| format!("{}: {line}", arguments[0])).collect()
    };
    PRINTERS.iter().flat_map(lines).collect()
}

/// What nft prints, maps and chains by name and not by when they were made; what others print has no
/// such blocks.
fn in_order(text: &str) -> String {
    let renamed: Vec<String> = text.lines().map(renamed).collect();
    let whole = renamed.join("\n");
    let mut blocks: Vec<&str> = whole.split("\n\t}\n").collect();
    blocks.sort_unstable();
    blocks.join("\n")
}

/// `line` with the names that maps of nft have when they are first made: one that is made anew
/// beside the old ends in `_b`, `_c`, … instead. The number of a chain's text goes with the names.
fn renamed(line: &str) -> String {
    let is_fresh = |word: &str| matches!(word.as_bytes(), [.., b'_', b'b'..=b'z']);
    let word = |word: &str| match is_fresh(word) {
        true => word[..word.len() - 2].to_owned(),
        false if word.starts_with("\"rf#") => "\"rf#".to_owned(),
        false => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The rules among them that are ours.
fn ours(rules: &[String]) -> Vec<&String> {
    let marks = ["RF-", "RINGFENCE", "rf4-", "rf6-", "rf:", "ringfence"];
    rules.iter().filter(|rule| marks.iter().any(|mark| rule.contains(mark))).collect()
}

/// Rules of somebody else, in every place where ours are.
fn add_foreign_rules(host: &Host) {
    for program in ["iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft"] {
        for chain in ["FORWARD", "INPUT", "OUTPUT"] {
            let comment = ["-m", "comment", "--comment", "somebody else's"];
            let rule =
                [&[program, "-A", chain, "-p", "tcp", "--dport", "1"][..], &comment].concat();
            tool(host, &rule);
        }
    }
    tool(host, &["ipset", "create", "others", "hash:ip"]);
    tool(host, &["nft", "add table inet others; add chain inet others some"]);
    tool(host, &["nft", "add rule inet others some tcp dport 1 accept"]);
}

fn granted() -> Option<require::Granted> {
    require::kernel().and_then(|_| require::tools(&Tool::ALL))
}

#[test]
fn each_backend_is_applied_shown_and_taken_away() {
    let Some(_granted) = granted() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let documents = documents.to_str().expect("the path is text");
    add_foreign_rules(&host);
    let before = rules(&host);
    for way in WAYS {
        let name = backend(way);
        let dry = succeeded(apply(&host, documents, &format!("{way} --dry-run")));
        assert!(dry.contains("networkpolicy/shop/db created (dry run)\n"), "{way}: {dry}");
        assert!(dry.contains("Dry run: nothing changed"), "{way}: {dry}");
        assert_eq!(rules(&host), before, "{way}: a dry run changes nothing");

        let first = succeeded(apply(&host, documents, way));
        assert!(first.contains("networkpolicy/shop/db created\n"), "{way}: {first}");
        assert!(first.contains(&format!("Generation 1 (enforce, {name})")), "{way}: {first}");
        let installed = rules(&host);
        assert!(!ours(&installed).is_empty(), "{way}: {installed:#?}");

        let again = succeeded(apply(&host, documents, way));
        assert!(again.contains("networkpolicy/shop/db unchanged\n"), "{way}: {again}");
        assert!(again.contains("nothing to do: 0 rules"), "{way}: {again}");
        assert_eq!(rules(&host), installed, "{way}: the same again changes nothing");

        let json = status(&host);
        assert_eq!((&json["backend"], &json["mode"]), (&name.into(), &"enforce".into()), "{json}");
        assert_eq!(json["policies"], serde_json::json!(["networkpolicy/shop/db"]), "{json}");
        let chains = json["chains"].as_array().expect("chains are a list");
        assert!(!chains.is_empty(), "{way}: {json}");
        assert!(chains.iter().all(|chain| chain["state"] == "in place"), "{way}: {json}");
        let text = succeeded(host.ringfence(&["status"]));
        let count = chains.len();
        assert!(text.contains(&format!("Chains: {count} of {count} ")), "{way}: {text}");

        let off = succeeded(host.ringfence(&["off"]));
        assert!(off.contains("removed: ") && off.contains("This host is open"), "{way}: {off}");
        assert_eq!(
            rules(&host),
            before,
            "{way}: nothing of ours is left, and nothing else is gone"
        );
        assert_eq!(status(&host)["installed"], false, "{way}");
        let off = succeeded(host.ringfence(&["off"]));
        assert_eq!(off, "Nothing was installed.\n", "{way}");
    }
}

#[test]
fn a_backend_replaces_the_one_before_it() {
    let Some(_granted) = granted() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let documents = documents.to_str().expect("the path is text");
    let before = rules(&host);
    succeeded(apply(&host, documents, "--backend ebpf"));
    // Every way after one that keeps its rules elsewhere, and after one that keeps them there too.
    let ring = [
        "--backend nftables",
        "--backend iptables --iptables nft",
        "--backend ipset --iptables legacy",
        "--backend ipset --iptables nft",
        "--backend iptables --iptables legacy --layout flat",
        "--backend ebpf",
        "--backend iptables --iptables legacy",
        "--backend nftables",
        "--backend ebpf",
    ];
    for way in ring {
        let dry = succeeded(apply(&host, documents, &format!("{way} --dry-run")));
        assert!(dry.contains("Dry run: nothing changed"), "{way}: {dry}");
        let said = succeeded(apply(&host, documents, way));
        assert!(said.contains("networkpolicy/shop/db unchanged\n"), "{way}: {said}");
        let json = status(&host);
        assert_eq!(json["backend"], backend(way), "{json}");
        assert!(json.get("others").is_none(), "{way}: {json}");
        let now = rules(&host);
        let places: Vec<&str> =
            [("iptables", "-legacy-save"), ("iptables", "-nft-save"), ("ipset", ""), ("nft", "")]
                .iter()
                .map(|(program, rest)| [*program, *rest].concat())
                .filter(|program| {
                    ours(&now).iter().any(|rule| rule.starts_with(&format!("{program}:")))
                })
                .map(|program| match program.as_str() {
                    "iptables-legacy-save" => "legacy",
                    "iptables-nft-save" => "nft",
                    "ipset" => "sets",
                    _ => "table",
                })
                .collect();
        // `nft list ruleset` prints the rules of iptables-nft too.
        let expected: &[&str] = match way {
            "--backend ebpf" => &[],
            "--backend nftables" => &["table"],
            "--backend iptables --iptables nft" => &["nft", "table"],
            "--backend ipset --iptables nft" => &["nft", "sets", "table"],
            "--backend ipset --iptables legacy" => &["legacy", "sets"],
            _ => &["legacy"],
        };
        assert_eq!(places, expected, "{way}:\n{said}\n{:#?}", ours(&now));
        assert_eq!(host.contents().is_some(), backend(way) == "ebpf", "{way}: {said}");
    }
    succeeded(host.ringfence(&["off"]));
    assert_eq!(rules(&host), before);
}

#[test]
fn what_somebody_takes_away_is_noticed_and_comes_back() {
    let Some(_granted) = granted() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let documents = documents.to_str().expect("the path is text");
    for (way, damage, chain, state) in [
        (
            "--backend iptables --iptables legacy",
            "iptables-legacy -D FORWARD 1",
            "FORWARD -> RINGFENCE-FORWARD",
            "missing",
        ),
        (
            "--backend iptables --iptables nft",
            "ip6tables-nft -D INPUT 1",
            "INPUT -> RINGFENCE-INPUT",
            "missing",
        ),
        (
            "--backend ipset --iptables nft",
            "iptables-nft -I RINGFENCE-FORWARD 1 -j ACCEPT",
            "RINGFENCE-FORWARD",
            "changed",
        ),
        ("--backend nftables", "nft flush chain inet ringfence forward", "forward", "changed"),
    ] {
        succeeded(apply(&host, documents, way));
        let whole = rules(&host);
        tool(&host, &damage.split(' ').collect::<Vec<_>>());
        let json = status(&host);
        let chains = json["chains"].as_array().expect("chains are a list");
        let damaged: Vec<(&Value, &Value)> = chains
            .iter()
            .filter(|chain| chain["state"] != "in place")
            .map(|chain| (&chain["chain"], &chain["state"]))
            .collect();
        assert_eq!(damaged, [(&chain.into(), &state.into())], "{way}: {json}");
        let text = succeeded(host.ringfence(&["status"]));
        assert!(text.contains("apply again"), "{way}: {text}");
        let said = succeeded(apply(&host, documents, way));
        assert!(!said.contains("nothing to do"), "{way}: {said}");
        let now = rules(&host);
        let odd: Vec<_> = now.iter().zip(&whole).filter(|(now, whole)| now != whole).collect();
        assert!(odd.is_empty() && now.len() == whole.len(), "{way}: {odd:#?}\n{said}");
        assert!(!succeeded(host.ringfence(&["status"])).contains("apply again"), "{way}");
        succeeded(host.ringfence(&["off"]));
    }
}

#[test]
fn what_cannot_be_applied_leaves_what_was_there() {
    let Some(_granted) = granted() else { return };
    let host = Host::start();
    let old = host.documents("old.yaml", &[ingress("db", "api", 5432)]);
    let new = host.documents("new.yaml", &[ingress("db", "web", 5433)]);
    let (old, new) = (old.to_str().expect("text"), new.to_str().expect("text"));
    for way in WAYS {
        succeeded(apply(&host, old, way));
        let before = rules(&host);
        let arguments: Vec<&str> =
            ["apply", "-f", new].into_iter().chain(way.split_whitespace()).collect();

        // No tools: an empty folder lies over theirs.
        let over = |over: bool| {
            let flags = MsFlags::empty();
            match over {
                true => mount(Some("none"), "/usr/sbin", Some("tmpfs"), flags, None::<&str>),
                false => umount2("/usr/sbin", MntFlags::empty()),
            }
        };
        host.run(|| over(true).expect("it can be mounted"));
        let run = host.ringfence(&arguments);
        host.run(|| over(false).expect("it can be unmounted"));
        run.assert_refused(1, &["is not installed", "apt-get install"]);
        assert_eq!(rules(&host), before, "{way}");

        // A tool that refuses the line with the new port.
        let folder = refusing_tools(&host);
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let run = host.ringfence_with(&arguments, |command| _ = command.env("PATH", &path));
        run.assert_refused(1, &["refuses line", "5433", "`networkpolicy/shop/db ingress[0]`"]);
        assert_eq!(rules(&host), before, "{way}");

        // A list that does not parse.
        let run = apply(&host, new, &format!("{way} --failsafe in:ssh"));
        run.assert_refused(2, &["`in:ssh`"]);
        assert_eq!(rules(&host), before, "{way}");

        assert_eq!(status(&host)["generation"], 1, "{way}");
        succeeded(host.ringfence(&["off"]));
    }
}

/// A folder of tools that refuse the line that names port 5433, and do everything else as usual.
fn refusing_tools(host: &Host) -> String {
    let folder = host.folder().join("refusing");
    fs::create_dir_all(&folder).expect("the folder can be made");
    let tools = [
        ("iptables-legacy-restore", "iptables-restore: line $line failed"),
        ("iptables-nft-restore", "iptables-nft-restore: line $line failed"),
        ("ipset", "ipset v7.17: Error in line $line: Syntax error"),
        ("nft", "/dev/stdin:$line:1-9: Error: Could not process rule"),
    ];
    for (tool, message) in tools {
        let real = ["/usr/sbin", "/sbin", "/usr/bin"].map(|folder| format!("{folder}/{tool}"));
        let real = real.into_iter().find(|path| fs::metadata(path).is_ok()).expect("it is there");
        let script = format!(
            "#!/bin/sh\ntext=$(mktemp)\ncase \"$*\" in *list*|*save*|*-V*|*version*) exec {real} \
             \"$@\";; esac\ncat > $text\nline=$(grep -n 5433 $text | head -n 1 | cut -d: -f1)\n\
             if [ -n \"$line\" ]; then rm $text; echo \"{message}\" >&2; exit 1; fi\n{real} \"$@\" < \
             $text\nstatus=$?\nrm $text\nexit $status\n"
        );
        let path = folder.join(tool);
        fs::write(&path, script).expect("the script can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    }
    folder.to_str().expect("the path is text").to_owned()
}

#[test]
fn others_who_are_in_the_way_are_named() {
    let Some(_granted) = granted() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let documents = documents.to_str().expect("the path is text");

    tool(&host, &["nft", "add table inet ringfence"]);
    let before = rules(&host);
    apply(&host, documents, "--backend nftables")
        .assert_refused(1, &["table `inet ringfence`", "has not made it"]);
    assert_eq!(rules(&host), before);
    tool(&host, &["nft", "delete table inet ringfence"]);

    tool(&host, &["iptables-nft", "-N", "RINGFENCE-FORWARD"]);
    tool(&host, &["iptables-nft", "-A", "RINGFENCE-FORWARD", "-j", "ACCEPT"]);
    let before = rules(&host);
    apply(&host, documents, "--backend iptables --iptables nft")
        .assert_refused(1, &["RINGFENCE-FORWARD"]);
    assert_eq!(rules(&host), before);
    tool(&host, &["iptables-nft", "-F", "RINGFENCE-FORWARD"]);
    tool(&host, &["iptables-nft", "-X", "RINGFENCE-FORWARD"]);

    let before = rules(&host);
    let run = host.run(|| {
        let file = fs::File::create("/run/xtables.lock").expect("the lock's file can be made");
        let held = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error);
        let held = held.expect("nobody else has it");
        let run = apply(&host, documents, "--backend iptables --iptables legacy");
        drop(held);
        run
    });
    let holder = format!("process {}", std::process::id());
    run.assert_refused(1, &["/run/xtables.lock", &holder]);
    assert_eq!(rules(&host), before);
}

#[test]
fn rules_of_the_other_iptables_are_a_warning() {
    let Some(_granted) = granted() else { return };
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let documents = documents.to_str().expect("the path is text");
    tool(&host, &["iptables-legacy", "-A", "FORWARD", "-p", "tcp", "--dport", "1", "-j", "DROP"]);
    let run = apply(&host, documents, "--backend iptables --iptables nft");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("warning: "), "{run:?}");
    assert!(run.stderr.contains("iptables-legacy"), "{run:?}");
}
