//! A host with three workloads and other people's rules, and what a test asks of it.

use std::path::Path;
use std::process::Command;

use ringfence_dataplane::backend::chains::hash::HASH_MARK;
use ringfence_dataplane::backend::ipset::Ipset;
use ringfence_dataplane::backend::iptables::{Iptables, Layout};
use ringfence_dataplane::backend::xtables::{Variant, XtablesError};
use ringfence_dataplane::backend::{
    Applied, Arrival, Backend, ChainState, Desired, Interface, Mode, Role, Settings,
};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::require::{self, Tool};

/// Everything that the tests here run.
const TOOLS: &[Tool] = &[Tool::IptablesLegacy, Tool::IptablesNft, Tool::Ipset];

const WORKLOADS: &str = r#"---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: web, labels: {app: web}},
 spec: {addresses: [10.20.0.11, "fd20::11"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: api, labels: {app: api}},
 spec: {addresses: [10.20.0.12, "fd20::12"]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: db, labels: {app: db}},
 spec: {addresses: [10.20.0.13, "fd20::13"]}}
"#;

/// A policy that lets `blocks` reach the workload `app` on TCP `port`, and nobody else anything.
pub fn ingress(app: &str, blocks: &[&str], port: u16) -> String {
    let blocks: Vec<String> =
        blocks.iter().map(|block| format!("{{ipBlock: {{cidr: \"{block}\"}}}}")).collect();
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{namespace: shop, name: {app}}}, \
         spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, policyTypes: [Ingress], \
         ingress: [{{from: [{}], ports: [{{protocol: TCP, port: {port}}}]}}]}}}}\n",
        blocks.join(", ")
    )
}

/// What the host shall do with these policies. Each workload is behind an interface of its own.
pub fn desired(policies: &[String]) -> Desired {
    let text = [WORKLOADS.to_owned(), policies.join("")].concat();
    let input = Input::Text { name: "test.yaml".into(), text: text.clone() };
    let mut report = document::read(&[input], Validation::Strict);
    let policies = report.policies.take();
    let policies = policies.unwrap_or_else(|| panic!("{}\n{text}", report.render(false)));
    let tables = compile(&policies).unwrap();
    let interface = |(index, number): (u32, &u32)| Interface {
        index,
        name: format!("wl{index}"),
        role: Role::Workload,
        endpoints: [*number].into(),
        arrival: Arrival::Tcx,
    };
    Desired {
        interfaces: (0..).zip(tables.endpoints.keys()).map(interface).collect(),
        tables,
        host_addresses: [].into(),
        mode: Mode::Enforce,
        settings: Settings::default(),
    }
}

/// Two workloads with a policy each: what most tests begin with.
pub fn shop() -> Desired {
    desired(&[
        ingress("db", &["10.1.0.0/16", "10.2.0.0/16", "fd01::/64"], 5432),
        ingress("web", &["10.3.0.0/16", "fd03::/64"], 8080),
    ])
}

/// The same, but one more block may reach the database.
pub fn shop_with_one_more() -> Desired {
    desired(&[
        ingress("db", &["10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16", "fd01::/64"], 5432),
        ingress("web", &["10.3.0.0/16", "fd03::/64"], 8080),
    ])
}

/// The policy that replaces [`shop`]: everything of it is different, in both families.
pub fn other_shop() -> Desired {
    let mut other = desired(&[
        ingress("api", &["10.7.0.0/16", "fd07::/64"], 443),
        ingress("db", &["10.8.0.0/16", "fd08::/64"], 5433),
    ]);
    // The raw table changes too.
    for interface in &mut other.interfaces {
        interface.name = format!("new{}", interface.index);
    }
    other
}

/// A host of its own: with its own network, lock of iptables, and records.
pub struct Scene {
    namespace: Namespace,
    records: tempfile::TempDir,
    pub variant: Variant,
}

impl Scene {
    /// One scene for each variant; none where the test is to be skipped.
    pub fn each() -> Vec<Self> {
        let Some(_granted) = require::tools(TOOLS) else { return Vec::new() };
        Variant::ALL.map(Self::new).into()
    }

    /// A scene for one variant.
    pub fn of(variant: Variant) -> Option<Self> {
        require::tools(TOOLS).map(|_granted| Self::new(variant))
    }

