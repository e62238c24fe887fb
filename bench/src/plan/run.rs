//! Going through a plan.

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use ringfence_testbed::lab::Case;

use super::bench::{Bench, Effort};
use super::pair::Pair;
use super::setups::{Form, Setup, Task, setups};
use super::{changes, decisions, rates, round_trips, sending};
use crate::kernel::MeasureError;
use crate::measure::Findings;
use crate::record::{Measurement, Omission, Sample};

/// What was measured so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// The values.
    pub samples: Vec<Sample>,
    /// What could not be measured.
    pub omissions: Vec<Omission>,
    /// Whether everything of the plan was tried.
    pub complete: bool,
}

/// Who watches while a plan is gone through.
pub trait Watch: Sync {
    /// This comes next: so many of so many are done.
    fn begin(&self, what: &str, done: usize, all: usize);
    /// So much there is by now.
    fn keep(&self, results: &Results);
    /// Whether to stop.
    fn is_over(&self) -> bool;
}

/// Goes through the plan of a form.
///
/// # Errors
///
/// [`MeasureError::Missing`] when nothing at all can be measured here, without root for instance.
pub fn run(form: Form, watch: &dyn Watch) -> Result<Results, MeasureError> {
    if let Some(missing) = ringfence_testbed::require::missing_for_kernel() {
        return Err(MeasureError::Missing(missing));
    }
    let setups = setups(form);
    let all = form.passes() as usize * (setups.len() + 1);
    let (mut results, mut done) = (Results::default(), 0);
    for pass in 1..=form.passes() {
        watch.begin(&format!("pass {pass}: decisions in the kernel"), done, all);
        let effort = Effort::of(form);
        let rules = form.decided_rules();
        let decided = alone(|| decisions::measure(rules, pass, effort));
        match decided {
            Ok(samples) => results.samples.extend(samples),
            Err(why) => results.omissions.extend(decisions::omissions(rules, &why)),
        }
        done += 1;
        // The laboratory without a filter stays as it is for the whole pass.
        let mut pair = Pair::new()?;
        for setup in &setups {
            watch.keep(&results);
            if watch.is_over() {
                return Ok(results);
            }
            watch.begin(&format!("pass {pass}: {setup}"), done, all);
            measure(&mut pair, setup, pass, effort, &|| watch.is_over(), &mut results);
            done += 1;
        }
    }
    results.complete = !watch.is_over();
    watch.keep(&results);
    Ok(results)
}

/// What a form measures and `results` have not a single value of.
#[must_use]
pub fn unmeasured(form: Form, results: &Results) -> BTreeSet<Measurement> {
    let tasks = setups(form).into_iter().flat_map(|setup| setup.tasks);
    let mut wanted: BTreeSet<Measurement> = tasks.map(Task::measurement).collect();
    wanted.insert(Measurement::Decision);
    for sample in &results.samples {
        wanted.remove(&sample.measurement);
    }
    wanted
}

/// Measures all tasks of one setup, until it is over.
pub fn measure(
    pair: &mut Pair,
    setup: &Setup,
    pass: u32,
    effort: Effort,
    is_over: &dyn Fn() -> bool,
    results: &mut Results,
) {
    let needs_place = setup.tasks.iter().any(|task| task.needs_contender());
    let placed = match needs_place {
        true => alone(|| pair.install(setup.case, setup.transport)),
        false => Ok(()),
    };
    for task in &setup.tasks {
        if is_over() {
            return;
        }
        let measured = match &placed {
            Err(why) if task.needs_contender() => Err(why.clone()),
            _ => {
                let mut bench = Bench { pair: &mut *pair, case: setup.case, pass, effort };
                alone(|| task.measure(&mut bench))
            }
        };
        match measured {
            Ok(found) => {
                results.samples.extend(found.samples);
                results.omissions.extend(found.omissions);
            }
            Err(why) => results.omissions.push(omission(*task, setup.case, why)),
        }
    }
}

/// The findings of a measurement that leaves nothing out.
const fn whole(samples: Vec<Sample>) -> Findings {
    Findings { samples, omissions: Vec::new() }
}

impl Task {
    fn measure(self, bench: &mut Bench<'_>) -> Result<Findings, MeasureError> {
        Ok(match self {
            Self::Send => whole(sending::measure(bench)?),
            Self::RoundTrip => whole(round_trips::unloaded(bench)?),
            Self::Loaded => whole(round_trips::loaded(bench, false)?),
            Self::Steered => whole(round_trips::loaded(bench, true)?),
            Self::FirstPacket => whole(round_trips::first_packets(bench)?),
            Self::LossFree => whole(rates::loss_free(bench)?),
            Self::Drop => whole(rates::drop(bench)?),
            Self::Stream => whole(rates::stream(bench)?),
            Self::Connect => whole(rates::connect(bench)?),
            Self::Cpu => whole(rates::cpu(bench)?),
            Self::Change => changes::time(bench),
            Self::Disturbance => changes::disturbance(bench),
            Self::Memory => changes::memory(bench),
        })
    }
}

fn omission(task: Task, case: Case, why: String) -> Omission {
    Omission { measurement: task.measurement(), case, variant: task.variant().to_owned(), why }
}

/// Runs `work` on a thread of its own, since it may move that thread to one core or into a
/// namespace; an error and a panic alike are told in a line.
pub fn alone<T: Send>(work: impl FnOnce() -> Result<T, MeasureError> + Send) -> Result<T, String> {
    let done =
        thread::scope(|scope| scope.spawn(|| panic::catch_unwind(AssertUnwindSafe(work))).join());
    match done {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(one_line(&error.to_string())),
        Ok(Err(panic)) | Err(panic) => Err(format!("it broke: {}", one_line(&said(&*panic)))),
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it did not say why".to_owned())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
