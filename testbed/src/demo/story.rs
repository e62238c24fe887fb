//! The demo's steps, in order.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Zoned};
use nix::time::{ClockId, clock_gettime};
use ringfence_common::abi::event::Event;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::model::Direction;
use ringfence_dataplane::observe;

use super::report::milliseconds;
use super::shop::{Documents, PORTS, change, outsiders, shop};
use super::{Applied, Change, DemoError, Engine, Expectation, Phase, Report};
use crate::connectivity::{Flip, Matrix, Probe, Style, beside, measure, probes, table};
use crate::topology::{Family, Topology};
use crate::transfer::Transfer;
use crate::workload::{Process, Transport, start_all};

/// How long the transfer runs before the policy changes, and again after the last measurement.
const QUIET: Duration = Duration::from_millis(750);

/// How long an event may take from the kernel to its reader.
const EVENT_DELAY: Duration = Duration::from_millis(200);

/// The intruder of the story.
const HVAC: &str = "building/hvac";

/// Where it wants to go.
const TARGETS: [&str; 2] = ["stores/pos", "shop/database"];

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
    let mut story = Story { processes, topology: &topology, probes, engine, out, style };

    story.introduce(started.elapsed())?;
    let flat = story.flat()?;
    let policy = story.policy(&before)?;
    let (changed, change) = story.change(&after, &policy)?;
    let denials = story.denials(&after)?;
    let report = Report::new(vec![flat, policy, changed], change, denials, started.elapsed());
    story.conclude(&report)?;
    Ok(report)
}

struct Story<'a> {
    processes: Vec<Process>,
    topology: &'a Topology,
    probes: Vec<Probe>,
    engine: &'a mut dyn Engine,
    out: &'a mut dyn Write,
    style: Style,
}

