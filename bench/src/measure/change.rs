//! The time that a change of policy takes.
//!
//! # What is measured
//!
//! Statistics, in nanoseconds, of every [`Form`] that a contender has:
//!
//! - `call`: from the call to its return, while no packets flow. For tools, from the start of the
//!   process to its end.
//! - `net`: the same less what the process of the same program takes that is only asked for its
//!   version, started just before: what a program would wait for that had the tool within itself.
//! - `visible`: from the call to the first packet that obeys, while the client sends one packet
//!   after the other from another CPU (see [`watch`]). So it is of other changes than `call` and,
//!   where the packets slow the change down, may be later than that.
//!
//! Each change is made for real and looked at: the next packets of the client, of a peer whose rule
//! stays and of a stranger, each the first of a flow, have to get what the policy says.
//!
//! # Where it may mislead
//!
//! - One rule is added behind all others. A chain of nftables or of iptables takes the new one there
//!   as fast as anywhere; only where packets are asked does the place matter.
//! - `net` takes the start of a process off, and not what the tool reads to understand the kernel's
//!   state, which is its way of changing one rule.
//! - nft *in a session* is one process that stays and is told over a pipe. That it is done is known by
//!   its answer to a second command, to describe an expression, which takes nothing of the kernel;
//!   waking it up and that command are in the figure. ipset has no session that answers.
//! - What a change of the eBPF programs leaves behind, entries that no packet can meet any more, is
//!   removed before the next one, when packets under way are through: some milliseconds. A process
//!   that stays does that when it has nothing else to do, and so does `one rule`, before its time is
//!   taken. `one rule, at once` has no such moment: it is what the next of many changes in a row
//!   takes where the one before has taken a rule away.
//! - Ringfence's chains have one way, that of `ringfence apply`, from policies that have been read
//!   to the record on disk. `one rule` of the eBPF programs is what a process does that has their
//!   maps open; `one rule, applied` is their `ringfence apply`.
//! - The filter in user space works on the CPU on which policy changes, and its packets are waited
//!   for longer. A packet that it has been given before the change and decides after it obeys at
//!   once: in no time.

use std::time::{Duration, Instant};

use ringfence_testbed::lab::{Case, Family, Mismatch};

use super::contender::{self, Changing, Direction, Form};
use super::findings::{Collector, Findings};
use super::scene::{Scene, State, watch};
use crate::kernel::MeasureError;
use crate::record::Measurement;

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Rounds of each form at most.
    pub rounds: u32,
    /// No further round of a form begins after this time; one there always is.
    pub time: Duration,
    /// How long one change may take, and the installation before.
    pub limit: Duration,
}

/// Up to so many rules every form is measured; beyond, those that say how it goes on
/// ([`Form::is_basic`]).
const ALL_FORMS: usize = 10_000;

/// Measures what changes take, of rules that differ in address, over IPv4, the one that changes being
/// the last.
#[must_use]
pub fn measure(case: &Case, pass: u32, effort: &Effort) -> Findings {
    let mut collector = Collector::new(Measurement::Change, *case, pass);
    let measured = only_these(case).and_then(|()| {
        contender::check(case.contender)?;
        let scene = Scene::new(case.rules, contender::wiring(case.contender))?;
        contender::with(case.contender, &scene, State::Standing, effort.limit, |changing| {
            all_forms(&scene, changing, effort, &mut collector)
        })
    });
    if let Err(error) = measured {
        collector.failed("", &error);
    }
    collector.finish()
}

/// What changes can be measured of.
///
/// # Errors
///
/// [`MeasureError::Refused`] for anything else.
pub(super) fn only_these(case: &Case) -> Result<(), MeasureError> {
    match (case.mismatch, case.family) {
        (Mismatch::Address, Family::V4) => Ok(()),
        _ => Err(MeasureError::Refused {
            what: "change such rules".to_owned(),
            why: "changes are measured of rules for addresses of IPv4".to_owned(),
        }),
    }
}

fn all_forms(
    scene: &Scene,
    changing: &mut dyn Changing,
    effort: &Effort,
    collector: &mut Collector,
) -> Result<(), MeasureError> {
    let mut standing = Some(State::Standing);
    let forms =
        changing.forms().iter().filter(|form| scene.rules() <= ALL_FORMS || form.is_basic());
    for form in forms {
        let measured = one_form(scene, changing, *form, standing, effort, collector);
        standing = match measured {
            Ok(state) => Some(state),
            Err(error) => {
                collector.failed(form.variant(Direction::There), &error);
                None
            }
        };
    }
    Ok(())
}

/// Measures one form, where that state holds, or nobody knows which; the state that it leaves.
fn one_form(
    scene: &Scene,
    changing: &mut dyn Changing,
    form: Form,
    standing: Option<State>,
    effort: &Effort,
    collector: &mut Collector,
) -> Result<State, MeasureError> {
    let [from, _] = form.states(Direction::There);
    if standing != Some(from) {
        changing.reset(from)?;
    }
    let begin = Instant::now();
    for round in 1..=effort.rounds {
        for is_watched in [false, true] {
            for direction in [Direction::There, Direction::Back] {
                if direction == Direction::Back && !form.has_way_back() {
                    changing.reset(from)?;
                    continue;
                }
                let variant = form.variant(direction);
                if is_watched {
                    changing.prepare(form, direction)?;
                    let is_let_in = direction == Direction::There;
                    let visible = watch(scene, is_let_in, || changing.change())?;
                    scene.check(form.states(direction)[1])?;
                    collector.value(variant, "visible", round, nanoseconds(visible));
                    continue;
                }
                let Quiet { call, net } = quiet(scene, changing, form, direction)?;
                collector.value(variant, "call", round, call);
                if let Some(net) = net {
                    collector.value(variant, "net", round, net);
                }
            }
        }
        if begin.elapsed() > effort.time {
            break;
        }
    }
    Ok(from)
}

/// What a change took while no packets flowed, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet {
    /// From the call to its return.
    pub call: f64,
    /// The same less what its processes take by themselves.
    pub net: Option<f64>,
}

/// Makes one change while no packets flow, and checks what becomes of packets then.
pub(crate) fn quiet(
    scene: &Scene,
    changing: &mut dyn Changing,
    form: Form,
    direction: Direction,
) -> Result<Quiet, MeasureError> {
    changing.prepare(form, direction)?;
    let alone = changing.processes_alone()?;
    let call = nanoseconds(changing.change()?.took);
    scene.check(form.states(direction)[1])?;
    Ok(Quiet { call, net: alone.map(|alone| call - nanoseconds(alone)) })
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
