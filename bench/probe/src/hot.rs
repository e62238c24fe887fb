//! What takes time in this process, for a counter of instructions to look at.
//!
//! Each part runs inside one call of [`gate_counts_this`], and nothing else does: whoever
//! counts what happens below that function counts what is meant, part by part in the order of
//! [`run`]'s answer. What is prepared before and checked after lies outside. The same work is done in
//! the same order every time; the one thing left to chance is the seed of hash tables, which is drawn
//! from addresses.

use std::hint::black_box;

use ringfence_common::packet::{Packet, parse};
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::chains::{Plan, Script};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::iptables::{Family as IpFamily, Layout};
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::backend::{Desired, ipset, iptables, nftables};
use ringfence_dataplane::compile::compile;

use crate::workloads::{Changing, Deciding, INTERFACE, PLACE};
use ringfence_bench::changes::Subject;
use ringfence_bench::kernel::MeasureError;
use ringfence_bench::workload::{Crowd, Entry, Family, server_of_both_families, typical_frames};

/// Rules that are compiled.
const RULES: usize = 10_000;

/// Rules of the state that is rendered, and entries of the policy that packets are decided by.
const ENTRIES: usize = 1_000;

/// Changes, rounds of packets read, packets decided.
const CHANGES: usize = 100;
const ROUNDS: usize = 200;
const PACKETS: usize = 1_000;

/// Does each part once; their names in their order.
///
/// # Errors
///
/// [`MeasureError::Wrong`] when one comes to something else than it has to.
pub fn run() -> Result<Vec<String>, MeasureError> {
    let mut parts = Parts(Vec::new());
    for subject in [Subject::cluster(RULES), Subject::address_list(RULES)] {
        parts.compile(&subject)?;
        parts.change(&subject)?;
    }
    parts.parse()?;
    parts.decide(Entry::Allow, "established")?;
    parts.decide(Entry::Deny, "denied")?;
    parts.load()?;
    parts.render()?;
    Ok(parts.0)
}

/// The parts that were done.
struct Parts(Vec<String>);

impl Parts {
    /// Does a part.
    fn count<T>(&mut self, name: String, work: impl FnOnce() -> T) -> Result<T, MeasureError> {
        let (mut work, mut done) = (Some(work), None);
        gate_counts_this(&mut || done = work.take().map(|work| black_box(work())));
        let nothing = || MeasureError::wrong(&name, "it was not done");
        let done = done.ok_or_else(nothing)?;
        self.0.push(name);
        Ok(done)
    }

    fn compile(&mut self, subject: &Subject) -> Result<(), MeasureError> {
        let name = format!("compile {RULES} rules ({})", subject.name);
        let tables = self.count(name, || compile(black_box(&subject.set)))?;
        let tables = tables.map_err(MeasureError::refused("compile"))?;
        let rules: usize = subject.set.policies.iter().map(|policy| policy.ingress.len()).sum();
        same("compiled rules", tables.rules.len(), rules)
    }

    fn change(&mut self, subject: &Subject) -> Result<(), MeasureError> {
        let mut changing = Changing::new(subject)?;
        let name = format!("change one of {RULES} rules {CHANGES} times ({})", subject.name);
        self.count(name, || (0..CHANGES).try_for_each(|_| changing.once()))??;
        changing.check()
    }

    fn parse(&mut self) -> Result<(), MeasureError> {
        let frames = typical_frames();
        let name = format!("parse {} packets", ROUNDS * frames.len());
        let read = self.count(name, || {
            let mut read = 0;
            for named in frames.iter().cycle().take(ROUNDS * frames.len()) {
                let mut packet = Packet::default();
                let parsed = parse(black_box(named.frame.as_slice()), &mut packet);
                read += usize::from(parsed.is_ok() && [443, 53].contains(&packet.destination_port));
            }
            read
        })?;
        same("parsed packets", read, ROUNDS * frames.len())
    }

    fn decide(&mut self, entry: Entry, packets: &str) -> Result<(), MeasureError> {
        for family in [Family::V4, Family::V6] {
            let mut deciding = Deciding::new(family, entry, ENTRIES, PACKETS)?;
            let name = format!("decide {PACKETS} {packets} packets in this process ({family:?})");
            let decided = self.count(name, || deciding.all())?;
            same("decided packets", decided, PACKETS)?;
        }
        Ok(())
    }

