//! What the demo prints.

use std::collections::BTreeSet;
use std::time::Duration;

use super::report::milliseconds;
use super::story::{HVAC, Story};
use super::{Change, DemoError, PORTS, Phase, Report};
use crate::connectivity::{Flip, Probe, table, wrong};
use crate::topology::Family;

impl Story<'_> {
    pub fn heading(&mut self, text: &str) -> Result<(), DemoError> {
        writeln!(self.out, "\n{}", self.style.bold(text))?;
        Ok(())
    }

    /// Step 1: what is where.
    pub fn introduce(&mut self, took: Duration) -> Result<(), DemoError> {
        let title = "A shop, in network namespaces that this process alone holds";
        writeln!(self.out, "{}", self.style.bold(title))?;
        for place in self.topology.places() {
            let of = |family| place.address(family).map_or_else(String::new, |a| a.to_string());
            let (v4, v6) = (of(Family::V4), of(Family::V6));
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

    /// Step 6: in short.
    pub fn conclude(&mut self, report: &Report) -> Result<(), DemoError> {
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

    pub fn print_table(&mut self, phase: &Phase) -> Result<(), DemoError> {
        write!(self.out, "{}", table(&phase.matrix, self.style))?;
        let legend = "t TCP, u UDP, tu both; all: every port, .: none, -: not asked";
        writeln!(self.out, "{}", self.style.faint(legend))?;
        let others = phase.matrix.asked_from(self.number(HVAC)).len();
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

    /// Prints expected beside actual where something is wrong.
    pub fn print_wrong(&mut self, phase: &Phase) -> Result<(), DemoError> {
        write!(self.out, "{}", wrong(&phase.matrix, self.style))?;
        Ok(())
    }

    pub fn print_flips(&mut self, change: &Change, took: Duration) -> Result<(), DemoError> {
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

    pub fn print_transfer(&mut self, streams: &[Probe], change: &Change) -> Result<(), DemoError> {
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

pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// `12345` as `12,345`.
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