impl Story<'_> {
    fn heading(&mut self, text: &str) -> Result<(), DemoError> {
        writeln!(self.out, "\n{}", self.style.bold(text))?;
        Ok(())
    }

    /// Step 1: what is where.
    fn introduce(&mut self, took: Duration) -> Result<(), DemoError> {
        let title = "A shop, in network namespaces that this process alone holds";
        writeln!(self.out, "{}", self.style.bold(title))?;
        for place in self.topology.places() {
            let (v4, v6) = (place.v4.to_string(), place.v6.to_string());
            let whereabouts = match &place.interface {
                Some(interface) => format!("behind {interface}"),
                None if place.name.contains('/') => "the host itself".to_owned(),
                None => "outside, behind uplink".to_owned(),
            };
            writeln!(self.out, "  {:<19} {v4:<13} {v6:<20} {whereabouts}", place.name)?;
        }
        let ports = PORTS.map(|port| port.to_string()).join(", ");
        writeln!(
            self.out,
            "Each listens on {ports} over TCP and UDP, IPv4 and IPv6. ({})",
            seconds(took)
        )?;
        Ok(())
    }

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
        let places = self.topology.places();
        let expectation = Expectation::new(&documents.policies, places);
        let phase = self.measure("policy", &|probe| expectation.allows(probe));
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
        writeln!(
            self.out,
            "In networkpolicy/shop/api-server the tills lose the API (one is suspect) and \
             monitoring may ask for its health."
        )?;
        let streams = self.streams();
        // The transfer borrows the processes while the story goes on.
        let processes = std::mem::take(&mut self.processes);
        let transfer = Transfer::start(&processes, &streams);
        sleep(QUIET);
        let started = Instant::now();
        let applied = self.apply(documents);
        let took = started.elapsed();
        let outcome = applied.map(|applied| {
            let expectation = Expectation::new(&documents.policies, self.topology.places());
            let expected = |probe: &Probe| expectation.allows(probe);
            (applied, measure_phase("change", &processes, &self.probes, self.topology, &expected))
        });
        sleep(QUIET);
        let transfer = transfer.finish();
        self.processes = processes;
        let (applied, phase) = outcome?;

        for line in applied.lines.iter().filter(|line| !line.ends_with(" unchanged")) {
            writeln!(self.out, "{line}")?;
        }
        let change = Change::new(&before.matrix, &phase.matrix, transfer);
        self.print_flips(&change, took)?;
        self.print_wrong(&phase)?;
        self.print_transfer(&streams, &change)?;
        Ok((phase, change))
    }

    /// Step 5: the air conditioning tries the tills. The lines of the deny events, and how many
    /// attempts have none.
    fn denials(&mut self, documents: &Documents) -> Result<(Vec<String>, usize), DemoError> {
        self.heading(&format!("{HVAC} is taken over and looks around"))?;
        self.events()?;
        let attempts: Vec<Probe> =
            self.probes.iter().copied().filter(|p| self.is_attack(p)).collect();
        let expectation = Expectation::new(&documents.policies, self.topology.places());
        let outcomes = measure(&self.processes, &attempts, &|probe| expectation.allows(probe));
        sleep(EVENT_DELAY);
        let events = self.events()?;
        let mut lines = Vec::new();
        let mut missing = 0;
        for attempt in attempts {
            let denied = outcomes[&attempt].allowed() == Some(false);
            let event = events.iter().find(|event| denied && self.tells_of(event, &attempt));
            let Some(event) = event else {
                missing += 1;
                continue;
            };
            let inventory = &documents.policies.inventory;
            lines.push(observe::flow_line(event, inventory, &happened_at(event)));
            writeln!(self.out, "{}", lines[lines.len() - 1])?;
            writeln!(self.out, "  {}", self.style.faint(&reason(event)))?;
        }
        if missing > 0 {
            let text = format!("{missing} attempts without a deny event  <---- WRONG");
            writeln!(self.out, "{}", self.style.bad(&text))?;
        }
        Ok((lines, missing))
    }

    /// Step 6: in short.
    fn conclude(&mut self, report: &Report) -> Result<(), DemoError> {
        self.heading("In short")?;
        let reach: Vec<String> =
            report.phases.iter().map(|phase| phase.hvac_reaches.to_string()).collect();
        writeln!(self.out, "  {HVAC} reached {} places, then {}", reach[0], reach[1])?;
        let wrong = format!(
            "  {} cells tried in {} rounds, {} wrong; {} packets of the transfer lost",
            grouped(report.cells()),
            report.phases.len(),
            report.wrong(),
            report.change.packets_lost
        );
        let verdict =
            if report.is_good() { self.style.good(&wrong) } else { self.style.bad(&wrong) };
        writeln!(self.out, "{verdict}")?;
        let duration = seconds(Duration::from_millis(report.duration_ms));
        writeln!(self.out, "  {duration}; nothing is left behind")?;
        Ok(())
    }

    fn apply(&mut self, documents: &Documents) -> Result<Applied, DemoError> {
        let engine = &mut *self.engine;
        self.topology
            .host()
            .run(|| engine.apply(&documents.policies, &documents.report))?
            .map_err(|source| DemoError::Engine { what: "apply the policies", source })
    }

    fn events(&mut self) -> Result<Vec<Event>, DemoError> {
        let engine = &mut *self.engine;
        self.topology
            .host()
            .run(|| engine.events())?
            .map_err(|source| DemoError::Engine { what: "read its events", source })
    }

    fn measure(&self, name: &'static str, expected: &dyn Fn(&Probe) -> bool) -> Phase {
        measure_phase(name, &self.processes, &self.probes, self.topology, expected)
    }

    /// The transfer: the API to its database over TCP, and to the name server over UDP.
    fn streams(&self) -> Vec<Probe> {
        let number = |name| number_of(self.topology, name);
        let (source, database, dns) =
            (number("shop/api-server"), number("shop/database"), number("platform/dns"));
        let to = |destination, port, transport| {
            Family::ALL.map(|family| Probe { source, destination, port, transport, family })
        };
        [to(database, 5432, Transport::Tcp), to(dns, 53, Transport::Udp)].concat()
    }

    /// Whether a probe is one of the air conditioning's attempts that are shown.
    fn is_attack(&self, probe: &Probe) -> bool {
        let service =
            if probe.destination == number_of(self.topology, TARGETS[0]) { 8080 } else { 5432 };
        probe.source == number_of(self.topology, HVAC)
            && TARGETS.iter().any(|name| probe.destination == number_of(self.topology, name))
            && probe.port == service
            && probe.transport == Transport::Tcp
    }

    fn tells_of(&self, event: &Event, probe: &Probe) -> bool {
        let places = self.topology.places();
        let ends: (IpAddr, IpAddr) = (
            places[probe.source].address(probe.family),
            places[probe.destination].address(probe.family),
        );
        event.verdict == Verdict::Deny as u8
            && observe::addresses(event) == ends
            && event.destination_port == probe.port
            && event.protocol == probe.transport.number()
    }

    fn print_table(&mut self, phase: &Phase) -> Result<(), DemoError> {
        write!(self.out, "{}", table(&phase.matrix, self.style))?;
        let legend = "t TCP, u UDP, tu both; all: every port, .: none, -: not asked";
        writeln!(self.out, "{}", self.style.faint(legend))?;
        let others = phase.matrix.asked_from(number_of(self.topology, HVAC)).len();
        writeln!(
            self.out,
            "{} of {} cells answered ({}). {HVAC} reaches {} of {others} others.",
            grouped(phase.open),
            grouped(phase.matrix.cells.len()),
            seconds(Duration::from_millis(phase.duration_ms)),
            phase.hvac_reaches,
        )?;
        Ok(())
    }

    /// Prints expected beside actual only where something is wrong.
    fn print_wrong(&mut self, phase: &Phase) -> Result<(), DemoError> {
        if phase.wrong > 0 {
            write!(self.out, "{}", beside(&phase.matrix, self.style))?;
        }
        Ok(())
    }

    fn print_flips(&mut self, change: &Change, took: Duration) -> Result<(), DemoError> {
        writeln!(
            self.out,
            "Cells that flip: {} predicted by the oracle, {} measured (applied in {} ms).",
            change.flips_predicted,
            change.flips_measured,
            milliseconds(took)
        )?;
        let (predicted, measured): (BTreeSet<Flip>, BTreeSet<Flip>) =
            (change.predicted.iter().copied().collect(), change.measured.iter().copied().collect());
        for flip in predicted.union(&measured) {
            let line = self.flip_line(flip);
            let mark = match (predicted.contains(flip), measured.contains(flip)) {
                (true, true) => "",
                (true, false) => "  predicted, not measured  <---- WRONG",
                (false, _) => "  measured, not predicted  <---- WRONG",
            };
            let line = format!("  {line}{mark}");
            let line = if mark.is_empty() { line } else { self.style.bad(&line) };
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn flip_line(&self, flip: &Flip) -> String {
        let Probe { source, destination, port, transport, family } = flip.probe;
        let places = self.topology.places();
        let change = if flip.opened { "denied -> allowed" } else { "allowed -> denied" };
        let (source, destination) = (&places[source].name, &places[destination].name);
        format!("{source:<20} -> {destination:<16} {transport} {port} {family}  {change}")
    }

    fn print_transfer(&mut self, streams: &[Probe], change: &Change) -> Result<(), DemoError> {
        writeln!(self.out, "The transfer that ran meanwhile, a numbered record each millisecond:")?;
        for (probe, stream) in streams.iter().zip(&change.transfer.streams) {
            let destination = &self.topology.places()[probe.destination].name;
            let line = format!(
                "  -> {destination:<14} {} {:<5} {}  sent {}, answered {}, lost {}",
                probe.transport,
                probe.port,
                probe.family,
                grouped_u64(stream.sent),
                grouped_u64(stream.answered),
                stream.lost()
            );
            let broken = stream.broken.as_ref().map(|why| format!(", broken: {why}"));
            writeln!(self.out, "{line}{}", broken.unwrap_or_default())?;
        }
        match change.transfer.segments_lost {
            Some(lost) => writeln!(self.out, "  TCP segments that had to be sent again: {lost}")?,
            None => writeln!(self.out, "  TCP's counters cannot be read  <---- WRONG")?,
        }
        Ok(())
    }
}

fn measure_phase(
    name: &'static str,
    processes: &[Process],
    probes: &[Probe],
    topology: &Topology,
    expected: &dyn Fn(&Probe) -> bool,
) -> Phase {
    let started = Instant::now();
    let outcomes = measure(processes, probes, expected);
    let names = topology.places().iter().map(|place| place.name.clone()).collect();
    let matrix = Matrix::new(names, outcomes, expected);
    Phase {
        name,
        open: matrix.open(),
        wrong: matrix.wrong().count(),
        hvac_reaches: matrix.reached_from(number_of(topology, HVAC)).len(),
        duration_ms: milliseconds(started.elapsed()),
        matrix,
    }
}

/// The number of a place of the story.
fn number_of(topology: &Topology, name: &str) -> usize {
    let position = topology.places().iter().position(|place| place.name == name);
    position.expect("the shop's documents describe every workload of the story")
}

/// When an event happened: it carries the time since the machine started.
fn happened_at(event: &Event) -> Zoned {
    let now = Zoned::now();
    let age = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|time| Duration::from(time).saturating_sub(Duration::from_nanos(event.time_ns)));
    let age = age.ok().and_then(|age| SignedDuration::try_from(age).ok()).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

/// Why an event's packet was denied, in a sentence.
fn reason(event: &Event) -> String {
    let (end, direction) = match event.direction {
        direction if direction == Direction::Egress as u8 => ("source", "egress"),
        _ => ("destination", "ingress"),
    };
    match Reason::from_number(event.reason) {
        Some(reason @ Reason::NoRule) => {
            format!(
                "{}: the {end} is isolated for {direction} and no rule allows this",
                reason.name()
            )
        }
        Some(reason) => reason.name().to_owned(),
        None => format!("reason {}", event.reason),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn grouped(number: usize) -> String {
    grouped_u64(u64::try_from(number).unwrap_or(u64::MAX))
}

/// `12345` as `12,345`.
fn grouped_u64(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped_u64(number), text);
        }
    }
}
