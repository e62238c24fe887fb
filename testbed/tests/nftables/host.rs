//! A host without interfaces, on which rules are installed.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use ringfence_dataplane::backend::nftables::{Nftables, NftablesError};
use ringfence_dataplane::backend::{
    Applied, Arrival, Backend as _, ChainState, Desired, Installed, Interface, Mode, Role, Settings,
};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_testbed::netns::Namespace;
use serde_json::Value;
use tempfile::TempDir;

/// A network of its own, and the folder for records.
pub struct Host {
    pub network: Namespace,
    pub records: TempDir,
}

impl Host {
    pub fn new() -> Self {
        Self { network: Namespace::new().unwrap(), records: tempfile::tempdir().unwrap() }
    }

    /// What the backend does there.
    pub fn with<T: Send>(&self, work: impl FnOnce(&mut Nftables) -> T + Send) -> T {
        let mut backend = Nftables::new(self.records.path());
        self.network.run(|| work(&mut backend)).unwrap()
    }

    pub fn try_apply(&self, desired: &Desired) -> Result<Applied, NftablesError> {
        self.with(|backend| backend.apply(desired, None))
    }

    pub fn apply(&self, desired: &Desired) -> Applied {
        self.try_apply(desired).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn installed(&self) -> Installed {
        self.with(|backend| backend.read_back()).unwrap().expect("something is installed")
    }

    /// The chains, sets and maps that are not as they were left.
    pub fn odd(&self) -> Vec<(String, ChainState)> {
        let odd = self.installed().chains.into_iter();
        let odd = odd.filter(|chain| chain.state != ChainState::InPlace);
        odd.map(|chain| (chain.chain, chain.state)).collect()
    }

    /// What nft answers, which has to succeed.
    pub fn nft(&self, arguments: &[&str]) -> String {
        let ended = self.network.run(|| nft(arguments, "")).unwrap();
        ended.unwrap_or_else(|said| panic!("nft {arguments:?}: {said}"))
    }

    /// What nft says about a text that it only looks at.
    pub fn check(&self, text: &str) -> Result<(), String> {
        self.network.run(|| nft(&["-c", "-f", "-"], text)).unwrap().map(drop)
    }

    pub fn give(&self, text: &str) {
        let ended = self.network.run(|| nft(&["-f", "-"], text)).unwrap();
        ended.unwrap_or_else(|said| panic!("{said}\n{text}"));
    }

    /// All that the kernel has, in an order of its own: without counters and without the numbers
    /// that it gives.
    pub fn everything(&self) -> Vec<String> {
        let told = self.nft(&["-s", "-j", "list", "ruleset"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        let mut place = 0;
        let mut lines: Vec<String> = Vec::new();
        for object in told["nftables"].as_array().unwrap() {
            let mut object = object.clone();
            nameless(&mut object);
            for part in ["table", "chain", "rule", "set", "map"] {
                let Some(part) = object.get_mut(part) else { continue };
                part.as_object_mut().unwrap().remove("handle");
                if let Some(elements) = part.get_mut("elem").and_then(Value::as_array_mut) {
                    elements.sort_by_key(ToString::to_string);
                }
            }
            if let Some(rule) = object.get("rule") {
                // The order of rules within a chain matters, and nothing else's.
                place += 1;
                lines.push(format!("{} {place:06} {object}", rule["chain"]));
            } else if object.get("metainfo").is_none() {
                lines.push(object.to_string());
            }
        }
        lines.sort();
        // The places only kept the order.
        let without_place = |line: String| match line.split_once(" 0") {
            Some((chain, rest)) if !line.starts_with('{') => {
                format!("{chain} {}", rest.split_once(' ').unwrap().1)
            }
            _ => line,
        };
        lines.into_iter().map(without_place).collect()
    }
}

/// Takes the hashes of chains out of `value`, and the ends of maps' names that say that they have
/// been filled anew.
fn nameless(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((name, end)) = text.rsplit_once('_')
                && matches!(end.as_bytes(), [b'b'..=b'z'])
            {
                *text = name.to_owned();
            }
            if let Some((_, about)) = text.strip_prefix("rf#").and_then(|text| text.split_once(' '))
            {
                *text = about.to_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(nameless),
        Value::Object(fields) => fields.values_mut().for_each(nameless),
        _ => {}
    }
}

fn nft(arguments: &[&str], input: &str) -> Result<String, String> {
    use std::io::Write as _;

    let mut command = Command::new("/usr/sbin/nft");
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // nft may end before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let ended = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    if ended.status.success() {
        Ok(String::from_utf8(ended.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}

/// The state of a host behind whose interface `veth-db` sits `shop/db`, by these documents.
pub fn desired(documents: &str) -> Desired {
    let text = format!(
        "---\n{{apiVersion: ringfence.dev/v1alpha1, kind: Workload, \
         metadata: {{namespace: shop, name: db, labels: {{app: db}}}}, \
         spec: {{addresses: [10.20.0.13, \"fd20::13\"]}}}}\n{documents}"
    );
    let input = Input::Text { name: "test.yaml".into(), text: text.clone() };
    let mut report = document::read(&[input], Validation::Strict);
    let policies = report.policies.take();
    let policies = policies.unwrap_or_else(|| panic!("{}", report.render(false)));
    let tables = compile(&policies).unwrap();
    let local: BTreeSet<u32> = tables.endpoints.keys().copied().collect();
    Desired {
        tables: tables.for_host(&local),
        interfaces: vec![Interface {
            index: 7,
            name: "veth-db".to_owned(),
            role: Role::Workload,
            endpoints: local,
            arrival: Arrival::Tcx,
        }],
        host_addresses: BTreeSet::new(),
        mode: Mode::Enforce,
        settings: Settings::default(),
    }
}

/// A policy for the database with a rule for each of `ports`, each with `blocks` addresses of
/// IPv4 and as many of IPv6 of its own.
pub fn many(ports: &[u16], blocks: usize) -> String {
    let rules = ports.iter().enumerate().map(|(rule, port)| {
        let peers = (0..blocks).map(|block| {
            // Never next to each other: neighbours would be one range.
            let number = 2 * (rule * blocks + block);
            let (high, low) = (number / 256, number % 256);
            format!(
                "{{ipBlock: {{cidr: 10.{}.{}.{low}/32}}}}, {{ipBlock: {{cidr: \"fd00::{number:x}/128\"}}}}",
                100 + high / 256,
                high % 256,
            )
        });
        let peers = peers.collect::<Vec<_>>().join(", ");
        format!("{{from: [{peers}], ports: [{{protocol: TCP, port: {port}}}]}}")
    });
    let rules = rules.collect::<Vec<_>>().join(",\n");
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{namespace: shop, name: db}}, \
         spec: {{podSelector: {{matchLabels: {{app: db}}}}, policyTypes: [Ingress], \
         ingress: [{rules}]}}}}\n"
    )
}
