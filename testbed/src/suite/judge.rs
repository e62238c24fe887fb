//! What a case expects against what a backend says.

use std::fmt;
use std::net::IpAddr;

use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::model::{Direction, Workload, WorkloadName};

use super::backend::{Answer, At, Backend, Said, SuiteError};
use super::packet;
use super::report::verdict_name;
use super::route::{Station, stations};
use crate::case::{Case, Frame, Probe};

/// Whose decision is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// What becomes of the packet after all.
    Both,
    /// The source's egress.
    Egress,
    /// The destination's ingress.
    Ingress,
}

/// What was asked and what was said, as far as it matters to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is wrong; nothing if all is as expected.
    pub wrong: Option<Wrong>,
    /// Why the backend could not be asked, for one of the frames at least.
    pub not_asked: Option<(bool, &'static str)>,
    /// Who decided what, for the coverage.
    pub said: Vec<(Direction, Said)>,
}

/// A disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Whose decision is wrong.
    pub side: Side,
    /// What was expected of it.
    pub expected: Expected,
    /// The verdict given.
    pub actual: Verdict,
    /// The reason given.
    pub reason: Reason,
    /// The rules named.
    pub rules: Vec<String>,
    /// The frame.
    pub frame: Vec<u8>,
    /// The addresses it goes between, of a probe.
    pub addresses: Option<(IpAddr, IpAddr)>,
}

/// What a case expects of one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, if the case says so.
    pub reason: Option<Reason>,
    /// The rule, if the case says so.
    pub rule: Option<String>,
}

/// The host that a case describes, if it does.
pub fn host_of(case: &Case) -> Option<&WorkloadName> {
    case.policies.inventory.workloads().find(|workload| workload.host).map(|host| &host.name)
}

