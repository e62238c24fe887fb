//! The demo's steps, in order.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_common::abi::event::Event;

use super::report::milliseconds;
use super::shop::{Documents, PORTS, change, outsiders, shop};
use super::{Applied, Change, DemoError, Engine, Expectation, Phase, Report};
use crate::connectivity::{Matrix, Probe, Style, beside, measure, probes};
use crate::topology::{Family, Topology};
use crate::transfer::Transfer;
use crate::workload::{Process, Transport, start_all};

/// How long the transfer runs before the policy changes, and again after the last measurement.
const QUIET: Duration = Duration::from_millis(750);

/// The intruder of the story.
pub(super) const HVAC: &str = "building/hvac";

/// Tells the story with `engine`; text goes to `out`. Prints as it goes, so that a terminal shows
/// each step when it is done.
///
/// # Errors
///
/// [`DemoError`] when a step cannot be done at all. That something came out wrong is in the
/// report.
pub fn tell(
    engine: &mut dyn Engine,
    out: &mut dyn Write,
    style: Style,
) -> Result<Report, DemoError> {
    let started = Instant::now();
    let before = shop()?;
    let after = change()?;
    let topology = Topology::build(&before.policies.inventory, &outsiders())?;
    let processes = start_all(&topology, &PORTS)?;
    let probes = probes(topology.places(), &PORTS);
    let (topology, processes) = (&topology, processes.as_slice());
    let mut story = Story { topology, processes, probes, engine, out, style };

    story.introduce(started.elapsed())?;
    let flat = story.flat()?;
    let policy = story.policy(&before)?;
    let (changed, change) = story.change(&after, &policy)?;
    let denials = story.denials(&after)?;
    let report = Report::new(vec![flat, policy, changed], change, denials, started.elapsed());
    story.conclude(&report)?;
    Ok(report)
}

pub(super) struct Story<'a> {
    pub topology: &'a Topology,
    pub processes: &'a [Process],
    pub probes: Vec<Probe>,
    pub engine: &'a mut dyn Engine,
    pub out: &'a mut dyn Write,
    pub style: Style,
}

impl Story<'_> {
    /// Step 2: without policy.
    fn flat(&mut self) -> Result<Phase, DemoError> {
        self.heading("Without policy: a flat network")?;
        let phase = self.measure("flat", &|_| true);
        self.print_table(&phase)?;
        self.print_wrong(&phase)?;
        Ok(phase)
    }

    /// Step 3: the shop's policies.
    fn policy(&mut self, documents: &Documents) -> Result<Phase, DemoError> {
        self.heading("ringfence apply -f testbed/manifests/shop")?;
        let applied = self.apply(documents)?;
        for line in applied.lines {
            writeln!(self.out, "{line}")?;
        }
        self.heading("Every connection again, under policy")?;
        let phase = self.measure_under(documents, "policy");
        self.print_table(&phase)?;
        self.heading("What policy expects (by the oracle) beside what happened")?;
        write!(self.out, "{}", beside(&phase.matrix, self.style))?;
        Ok(phase)
    }

    /// Step 4: one policy changes while a transfer runs.
    fn change(
        &mut self,
        documents: &Documents,
        before: &Phase,
    ) -> Result<(Phase, Change), DemoError> {
        self.heading("One policy changes while shop/api-server is busy")?;
        let what = "In networkpolicy/shop/api-server the tills lose the API (one is suspect), and \
                    monitoring may ask for its health.";
        writeln!(self.out, "{what}")?;
        let streams = self.streams();
        let transfer = Transfer::start(self.processes, &streams);
        sleep(QUIET);
        let started = Instant::now();
        let applied = self.apply(documents)?;
        let took = started.elapsed();
        let phase = self.measure_under(documents, "change");
        sleep(QUIET);
        let change = Change::new(&before.matrix, &phase.matrix, transfer.finish());

        for line in applied.lines.iter().filter(|line| !line.ends_with(" unchanged")) {
            writeln!(self.out, "{line}")?;
        }
        self.print_flips(&change, took)?;
        self.print_wrong(&phase)?;
        self.print_transfer(&streams, &change)?;
        Ok((phase, change))
    }

    /// The transfer: the API to its database over TCP, and to the name server over UDP.
    fn streams(&self) -> Vec<Probe> {
        let source = self.number("shop/api-server");
        let to = |destination, port, transport| {
            Family::ALL.map(|family| Probe { source, destination, port, transport, family })
        };
        let database = to(self.number("shop/database"), 5432, Transport::Tcp);
        let dns = to(self.number("platform/dns"), 53, Transport::Udp);
        [database, dns].concat()
    }

    fn apply(&mut self, documents: &Documents) -> Result<Applied, DemoError> {
        let engine = &mut *self.engine;
        self.topology
            .host()
            .run(|| engine.apply(&documents.policies, &documents.report))?
            .map_err(|source| DemoError::Engine { what: "apply the policies", source })
    }

    /// The engine's events since the last call.
    pub fn events(&mut self) -> Result<Vec<Event>, DemoError> {
        let engine = &mut *self.engine;
        self.topology
            .host()
            .run(|| engine.events())?
            .map_err(|source| DemoError::Engine { what: "read its events", source })
    }

    fn measure_under(&self, documents: &Documents, name: &'static str) -> Phase {
        let expectation = Expectation::new(&documents.policies, self.topology.places());
        self.measure(name, &|probe| expectation.allows(probe))
    }

    fn measure(&self, name: &'static str, expected: &dyn Fn(&Probe) -> bool) -> Phase {
        let started = Instant::now();
        let outcomes = measure(self.processes, &self.probes, expected);
        let names = self.topology.places().iter().map(|place| place.name.clone()).collect();
        let matrix = Matrix::new(names, outcomes, expected);
        Phase {
            name,
            open: matrix.open(),
            wrong: matrix.wrong().count(),
            hvac_reaches: matrix.reached_from(self.number(HVAC)).len(),
            duration_ms: milliseconds(started.elapsed()),
            matrix,
        }
    }

    /// The number of a place of the story.
    pub fn number(&self, name: &str) -> usize {
        let position = self.topology.places().iter().position(|place| place.name == name);
        position.expect("the shop's documents describe every workload of the story")
    }
}
