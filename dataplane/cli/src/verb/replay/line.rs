//! A frame and its verdict, in one line.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use ringfence_common::abi::policy::{Direction, protocol};
use ringfence_common::verdict::Verdict;
use ringfence_dataplane::backend::userspace::capture::{Decided, Record};
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::Inventory;
use ringfence_dataplane::observe::{addresses, frame_line};

/// A frame, what became of it, and what the numbers in that stand for.
pub struct Frame<'a> {
    pub record: &'a Record,
    pub decided: &'a Decided,
    pub tables: &'a Tables,
}

impl Frame<'_> {
    /// `12 Nov 22 02:00:00.123: shop/web:41230 (ID:1234) -> shop/db:5432 (ID:5678)
    /// policy-verdict:none INGRESS DENIED (TCP Flags: SYN) NoRule`.
    pub fn text(&self, inventory: &Inventory) -> String {
        let Record { number, bytes, length, .. } = self.record;
        let event = self.decided.event(self.record);
        let mut line =
            format!("{number} {}", frame_line(&event, bytes, inventory, &time(self.record)));
        let decision = self.decided.outcome.decision;
        line += &format!(" {}", decision.reason.name());
        if let Some(rule) = self.rule() {
            line += &format!(" {rule}");
        }
        if bytes.len() < *length as usize {
            line += &format!(" [{} of {length} bytes recorded]", bytes.len());
        }
        line
    }

    /// One object; `time` is in RFC 3339's form, and what a frame does not have is null.
    pub fn json(&self, inventory: &Inventory) -> serde_json::Value {
        let event = self.decided.event(self.record);
        let packet = &self.decided.packet;
        let decision = self.decided.outcome.decision;
        let is_known = packet.family != 0;
        let has_time = self.record.time_ns != 0;
        let (source, destination) = addresses(&event);
        let with_ports = matches!(packet.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
        let end = |address: std::net::IpAddr, port: u16| {
            is_known.then(|| {
                serde_json::json!({
                    "address": address,
                    "workload": inventory.owner(address).map(|owner| owner.name.to_string()),
                    "port": with_ports.then_some(port),
                })
            })
        };
        serde_json::json!({
            "version": 1,
            "frame": self.record.number,
            "time": has_time.then(|| time(self.record).timestamp().to_string()),
            "length": self.record.length,
            "recorded": self.record.bytes.len(),
            "verdict": word(decision.verdict),
            "reason": decision.reason.name(),
            "rule": self.rule(),
            "decidedBy": self.endpoint(),
            "direction": self.endpoint().map(|_| self.direction()),
            "source": end(source, packet.source_port),
            "destination": end(destination, packet.destination_port),
            "protocol": is_known.then_some(packet.protocol),
        })
    }

    /// The reason, whose it is, and the rule: what a reader of the capture wants to know.
    pub fn comment(&self) -> String {
        let decision = self.decided.outcome.decision;
        let mut comment = format!("{}: {}", word(decision.verdict), decision.reason.name());
        if let Some(endpoint) = self.endpoint() {
            comment += &format!(" ({} of {endpoint})", self.direction());
        }
        if let Some(rule) = self.rule() {
            comment += &format!(", rule {rule}");
        }
        comment
    }

    fn rule(&self) -> Option<&str> {
        let rule = self.decided.outcome.decision.rule;
        self.tables.rules.get(&rule).map(|rule| rule.name.as_str())
    }

    fn endpoint(&self) -> Option<&str> {
        let endpoint = self.tables.endpoints.get(&self.decided.outcome.endpoint)?;
        Some(endpoint.name.as_str())
    }

    const fn direction(&self) -> &'static str {
        match self.decided.outcome.direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

/// `allow`, `deny` or `audit`.
pub const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Audit => "audit",
    }
}

/// When the frame was recorded; the epoch for a time that no calendar has.
fn time(record: &Record) -> Zoned {
    let time = Timestamp::from_nanosecond(i128::from(record.time_ns)).unwrap_or_default();
    time.to_zoned(TimeZone::system())
}