/// Asks `backend` about a probe, for each pair of addresses on empty state.
pub fn probe(backend: &mut dyn Backend, case: &Case, probe: &Probe) -> Result<Judged, SuiteError> {
    let mut judged = Judged { wrong: None, not_asked: None, said: Vec::new() };
    for pair in &probe.pairs {
        backend.forget()?;
        let frame = packet::first(*pair, &probe.service);
        let owner = |address| case.policies.inventory.owner(address);
        let ends: [Option<&Workload>; 2] = [owner(pair.0), owner(pair.1)];
        let mut said: Vec<(Station<'_>, Said)> = Vec::new();
        let mut not_asked = None;
        for station in stations(ends[0], ends[1], host_of(case)) {
            match backend.see(station.at, station.direction, &frame)? {
                Answer::Said(answer) => said.push((station, answer)),
                Answer::Inapplicable(why) => not_asked = Some((true, why)),
                Answer::Skipped(why) => not_asked = Some((false, why)),
            }
        }
        if not_asked.is_none() && judged.wrong.is_none() {
            judged.wrong = wrong_of(probe, &said).map(|(side, expected, said)| Wrong {
                side,
                expected,
                actual: said.verdict,
                reason: said.reason,
                rules: said.rules,
                frame,
                addresses: Some(*pair),
            });
        }
        judged.not_asked = judged.not_asked.or(not_asked);
        judged.said.extend(said.into_iter().flat_map(|(station, said)| {
            let sides =
                [(station.egress, Direction::Egress), (station.ingress, Direction::Ingress)];
            sides
                .into_iter()
                .filter(|(is_asked, _)| *is_asked)
                .map(move |(_, side)| (side, said.clone()))
        }));
    }
    Ok(judged)
}

/// What is wrong with what was said at the stations of a packet.
fn wrong_of(probe: &Probe, said: &[(Station<'_>, Said)]) -> Option<(Side, Expected, Said)> {
    let first = |verdict| said.iter().find(|(_, said)| said.verdict == verdict);
    let deciding = first(Verdict::Deny).or_else(|| first(Verdict::Audit)).or_else(|| said.last());
    let whole = deciding.map_or_else(|| undecided(said), |(_, said)| said.clone());
    let expected = |verdict, reason| Expected { verdict, reason, rule: None };
    if whole.verdict != probe.expect {
        return Some((Side::Both, expected(probe.expect, probe.reason), whole));
    }
    for (side, stated) in
        [(Side::Egress, probe.expect_egress), (Side::Ingress, probe.expect_ingress)]
    {
        let Some(stated) = stated else { continue };
        let decides = |station: &Station<'_>| match side {
            Side::Ingress => (station.ingress, station.egress),
            _ => (station.egress, station.ingress),
        };
        let found = said.iter().find(|(station, _)| decides(station).0);
        // Where both sides are decided at once, only that both allow tells of each.
        let is_alone =
            found.is_none_or(|(station, end)| !decides(station).1 || end.verdict == Verdict::Allow);
        let end = found.map_or_else(|| undecided(said), |(_, end)| end.clone());
        if is_alone && end.verdict != stated {
            return Some((side, expected(stated, None), end));
        }
    }
    let gives = |said: &Said| probe.reason.is_none_or(|reason| said.gives(reason));
    let is_given = match whole.verdict {
        Verdict::Allow if !said.is_empty() => said.iter().any(|(_, said)| gives(said)),
        _ => gives(&whole),
    };
    (!is_given).then(|| (Side::Both, expected(probe.expect, probe.reason), whole))
}

/// What an end says at which no station decides: a packet without any station never leaves its
/// workload, and nobody enforces anything for an address that nobody has.
fn undecided(said: &[(Station<'_>, Said)]) -> Said {
    let reason = if said.is_empty() { Reason::SelfTraffic } else { Reason::NotSubject };
    Said::new(Verdict::Allow, reason)
}

/// Asks `backend` about a frame, with all that came before it.
pub fn frame(backend: &mut dyn Backend, case: &Case, frame: &Frame) -> Result<Judged, SuiteError> {
    let at = if host_of(case) == Some(&frame.at) {
        At::Uplink(Some(&frame.at))
    } else {
        At::Workload(&frame.at)
    };
    backend.wait(frame.after)?;
    let mut judged = Judged { wrong: None, not_asked: None, said: Vec::new() };
    match backend.see(at, frame.direction, &frame.bytes)? {
        Answer::Inapplicable(why) => judged.not_asked = Some((true, why)),
        Answer::Skipped(why) => judged.not_asked = Some((false, why)),
        Answer::Said(said) => {
            let is_right = said.verdict == frame.expect
                && frame.reason.is_none_or(|reason| said.gives(reason))
                && frame.rule.as_ref().is_none_or(|rule| said.rules.contains(rule));
            if let Some(limit) = said.limit.filter(|_| !is_right) {
                judged.not_asked = Some((false, limit));
                return Ok(judged);
            }
            judged.said.push((frame.direction, said.clone()));
            judged.wrong = (!is_right).then(|| Wrong {
                side: Side::Both,
                expected: Expected {
                    verdict: frame.expect,
                    reason: frame.reason,
                    rule: frame.rule.clone(),
                },
                actual: said.verdict,
                reason: said.reason,
                rules: said.rules,
                frame: frame.bytes.clone(),
                addresses: None,
            });
        }
    }
    Ok(judged)
}

impl Side {
    /// `egress`, `ingress`, or nothing for the packet as a whole.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Both => None,
            Self::Egress => Some("egress"),
            Self::Ingress => Some("ingress"),
        }
    }
}

/// `deny (NoRule)`, and the rule if one is expected.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(verdict_name(self.verdict))?;
        let reason = self.reason.map(|reason| reason.name().to_owned());
        let said: Vec<String> = reason.into_iter().chain(self.rule.clone()).collect();
        if said.is_empty() { Ok(()) } else { write!(f, " ({})", said.join(", ")) }
    }
}
