//! A host with a small shop on it, and everything a test asks of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use aya::maps::{Array, Map, MapData};
use ringfence_common::abi::config::Config;
use ringfence_common::abi::table::Generation;
use ringfence_dataplane::backend::ebpf::{Ebpf, Pins};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::enforce::{
    self, EnforceError, HostView, Options, Paths, Status, Summary, desired, place,
};
use ringfence_dataplane::model::PolicySet;
use ringfence_testbed::connectivity::{Probe, measure, probes};
use ringfence_testbed::demo::Expectation;
use ringfence_testbed::topology::{Outsider, Topology};
use ringfence_testbed::workload::{Process, start_all};

/// The bit that a configuration has while its entries are being changed.
pub const UNFINISHED: u32 = 1 << 31;

/// The ports everybody listens on.
pub const PORTS: [u16; 2] = [5432, 8080];

/// Policies and whom they are about, read and compiled.
pub struct Documents {
    pub policies: PolicySet,
    pub digests: BTreeMap<String, String>,
    pub tables: Tables,
}

impl Documents {
    pub fn new(text: &str) -> Self {
        let input = Input::Text { name: "test.yaml".into(), text: text.into() };
        let mut report = document::read(&[input], Validation::Strict);
        let digests = report.digests();
        let policies = report.policies.take();
        let policies = policies.unwrap_or_else(|| panic!("{}\n{text}", report.render(false)));
        let digests =
            digests.into_iter().map(|(name, digest)| (name.to_string(), digest.to_string()));
        Self { tables: compile(&policies).unwrap(), digests: digests.collect(), policies }
    }

    /// The shop's workloads and these policies.
    pub fn shop(policies: &[String]) -> Self {
        Self::new(&[WORKLOADS.to_owned(), policies.join("")].concat())
    }
}

/// The node and three workloads: `shop/web`, `shop/api` and `shop/db`.
pub const WORKLOADS: &str = r#"---
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

/// A policy that lets `from` reach `app` on TCP `ports`, and nobody else anything.
pub fn ingress(app: &str, from: &[&str], ports: &[u16]) -> String {
    let from = from.iter().map(|app| format!("{{podSelector: {{matchLabels: {{app: {app}}}}}}}"));
    let ports = ports.iter().map(|port| format!("{{protocol: TCP, port: {port}}}"));
    let (from, ports) = (from.collect::<Vec<_>>().join(", "), ports.collect::<Vec<_>>().join(", "));
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{namespace: shop, name: {app}}}, \
         spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, policyTypes: [Ingress], \
         ingress: [{{from: [{from}], ports: [{ports}]}}]}}}}\n"
    )
}

/// Web may reach the API on 8080, and the API the database on 5432.
pub fn usual_policies() -> [String; 2] {
    [ingress("api", &["web"], &[8080]), ingress("db", &["api"], &[5432])]
}

pub struct Host {
    pub topology: Topology,
    pub processes: Vec<Process>,
    pub paths: Paths,
}

impl Host {
    /// A host with the shop's workloads behind it and a vendor outside.
    pub fn start() -> Self {
        let inventory = Documents::shop(&[]).policies.inventory;
        let vendor = Outsider {
            name: "vendor".into(),
            addresses: ["203.0.113.10", "2001:db8:ffff::10"].map(|a| a.parse().unwrap()).into(),
        };
        let topology = Topology::build(&inventory, &[vendor]).unwrap();
        let processes = start_all(&topology, &PORTS).unwrap();
        Self { topology, processes, paths: Paths::default() }
    }

