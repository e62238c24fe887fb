//! A host with a small shop on it, and the command that runs there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ringfence_common::abi::config::Config;
use ringfence_dataplane::backend::Backend as _;
use ringfence_dataplane::backend::ebpf::{Ebpf, Pins};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_testbed::topology::{Outsider, Topology};
use tempfile::TempDir;

/// The node and three workloads: `shop/web`, `shop/api` and `shop/db`.
const WORKLOADS: &str = r#"
{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, name: node},
 spec: {host: true, addresses: [10.20.0.1, "fd20::1"]}}
---
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

/// A policy that lets `from` reach `app` on TCP `port`, and nobody else anything.
pub fn ingress(app: &str, from: &str, port: u16) -> String {
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{namespace: shop, name: {app}}}, \
         spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, policyTypes: [Ingress], ingress: \
         [{{from: [{{podSelector: {{matchLabels: {{app: {from}}}}}}}], ports: [{{port: {port}}}]}}]}}}}\n"
    )
}

/// A policy of the whole cluster, `rest` being what follows its rules' peers.
pub fn cluster(name: &str, action: &str, rest: &str) -> String {
    format!(
        "---\n{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, \
         metadata: {{name: {name}}}, \
         spec: {{tier: Admin, priority: 10, subject: {{namespaces: {{}}}}, ingress: \
         [{{action: {action}, from: [{{namespaces: {{}}}}]{rest}}}]}}}}\n"
    )
}

pub struct Host {
    topology: Topology,
    folder: TempDir,
}

/// What a run of the command came to.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Checks that the run failed with `code` and one message that has all `parts`.
    pub fn assert_refused(&self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        let errors = self.stderr.matches("error: ").count();
        assert_eq!(errors, 1, "one message: {self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` in {}", self.stderr);
        }
    }
}

impl Host {
    pub fn start() -> Self {
        let input = Input::Text { name: "workloads.yaml".into(), text: WORKLOADS.into() };
        let policies = document::read(&[input], Validation::Strict).policies;
        let outsider = Outsider {
            name: "vendor".into(),
            addresses: vec![
                [203, 0, 113, 10].into(),
                [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10].into(),
            ],
        };
        let inventory = policies.expect("the documents are right").inventory;
        let topology = Topology::build(&inventory, &[outsider]).expect("the host can be built");
        Self { topology, folder: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Runs `work` on the host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.topology.host().run(work).expect("the host can be entered")
    }

    /// Runs `work` outside of the host, at an address that no document knows.
    pub fn run_outside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let outside = self.topology.place("vendor").expect("there is an outsider");
        outside.namespace.run(work).expect("its namespace can be entered")
    }

    /// Writes the workloads and `policies` into a file.
    pub fn documents(&self, name: &str, policies: &[String]) -> PathBuf {
        let path = self.folder.path().join(name);
        let text = [WORKLOADS, &policies.join("")].concat();
        fs::write(&path, text).expect("the file can be written");
        path
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the command on the host, and changes it before.
    pub fn ringfence_with(&self, arguments: &[&str], change: impl Fn(&mut Command) + Sync) -> Run {
        let output = self.run(|| {
            let mut command = command(Path::new(env!("CARGO_BIN_EXE_ringfence")), arguments);
            change(&mut command);
            command.output().expect("the command runs")
        });
        let text = |bytes| String::from_utf8(bytes).expect("the output is text");
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub fn ringfence(&self, arguments: &[&str]) -> Run {
        self.ringfence_with(arguments, |_| {})
    }

    pub fn apply(&self, documents: &Path) -> Run {
        self.ringfence(&["apply", "-f", documents.to_str().expect("the path is text")])
    }

    /// All tables that count, without what differs from apply to apply; nothing where nothing is
    /// installed.
    pub fn contents(&self) -> Option<HostTables> {
        self.run(|| {
            let backend = Ebpf::new(Pins::below("/sys/fs/bpf/ringfence"));
            if backend.generation().expect("the pins are whole") == 0 {
                return None;
            }
            let maps = backend.maps().expect("the maps are whole")?;
            let contents = maps.contents().expect("the maps can be read");
            Some(HostTables { config: Config::default(), ..contents })
        })
    }
}

/// The command, silent and alone with its arguments.
pub fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["--color", "never"]).args(arguments).stdin(Stdio::null());
    let variables = [
        "ROOT",
        "MODE",
        "HOOK",
        "BACKEND",
        "IPTABLES",
        "LAYOUT",
        "FAILSAFE",
        "VALIDATE",
        "DEFAULT_NAMESPACE",
        "LOG",
    ];
    for variable in variables {
        command.env_remove(format!("RINGFENCE_{variable}"));
    }
    command
}
