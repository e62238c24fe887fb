//! The memory that rules take.
//!
//! # What is measured
//!
//! Statistics, in bytes, of one host. All but `fixed` are of what rules add to a host that lets nobody
//! in:
//!
//! - `kernel`: what the kernel itself says, where it says so exactly: of the eBPF programs what
//!   their maps take (`/proc/self/fdinfo`, `memlock`); of a bare ipset the size of the set, as
//!   `ipset list` tells it. Of the others the same as `kernel, by difference`.
//! - `kernel, by difference`: how much more memory the kernel has given itself after the rules were
//!   installed than before: the sum of `SUnreclaim` (its small pieces), `VmallocUsed` (its large
//!   ones) and `Percpu` of `/proc/meminfo`. Rules are installed on several hosts at once where they
//!   are few, and the difference is divided. Also where there is an exact figure, to see how far the
//!   method can be trusted.
//! - `hosts`: on how many hosts at once.
//! - `process`: of the filter in user space what it has allocated for the rules; of the eBPF programs
//!   what a process has allocated that stays and changes single rules. What `ringfence apply` takes
//!   while it runs is no part of it: it ends.
//! - `fixed`: what the kernel says exactly without a rule.
//!
//! # Where it may mislead
//!
//! The difference contains what anybody else made the kernel allocate in those moments, which goes
//! both ways: the spread of the rounds says how much that is. Memory that the kernel gives itself in
//! whole slabs is in it only when a new slab is begun.

mod allocated;
mod meminfo;

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use ringfence_testbed::lab::{Case, Contender};

pub use self::allocated::allocated;
use super::change::only_these;
use super::contender::{self, Changing};
use super::findings::{Collector, Findings};
use super::scene::{Scene, State};
use crate::kernel::MeasureError;
use crate::record::Measurement;

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How often everything is installed anew.
    pub rounds: u32,
    /// How long an installation may take.
    pub limit: Duration,
}

/// Rules on all hosts together, from which on the difference is clear of what else happens.
const ENOUGH: usize = 16_000;

/// Hosts at most.
const HOSTS: usize = 8;

/// Measures the memory of rules that differ in address, for IPv4.
#[must_use]
pub fn measure(case: &Case, pass: u32, effort: &Effort) -> Findings {
    let mut collector = Collector::new(Measurement::Memory, *case, pass);
    let checked = only_these(case).and_then(|()| contender::check(case.contender));
    let measured = checked.and_then(|()| {
        if matches!(case.contender, Contender::Userspace | Contender::EbpfTcx | Contender::EbpfXdp)
        {
            let bytes = process(case, effort.limit)?;
            collector.value("", "process", 1, bytes as f64);
        }
        if case.contender == Contender::Userspace {
            // The kernel has no rules of it.
            return Ok(());
        }
        for round in 1..=effort.rounds {
            one_round(case, effort.limit, round, &mut collector)?;
        }
        Ok(())
    });
    if let Err(error) = measured {
        collector.failed("", &error);
    }
    collector.finish()
}

/// What a process allocates for the rules.
fn process(case: &Case, limit: Duration) -> Result<u64, MeasureError> {
    let scene = Scene::new(case.rules, contender::wiring(case.contender))?;
    let nothing = || MeasureError::wrong("the measurement", "the contender needs no process");
    contender::with(case.contender, &scene, State::Closed, limit, |changing| {
        changing.process_memory()?.ok_or_else(nothing)
    })
}

/// Installs rules on hosts that have been made for it.
fn one_round(
    case: &Case,
    limit: Duration,
    round: u32,
    collector: &mut Collector,
) -> Result<(), MeasureError> {
    let most = match case.contender {
        // Their maps have room for many connections each.
        Contender::EbpfTcx | Contender::EbpfXdp => 1,
        _ => HOSTS,
    };
    let hosts = (ENOUGH / case.rules.max(1)).clamp(1, most);
    let (says, said) = mpsc::channel();
    thread::scope(|scope| {
        let mut goes = Vec::new();
        for _ in 0..hosts {
            let (go, may_go) = mpsc::channel();
            let says = says.clone();
            goes.push(go);
            scope.spawn(move || {
                let ended = one_host(case, limit, &says, may_go);
                // Nobody listens any more when another host has failed.
                let _ = ended.map_or_else(|error| says.send(Err(error)), |()| Ok(()));
            });
        }
        all(&said, hosts)?;
        let before = meminfo::settled()?;
        go_on(&goes);
        let exact = all(&said, hosts)?.into_iter().next().flatten();
        let after = meminfo::settled()?;
        go_on(&goes);
        all(&said, hosts)?;
        let difference = (after as f64 - before as f64) / hosts as f64;
        collector.value("", "kernel, by difference", round, difference);
        collector.value("", "hosts", round, hosts as f64);
        collector.value("", "kernel", round, exact.map_or(difference, |exact| exact.added()));
        if let Some(exact) = exact {
            collector.value("", "fixed", round, exact.without as f64);
        }
        Ok(())
    })
}

/// What the kernel says exactly, without rules and with them.
#[derive(Clone, Copy, Debug)]
struct Exact {
    without: u64,
    with: u64,
}

impl Exact {
    fn added(self) -> f64 {
        self.with as f64 - self.without as f64
    }
}

/// One host: first it lets nobody in, then it has the rules; after each it waits until it is told
/// to go on.
fn one_host(
    case: &Case,
    limit: Duration,
    says: &Sender<Result<Option<Exact>, MeasureError>>,
    may_go: Receiver<()>,
) -> Result<(), MeasureError> {
    let given_up = || MeasureError::wrong("another host", "it has failed");
    let say = |exact| says.send(Ok(exact)).map_err(|_| given_up());
    let scene = Scene::new(case.rules, contender::wiring(case.contender))?;
    let scene_here = &scene;
    let work = move |changing: &mut dyn Changing| {
        let without = changing.exact_memory()?;
        changing.know(State::Standing)?;
        say(None)?;
        may_go.recv().map_err(|_| given_up())?;
        changing.reset(State::Standing)?;
        let with = changing.exact_memory()?;
        let exact = without.zip(with).map(|(without, with)| Exact { without, with });
        say(exact)?;
        may_go.recv().map_err(|_| given_up())?;
        scene_here.check(State::Standing)?;
        say(exact)
    };
    contender::with(case.contender, &scene, State::Closed, limit, work)
}

/// What all hosts say.
fn all(
    said: &Receiver<Result<Option<Exact>, MeasureError>>,
    hosts: usize,
) -> Result<Vec<Option<Exact>>, MeasureError> {
    let gone = |_| MeasureError::wrong("a host", "it panicked");
    (0..hosts).map(|_| said.recv().map_err(gone)?).collect()
}

fn go_on(goes: &[Sender<()>]) {
    for go in goes {
        // One that is gone has said why.
        let _ = go.send(());
    }
}
