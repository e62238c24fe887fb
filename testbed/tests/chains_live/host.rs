//! A host with workloads on it that one backend guards, applied as `ringfence apply` does it.

use std::collections::BTreeMap;
use std::process::Command;

use ringfence_dataplane::backend::Settings;
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::enforce::{self, EnforceError, Options, Paths, Status, Summary};
use ringfence_dataplane::model::{Inventory, PolicySet};
use ringfence_testbed::suite::live::Backend;
use ringfence_testbed::topology::{Outsider, Place, Topology};
use ringfence_testbed::workload::{Process, start_all};

/// The ports everybody listens on.
pub const PORTS: [u16; 1] = [5432];

/// Workloads of the namespace `shop` that are called and labelled `names`, and the policies of
/// `documents`.
pub fn policies(names: &[&str], documents: &str) -> PolicySet {
    let workload = |(number, name): (u32, &&str)| {
        format!(
            "---\n{{apiVersion: ringfence.dev/v1alpha1, kind: Workload, \
             metadata: {{namespace: shop, name: {name}, labels: {{app: {name}}}}}, \
             spec: {{addresses: [10.20.0.{number}, \"fd20::{number}\"]}}}}\n"
        )
    };
    let workloads: String = (11..).zip(names).map(workload).collect();
    let input = Input::Text { name: "test.yaml".into(), text: workloads + "---\n" + documents };
    let mut report = document::read(&[input], Validation::Strict);
    report.policies.take().unwrap_or_else(|| panic!("{}", report.render(false)))
}

pub struct Host {
    pub backend: Backend,
    pub settings: Settings,
    topology: Topology,
    processes: Vec<Process>,
    paths: Paths,
}

impl Host {
    pub fn start(backend: Backend, inventory: &Inventory, outsiders: &[Outsider]) -> Self {
        let topology = Topology::build(inventory, outsiders).unwrap();
        let processes = start_all(&topology, &PORTS).unwrap();
        let (settings, paths) = (Settings::default(), Paths::default());
        Self { backend, settings, topology, processes, paths }
    }

    pub fn try_apply(&self, policies: &PolicySet) -> Result<Summary, EnforceError> {
        let tables = compile(policies).unwrap();
        let backend = self.backend.choice().unwrap();
        let options = Options { backend, settings: self.settings, ..Options::default() };
        self.run(|| enforce::apply(&self.paths, &tables, &BTreeMap::new(), &options))
    }

    pub fn apply(&self, policies: &PolicySet) -> Summary {
        let applied = self.try_apply(policies);
        applied.unwrap_or_else(|error| panic!("{}: {error}: {error:?}", self.backend))
    }

    /// What is installed.
    pub fn status(&self) -> Status {
        let mut all = self.run(|| enforce::status(&self.paths)).unwrap();
        assert_eq!(all.len(), 1, "{}: {all:?}", self.backend);
        all.remove(0)
    }

    /// Runs `work` on the host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.topology.host().run(work).unwrap()
    }

    /// What a command prints that runs on the host and has to go well.
    pub fn command(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = self.run(|| Command::new(words[0]).args(&words[1..]).output().unwrap());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn place(&self, name: &str) -> &Place {
        self.topology.place(name).unwrap_or_else(|| panic!("there is no `{name}`"))
    }

    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    pub fn process(&self, name: &str) -> &Process {
        &self.processes[self.number(name)]
    }

    /// The number of the place called `name`.
    pub fn number(&self, name: &str) -> usize {
        self.topology.places().iter().position(|place| place.name == name).unwrap()
    }

    /// All rules and sets that the tools of `iptables`, `ipset` and `nft` list, without counters.
    pub fn rules(&self) -> String {
        let saved = ["iptables-legacy-save", "ip6tables-legacy-save", "ipset save"];
        let saved = saved.map(|line| self.command(line)).concat();
        // Comments have the time, and policies of the kernel's chains the packets.
        let lines = saved.lines().filter(|line| !line.starts_with('#'));
        let without_counts = lines.map(|line| line.split(" [").next().unwrap_or(line));
        let mut rules: Vec<&str> = without_counts.collect();
        let tables = self.command("nft --stateless list ruleset");
        rules.extend(tables.lines());
        rules.join("\n")
    }
}
