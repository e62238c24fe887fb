//! `ringfence render`: the texts, what is refused, and the README, which shows parts of them.

use std::fs;
use std::io::Write as _;

use assert_cmd::Command;
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `ringfence render` on the policy of the README.
fn render(arguments: &str) -> Run {
    render_file("readme.yaml", arguments)
}

fn render_file(file: &str, arguments: &str) -> Run {
    let mut command = Command::cargo_bin("ringfence").expect("the binary is built");
    command.args(["--color", "never", "render"]).args(arguments.split_whitespace());
    command.args(["-f", file]).current_dir(FIXTURES);
    for variable in ["VALIDATE", "DEFAULT_NAMESPACE", "FAILSAFE", "MODE", "LAYOUT"] {
        command.env_remove(format!("RINGFENCE_{variable}"));
    }
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn rendered(arguments: &str) -> String {
    let run = render(arguments);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments}");
    run.stdout
}

#[test]
fn each_form_of_the_readmes_policy() {
    for (name, arguments) in [
        ("iptables", "iptables"),
        ("iptables6", "iptables --family 6"),
        ("iptables_flat", "iptables --layout flat"),
        ("ipset_sets", "ipset"),
        ("ipset_rules", "ipset --part rules"),
        ("nftables", "nftables"),
    ] {
        insta::assert_snapshot!(name, rendered(arguments));
    }
}

/// Each block of rules in the README consists of parts of a golden file, in order, with `…` on a
/// line of its own where something is left out.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = fs::read_to_string(README).expect("there is a README");
    for (mark, arguments) in [
        ("iptables", "iptables"),
        ("ipset", "ipset"),
        ("ipset-rules", "ipset --part rules"),
        ("nftables", "nftables"),
    ] {
        let begin = format!("<!-- rendered: {mark} -->\n```text\n");
        let block = readme.split_once(&begin).unwrap_or_else(|| panic!("no block `{mark}`")).1;
        let block = block.split_once("```").expect("a block ends").0;
        let text = rendered(arguments);
        let mut rest = text.as_str();
        for part in block.split("…\n").filter(|part| !part.trim().is_empty()) {
            let Some(at) = rest.find(part) else {
                panic!("this part of `{mark}` in the README is not printed there:\n{part}")
            };
            rest = &rest[at + part.len()..];
        }
        assert_ne!(rest.len(), text.len(), "the block `{mark}` is empty");
    }
}

/// What the README renders is what it tells users to write.
#[test]
fn the_readmes_policy_is_the_one_that_is_rendered() {
    let readme = fs::read_to_string(README).expect("there is a README");
    let fixture = fs::read_to_string(format!("{FIXTURES}/readme.yaml")).expect("a fixture");
    let begin =
        readme.find("```yaml\napiVersion: ringfence.dev").expect("the README has documents");
    let block = readme[begin + "```yaml\n".len()..].split_once("```").expect("a block ends").0;
    assert_eq!(
        block.replace(
            "# interface: veth-db    where the route to the address does not tell",
            "interface: veth-db"
        ),
        fixture
    );
}

#[test]
fn the_same_input_gives_the_same_text() {
    for arguments in ["iptables", "iptables --layout flat", "ipset", "nftables"] {
        assert_eq!(rendered(arguments), rendered(arguments), "{arguments}");
    }
}

#[test]
fn both_families_can_be_read_together() {
    let (v4, v6) = (rendered("iptables"), rendered("iptables --family 6"));
    let both = rendered("iptables --family both");
    let expected = format!("# for iptables-restore\n{v4}# for ip6tables-restore\n{v6}");
    assert_eq!(both, expected);
}

#[test]
fn audit_reports_and_refuses_nothing() {
    for arguments in [
        "iptables",
        "iptables --family 6",
        "iptables --layout flat",
        "ipset --part rules",
        "nftables",
    ] {
        let enforced = rendered(arguments);
        let audited = rendered(&format!("{arguments} --mode audit"));
        let drops = |text: &str| {
            let rules = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            rules.filter(|line| line.contains("-j DROP") || line.contains(" drop")).count()
        };
        assert!(drops(&enforced) > 0, "{arguments}");
        assert_eq!(drops(&audited), 0, "{arguments}:\n{audited}");
        assert!(audited.contains("NFLOG") || audited.contains(" log "), "{arguments}:\n{audited}");
    }
}

