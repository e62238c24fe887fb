//! The air conditioning's attempts, and the events that tell of them.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use jiff::{SignedDuration, Zoned};
use nix::time::{ClockId, clock_gettime};
use ringfence_common::abi::event::Event;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::model::Direction;
use ringfence_dataplane::observe;

use super::story::{HVAC, Story};
use super::{DemoError, Documents};
use crate::connectivity::{Probe, measure};
use crate::topology::Family;
use crate::workload::Transport;

/// How long an event may take from the kernel to its reader.
const EVENT_DELAY: Duration = Duration::from_millis(200);

/// Where the air conditioning wants to go: place and TCP port.
const TARGETS: [(&str, u16); 2] = [("stores/pos", 8080), ("shop/database", 5432)];

impl Story<'_> {
    /// Step 5: the air conditioning tries the tills and the database. Gives the lines of the deny
    /// events, and how many attempts were not denied or have no event.
    pub fn denials(&mut self, documents: &Documents) -> Result<(Vec<String>, usize), DemoError> {
        self.heading(&format!("{HVAC} is taken over and looks around"))?;
        let attempts = self.attempts();
        // What happened until now is not asked about.
        self.events()?;
        let outcomes = measure(self.processes, &attempts, &|_| false);
        sleep(EVENT_DELAY);
        let events = self.events()?;
        let mut lines = Vec::new();
        let mut reasons = BTreeSet::new();
        for attempt in &attempts {
            let denied = outcomes[attempt].allowed() == Some(false);
            let event = events.iter().find(|event| denied && self.tells_of(event, attempt));
            let Some(event) = event else { continue };
            let inventory = &documents.policies.inventory;
            let line = observe::flow_line(event, inventory, &happened_at(event));
            writeln!(self.out, "{line}")?;
            reasons.insert(reason(event));
            lines.push(line);
        }
        for reason in reasons {
            writeln!(self.out, "  {}", self.style.faint(&reason))?;
        }
        let missing = attempts.len() - lines.len();
        if missing > 0 {
            let text = format!("{missing} attempts without a deny event  <---- WRONG");
            writeln!(self.out, "{}", self.style.bad(&text))?;
        }
        Ok((lines, missing))
    }

    fn attempts(&self) -> Vec<Probe> {
        let (source, transport) = (self.number(HVAC), Transport::Tcp);
        TARGETS
            .iter()
            .flat_map(|(target, port)| {
                let (destination, port) = (self.number(target), *port);
                Family::ALL.map(|family| Probe { source, destination, port, transport, family })
            })
            .collect()
    }

    /// Whether `event` is the denial of a packet of `probe`.
    fn tells_of(&self, event: &Event, probe: &Probe) -> bool {
        let address = |place: usize| self.topology.places()[place].address(probe.family);
        let (source, destination) = observe::addresses(event);
        event.verdict == Verdict::Deny as u8
            && Some(source) == address(probe.source)
            && Some(destination) == address(probe.destination)
            && event.destination_port == probe.port
            && event.protocol == probe.transport.number()
    }
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
        Some(Reason::NoRule) => {
            format!("NoRule: the {end} is isolated for {direction}, and no rule allows this")
        }
        Some(reason) => reason.name().to_owned(),
        None => format!("reason {}", event.reason),
    }
}