    /// Runs `work` on the host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.topology.host().run(work).unwrap()
    }

    pub fn try_apply(
        &self,
        documents: &Documents,
        options: Options,
    ) -> Result<Summary, EnforceError> {
        self.run(|| enforce::apply(&self.paths, &documents.tables, &documents.digests, &options))
    }

    /// Applies, and checks that the maps hold then what they should.
    pub fn apply_with(&self, documents: &Documents, options: Options) -> Summary {
        let summary = self.try_apply(documents, options).unwrap_or_else(|e| panic!("{e}: {e:?}"));
        self.assert_contents(documents, options);
        summary
    }

    pub fn apply(&self, documents: &Documents) -> Summary {
        self.apply_with(documents, Options::default())
    }

    pub fn assert_contents(&self, documents: &Documents, options: Options) {
        let contents = self.contents();
        let expected = self.run(|| {
            let placement = place(&documents.tables, &HostView::read().unwrap()).unwrap();
            let desired = desired(&documents.tables, &placement, &options).unwrap();
            desired.host_tables(contents.config)
        });
        assert_eq!(contents, expected, "what the maps hold, and what they should");
        assert_eq!(contents.config.flags & UNFINISHED, 0, "{:?}", contents.config);
    }

    pub fn off(&self) -> Vec<String> {
        self.run(|| enforce::off(&self.paths)).unwrap().unwrap_or_default().hooks
    }

    pub fn status(&self) -> Option<Status> {
        self.run(|| enforce::status(&self.paths)).unwrap().pop()
    }

    /// All tables that count.
    pub fn contents(&self) -> HostTables {
        let pins = self.paths.pins();
        self.run(|| Ebpf::new(Pins::below(pins)).maps().unwrap().unwrap().contents().unwrap())
    }

    /// Writes over the configurations of both slots.
    pub fn change_configs(&self, change: impl Fn(&mut Config) + Sync) {
        let path = self.paths.pins().join("maps/GENERATIONS");
        self.run(|| {
            let map = Map::from_map_data(MapData::from_pin(&path).unwrap()).unwrap();
            let mut map: Array<MapData, Generation> = map.try_into().unwrap();
            for slot in 0..2 {
                let mut generation = map.get(&slot, 0).unwrap();
                change(&mut generation.config);
                map.set(slot, generation, 0).unwrap();
            }
        });
    }

    /// Every file and directory of ours: pins, state, lock.
    pub fn files(&self) -> BTreeSet<String> {
        self.run(|| {
            let mut found = BTreeSet::new();
            for folder in ["/sys/fs/bpf", "/var/lib", "/run"] {
                list(Path::new(folder), &mut found);
            }
            // The kernel's own, in every file system for pins.
            found.retain(|file| !file.ends_with(".debug"));
            found
        })
    }

    /// Everything that an apply may change: files, tables, hooks, verdicts' origin.
    pub fn state(&self) -> State {
        let installed = self.status();
        let text = self.paths.installed();
        State {
            files: self.files(),
            record: self.run(|| fs::read_to_string(text).ok()),
            contents: installed.as_ref().map(|_| self.contents()),
            hooks: installed.map(|status| status.installed.attached),
        }
    }

    /// Asks everybody everything and compares with what policy says; `None` is an open host.
    pub fn assert_verdicts(&self, documents: Option<&Documents>) {
        let mut probes = probes(self.topology.places(), &PORTS);
        if let Some(documents) = documents {
            let is_described = |place| self.is_outside(place) || self.describes(documents, place);
            // The host guards the interfaces of the workloads it knows, and no others.
            probes.retain(|probe| is_described(probe.source) && is_described(probe.destination));
        }
        let expectation = documents
            .map(|documents| Expectation::new(&documents.policies, self.topology.places()));
        let node = self.number("shop/node");
        let expected = |probe: &Probe| {
            // The host always reaches its own workloads (semantics 8).
            let essential = probe.source == node && !self.is_outside(probe.destination);
            essential || expectation.is_none_or(|oracle| oracle.allows(probe))
        };
        let outcomes = measure(&self.processes, &probes, &expected);
        let name = |place: usize| &self.topology.places()[place].name;
        let wrong: Vec<String> = outcomes
            .iter()
            .filter(|(probe, outcome)| outcome.allowed() != Some(expected(probe)))
            .map(|(probe, outcome)| {
                let Probe { source, destination, port, transport, family } = *probe;
                let (from, to) = (name(source), name(destination));
                format!("{from} -> {to}:{port}/{transport} {family}: {outcome}")
            })
            .collect();
        assert!(wrong.is_empty(), "{} of {} wrong: {wrong:#?}", wrong.len(), outcomes.len());
    }

    fn is_outside(&self, place: usize) -> bool {
        place == self.number("vendor")
    }

    fn describes(&self, documents: &Documents, place: usize) -> bool {
        let name = &self.topology.places()[place].name;
        documents.policies.inventory.workloads().any(|known| known.name.to_string() == *name)
    }

    /// The number of the place called `name`.
    pub fn number(&self, name: &str) -> usize {
        self.topology.places().iter().position(|place| place.name == name).unwrap()
    }
}

/// See [`Host::state`].
#[derive(Debug, PartialEq)]
pub struct State {
    files: BTreeSet<String>,
    record: Option<String>,
    contents: Option<HostTables>,
    hooks: Option<Vec<ringfence_dataplane::backend::Attached>>,
}

fn list(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        found.insert(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), found);
        }
    }
}