#[test]
fn json_names_the_rule_of_each_line() {
    for (arguments, program) in [
        ("iptables", "iptables-restore"),
        ("iptables --family 6", "ip6tables-restore"),
        ("ipset", "ipset restore"),
        ("ipset --part rules", "iptables-restore"),
        ("nftables", "nft -f"),
    ] {
        let text = rendered(arguments);
        let json: Value = serde_json::from_str(&rendered(&format!("{arguments} -o json")))
            .expect("the output is JSON");
        assert_eq!(json["version"], 1);
        let lines = json["lines"].as_array().expect("lines are a list");
        let joined: String =
            lines.iter().map(|line| format!("{}\n", line["text"].as_str().unwrap())).collect();
        assert_eq!(joined, text, "{arguments}");
        assert!(lines.iter().all(|line| line["program"] == program), "{arguments}");
        let named: Vec<&Value> = lines.iter().filter(|line| !line["rule"].is_null()).collect();
        // The rules of ipset ask sets; the elements of those come from rules.
        assert_eq!(named.is_empty(), arguments.contains("--part rules"), "{arguments}");
        for line in named {
            assert_eq!(line["rule"], "networkpolicy/shop/database ingress[0]", "{line}");
            assert_eq!(line["origin"], "readme.yaml:21", "{line}");
            assert!(line["text"].as_str().unwrap().contains("5432"), "{line}");
        }
    }
}

#[test]
fn what_cannot_be_said_or_read_is_refused_in_one_message() {
    let mut folder = tempfile::NamedTempFile::new().expect("a temporary file");
    let workload = "{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, \
                    name: web}, spec: {addresses: [10.0.0.1], interface: 'veth+'}}\n";
    folder.write_all(workload.as_bytes()).expect("it can be written");
    let path = folder.path().to_str().expect("the path is text");
    for arguments in ["iptables", "iptables --layout flat", "ipset", "ipset --part rules"] {
        let run = render_file(path, arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments}: {}", run.stderr);
        assert_eq!(run.stderr.matches("error: ").count(), 1, "{arguments}: {}", run.stderr);
        for part in ["`veth+`", "`shop/web`"] {
            assert!(run.stderr.contains(part), "{arguments}: {part} in {}", run.stderr);
        }
    }
    for (arguments, expected) in [
        ("nftables --failsafe in:22", "`in:22`"),
        ("iptables --layout round", "round"),
        ("iptables --family 5", "5"),
        ("ebpf", "ebpf"),
    ] {
        let run = render(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{arguments}: {}", run.stderr);
    }
    let run = render_file("no-such-file.yaml", "nftables");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    assert!(run.stderr.contains("no-such-file.yaml"), "{}", run.stderr);
}

/// A host that policy selects keeps its way in, unless the list says otherwise.
#[test]
fn the_host_keeps_its_failsafe_ports() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let documents = "{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: infra, \
                     name: node}, spec: {host: true, addresses: [192.0.2.1], interface: eth0}}\n---\n\
                     {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: \
                     infra, name: closed}, spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}\n";
    file.write_all(documents.as_bytes()).expect("it can be written");
    let path = file.path().to_str().expect("the path is text");
    for arguments in ["iptables", "iptables --layout flat", "ipset", "nftables"] {
        let text = |failsafe: &str| {
            let run = render_file(path, &format!("{arguments} {failsafe} -o json"));
            assert_eq!(run.code, Some(0), "{arguments}: {}", run.stderr);
            let json: Value = serde_json::from_str(&run.stdout).expect("the output is JSON");
            let lines = json["lines"].as_array().expect("lines are a list").clone();
            let rules = lines.iter().filter_map(|line| line["origin"].as_str().map(str::to_owned));
            rules.collect::<std::collections::BTreeSet<String>>()
        };
        let open = |origins: &[&str]| origins.iter().map(|one| (*one).to_owned()).collect();
        let usual: std::collections::BTreeSet<String> =
            open(&["failsafe in:22/tcp", "failsafe out:53/udp", "failsafe out:67-68/udp"]);
        assert_eq!(text(""), usual, "{arguments}");
        assert_eq!(text("--failsafe in:2222/tcp"), open(&["failsafe in:2222/tcp"]), "{arguments}");
        assert_eq!(text("--failsafe none"), open(&[]), "{arguments}");
    }
}