    fn new(variant: Variant) -> Self {
        let records = tempfile::tempdir().unwrap();
        let scene = Self { namespace: Namespace::isolated_host().unwrap(), records, variant };
        scene.shell(OTHERS);
        scene
    }

    /// Runs `work` on the host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(work).unwrap()
    }

    pub fn records(&self) -> &Path {
        self.records.path()
    }

    pub fn iptables(&self) -> Iptables {
        Iptables::new(self.records().to_owned(), Some(self.variant), Layout::Structured)
    }

    pub fn ipset(&self) -> Ipset {
        Ipset::new(self.records().to_owned(), Some(self.variant))
    }

    pub fn apply<B>(&self, backend: &mut B, desired: &Desired) -> Result<Applied, XtablesError>
    where
        B: Backend<Error = XtablesError> + Send + Sync,
    {
        self.run(|| backend.apply(desired, None))
    }

    /// Applies what has to be taken.
    pub fn applied<B>(&self, backend: &mut B, desired: &Desired) -> Applied
    where
        B: Backend<Error = XtablesError> + Send + Sync,
    {
        let applied = self.apply(backend, desired).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(self.astray(backend), [""; 0], "after an apply with {}", self.variant);
        applied
    }

    /// What is not as it was left, a line each.
    pub fn astray<B>(&self, backend: &B) -> Vec<String>
    where
        B: Backend<Error = XtablesError> + Sync,
    {
        let installed = self.run(|| backend.read_back()).unwrap().unwrap();
        let astray = installed.chains.iter().filter(|chain| chain.state != ChainState::InPlace);
        astray.map(|chain| format!("{} {} {}", chain.table, chain.chain, chain.state)).collect()
    }

    /// Runs a script, in which `iptables` and `ip6tables` are those of the scene's variant.
    pub fn shell(&self, script: &str) -> String {
        let variant = match self.variant {
            Variant::Legacy => "legacy",
            Variant::Nft => "nft",
        };
        let names = format!(
            "iptables() {{ iptables-{variant} \"$@\"; }}\n\
             ip6tables() {{ ip6tables-{variant} \"$@\"; }}\n\
             saved() {{ iptables-{variant}-save; ip6tables-{variant}-save; ipset save -sorted; }}\n"
        );
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &format!("{names}{script}")]).env("LC_ALL", "C");
        let output = self.run(|| shell.output()).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything that the variant and ipset hold, line by line, without the time and counters.
    pub fn saved(&self) -> Vec<String> {
        let saved = self.shell("saved");
        let lines = saved.lines().filter(|line| !line.starts_with('#'));
        let without_counters = |line: &str| match line.strip_prefix(':') {
            Some(chain) => format!(":{}", chain.split(" [").next().unwrap()),
            None => line.split(" hashsize").next().unwrap().to_owned(),
        };
        lines.map(without_counters).collect()
    }

    /// Of that, what is not ours.
    pub fn others(&self) -> Vec<String> {
        let is_ours = |line: &String| {
            let names =
                [":RF-", ":RINGFENCE-", "create rf4-", "create rf6-", "add rf4-", "add rf6-"];
            names.iter().any(|name| line.starts_with(name))
                || [HASH_MARK, "rf:"].iter().any(|mark| {
                    let quoted = format!("--comment \"{mark}");
                    line.contains(&quoted) || line.contains(&quoted.replace('"', ""))
                })
        };
        self.saved().into_iter().filter(|line| !is_ours(line)).collect()
    }
}

/// Rules, chains and a set that are not ours, in every table that we use and in two others.
const OTHERS: &str = r#"
for family in iptables ip6tables; do
    $family -t raw -A PREROUTING -i eth7 -j ACCEPT
    $family -t mangle -A FORWARD -j MARK --set-mark 7
    $family -t nat -A POSTROUTING -o eth7 -j MASQUERADE
    $family -N DOCKER-USER
    $family -A DOCKER-USER -m comment --comment "not \"ours\" rf: at all" -j RETURN
    $family -A FORWARD -j DOCKER-USER
    $family -A INPUT -p tcp --dport 22 -j ACCEPT
    $family -P INPUT DROP
    $family -A OUTPUT -m comment --comment others -j ACCEPT
done
ipset create blocklist hash:ip comment
ipset add blocklist 192.0.2.1 comment "not ours"
"#;
