//! Oracle, compiled tables and filter agree about every packet.
//!
//! A pair is one policy set and one packet asked about. The oracle says by definition what each
//! end decides; the tables are asked in the order of the shared decision; and the packet itself
//! goes through the userspace filter, at every hook where it is seen. Verdict, reason, rule and
//! whether it is reported have to be the same.

mod host;
mod texts;

use std::fmt;

use ringfence_common::verdict::Decision;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::compile::{Answers, Tables, compile};
use ringfence_dataplane::model::{Direction, PolicySet};
use ringfence_dataplane::oracle::{Answer, Flow, Oracle, Reason, Side};

pub use self::host::{Host, Sight};
pub use self::texts::{Compared, Places, Rendered, Texts, rendered};

use crate::packet::first_packet;

/// A policy set in all its forms.
#[expect(missing_debug_implementations, reason = "the filter has none")]
pub struct Subject<'a> {
    oracle: Oracle<'a>,
    tables: &'a Tables,
    answers: Answers<'a>,
    host: Host,
    filter: Filter,
}

/// Two ways to a verdict that differ.
#[derive(Debug)]
pub struct Disagreement {
    /// About what.
    pub flow: Flow,
    /// Who differs from the oracle: `tables`, or the filter's hook.
    pub who: String,
    /// Which end.
    pub direction: Direction,
    /// What the oracle says.
    pub expected: Side,
    /// What the other says.
    pub actual: String,
}

/// Compiles a set that does compile.
///
/// # Panics
///
/// When it does not.
#[must_use]
pub fn tables_of(set: &PolicySet) -> Tables {
    compile(set).expect("generated policy fits and has one host at most")
}

impl<'a> Subject<'a> {
    /// `set` and the tables made from it.
    #[must_use]
    pub fn new(set: &'a PolicySet, tables: &'a Tables) -> Self {
        Self::on(Host::of(tables), set, tables)
    }

    /// The same, on a host of one's own.
    #[must_use]
    pub fn on(host: Host, set: &'a PolicySet, tables: &'a Tables) -> Self {
        let filter = Filter::new(&host.tables(tables, 1, false));
        Self { oracle: Oracle::new(set), tables, answers: Answers::new(tables), host, filter }
    }

    /// Asks everyone about the first packet of a flow.
    ///
    /// # Errors
    ///
    /// The first [`Disagreement`].
    pub fn ask(&mut self, flow: &Flow) -> Result<(), Box<Disagreement>> {
        let expected = self.oracle.decide(flow);
        let said =
            self.answers.ask(flow.source, flow.destination, flow.protocol, flow.port.unwrap_or(0));
        for (direction, actual) in
            [(Direction::Egress, said.egress), (Direction::Ingress, said.ingress)]
        {
            self.compare(flow, "tables", direction, &expected, actual)?;
        }
        let Some(frame) = first_packet(flow) else { return Ok(()) };
        for sight in self.host.sights(flow) {
            self.filter.clear();
            let outcome = self.filter.decide(&frame, sight.hook, sight.ifindex, 0);
            self.hold(flow, &sight, "filter", |_| outcome.decision)?;
        }
        Ok(())
    }

    /// Holds what somebody says at a hook about the first packet of a flow against the oracle;
    /// `actual` is given whether the oracle says that a rule reports it.
    ///
    /// # Errors
    ///
    /// The [`Disagreement`], where there is one.
    pub fn hold(
        &self,
        flow: &Flow,
        sight: &Sight,
        who: &str,
        actual: impl FnOnce(bool) -> Decision,
    ) -> Result<(), Box<Disagreement>> {
        let expected = self.oracle.decide(flow);
        let direction = deciding(&sight.sides, &expected);
        let who = format!("{who} at {:?} of interface {}", sight.hook, sight.ifindex);
        let actual = actual(side(&expected, direction).logged);
        self.compare(flow, &who, direction, &expected, actual)
    }

    fn compare(
        &self,
        flow: &Flow,
        who: &str,
        direction: Direction,
        expected: &Answer,
        actual: Decision,
    ) -> Result<(), Box<Disagreement>> {
        let side = side(expected, direction);
        let rule = self.tables.rules.get(&actual.rule).map(|rule| rule.name.clone());
        let names_it = match &rule {
            Some(rule) => side.rules.iter().any(|name| name.to_string() == *rule),
            None => side.rules.is_empty() && actual.rule == 0,
        };
        // Essential traffic is not asked of policy, so no rule has reported it.
        let is_essential = matches!(side.reason, Reason::SelfTraffic | Reason::HostToWorkload);
        let agrees = actual.passes() == side.allowed
            && actual.reason == side.reason
            && (is_essential || actual.log == side.logged)
            && names_it;
        if agrees {
            return Ok(());
        }
        let Decision { reason, verdict, log, .. } = actual;
        Err(Box::new(Disagreement {
            flow: *flow,
            who: who.to_owned(),
            direction,
            expected: side.clone(),
            actual: format!("{reason:?} ({verdict:?}), rule {rule:?}, logged {log}"),
        }))
    }
}

/// The side whose decision a hook gives: the first that denies, else the last.
fn deciding(sides: &[Direction], expected: &Answer) -> Direction {
    let denying = sides.iter().find(|direction| !side(expected, **direction).allowed);
    *denying.or(sides.last()).expect("a hook decides a side")
}

fn side(answer: &Answer, direction: Direction) -> &Side {
    match direction {
        Direction::Egress => &answer.egress,
        Direction::Ingress => &answer.ingress,
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flow, who, direction, expected, actual } = self;
        let rules: Vec<String> = expected.rules.iter().map(ToString::to_string).collect();
        writeln!(f, "{direction:?} of {flow:?}")?;
        writeln!(
            f,
            "  oracle says {:?} ({}), rules {rules:?}, logged {}",
            expected.reason,
            if expected.allowed { "allow" } else { "deny" },
            expected.logged
        )?;
        writeln!(f, "  {who} says {actual}")
    }
}