    fn load(&mut self) -> Result<(), MeasureError> {
        let crowd = Crowd::new(PLACE, Family::V4, Entry::Deny, ENTRIES);
        let tables: HostTables = crowd.host_tables(INTERFACE);
        let name = format!("load {ENTRIES} entries into this process's filter");
        let mut filter = self.count(name, || Filter::new(black_box(&tables)))?;
        let decided = filter.decide(&crowd.syn(0), PLACE.inbound(), INTERFACE, 1).decision;
        same("denials by rule", usize::from(decided.reason == Reason::DenyRule), 1)
    }

    fn render(&mut self) -> Result<(), MeasureError> {
        let desired = server_of_both_families(ENTRIES);
        for (tool, render) in RENDERERS {
            let name = format!("render {ENTRIES} entries for {tool}");
            let lines = self.count(name, || render(black_box(&desired)))??;
            same("rendered lines", lines, ENTRIES)?;
        }
        Ok(())
    }
}

/// What is counted happens below this function.
#[inline(never)]
fn gate_counts_this(work: &mut dyn FnMut()) {
    work();
    // What is left to do makes the call above a call.
    black_box(());
}

/// Renders a state; how many lines of the text come from a rule of a document.
type Render = fn(&Desired) -> Result<usize, MeasureError>;

const RENDERERS: [(&str, Render); 4] = [
    ("iptables", |desired| chains(desired, Layout::Structured)),
    ("iptables, flat", |desired| chains(desired, Layout::Flat)),
    ("ipset", sets),
    ("nftables", table),
];

fn chains(desired: &Desired, layout: Layout) -> Result<usize, MeasureError> {
    let plan = Plan::of(desired);
    let mut lines = 0;
    for family in [IpFamily::V4, IpFamily::V6] {
        let ruleset = iptables::ruleset(&plan, family, layout);
        lines += of_rules(&ruleset.map_err(MeasureError::refused("render for iptables"))?.script());
    }
    Ok(lines)
}

fn sets(desired: &Desired) -> Result<usize, MeasureError> {
    let rules = ipset::rules(&Plan::of(desired));
    let (sets, rulesets) = rules.map_err(MeasureError::refused("render for ipset"))?;
    for ruleset in &rulesets {
        black_box(ruleset.script().to_string());
    }
    Ok(of_rules(&ipset::script(&sets)))
}

fn table(desired: &Desired) -> Result<usize, MeasureError> {
    let ruleset = nftables::ruleset(&Plan::of(desired));
    Ok(of_rules(&ruleset.map_err(MeasureError::refused("render for nft"))?.script()))
}

fn of_rules(script: &Script) -> usize {
    black_box(script.to_string());
    script.lines.iter().filter(|line| line.rule != 0).count()
}

/// That `what` came to what it has to.
pub fn same(what: &str, came: usize, expected: usize) -> Result<(), MeasureError> {
    if came == expected {
        return Ok(());
    }
    Err(MeasureError::wrong(what, format!("there are {came}, not {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_done_once_and_named_in_their_order() {
        let mut parts = Parts(Vec::new());
        let mut done = 0;
        for name in ["first", "second"] {
            let number = parts.count(name.to_owned(), || {
                done += 1;
                done
            });
            assert_eq!(number.unwrap(), parts.0.len());
        }
        assert_eq!((done, parts.0), (2, vec!["first".to_owned(), "second".to_owned()]));
    }

    #[test]
    fn quick_parts_come_to_what_they_have_to() {
        let mut parts = Parts(Vec::new());
        parts.parse().unwrap();
        parts.compile(&Subject::cluster(60)).unwrap();
        parts.change(&Subject::address_list(60)).unwrap();
        parts.load().unwrap();
        assert_eq!(parts.0.len(), 4);
    }

    #[test]
    fn something_else_is_said() {
        assert!(same("rules", 1, 1).is_ok());
        let error = same("rules", 1, 2).unwrap_err().to_string();
        assert!(error.contains("there are 1, not 2"), "{error}");
    }
}
