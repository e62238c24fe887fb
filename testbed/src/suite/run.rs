//! All cases through all backends.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use super::backend::{Backend, BackendName, Run, SuiteError};
use super::judge::{self, Judged};
use super::report::{Answered, Failure, Item, NotAsked, Report, Totals};
use crate::case::{Case, Place, Step};

/// Runs `cases` on `backends`, each at all its hooks. `done` is told of every case that one run of
/// one backend has finished with; [`BackendName::runs`] says how many that will be.
///
/// # Errors
///
/// [`SuiteError`] when a case cannot be compiled, or a backend fails at something else than a
/// verdict. [`BackendName::check`] foretells what is missing.
pub fn run(
    cases: &[Case],
    backends: &[BackendName],
    done: &(dyn Fn() + Sync),
) -> Result<Report, SuiteError> {
    let chosen: BTreeSet<BackendName> = backends.iter().copied().collect();
    let runs: Vec<Run> = chosen.iter().flat_map(|backend| backend.runs()).collect();
    // A thread for each: one may have to live in a namespace of its own.
    let played = thread::scope(|scope| {
        let start = |run: &Run| {
            let run = *run;
            scope.spawn(move || play(cases, run, done))
        };
        let threads: Vec<_> = runs.iter().map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or(Err(SuiteError::Panicked))
        };
        threads.into_iter().map(join).collect::<Result<Vec<Played>, SuiteError>>()
    })?;
    Ok(add_up(cases, &chosen, played))
}

/// What came of one run.
struct Played {
    run: Run,
    totals: Totals,
    failures: Vec<Failure>,
    not_asked: Vec<NotAsked>,
    answered: BTreeSet<Answered>,
}

fn play(cases: &[Case], run: Run, done: &(dyn Fn() + Sync)) -> Result<Played, SuiteError> {
    let mut backend = run.open()?;
    let mut played = Played {
        run,
        totals: Totals::default(),
        failures: Vec::new(),
        not_asked: Vec::new(),
        answered: BTreeSet::new(),
    };
    for (index, case) in cases.iter().enumerate() {
        played.case(&mut *backend, index, case)?;
        done();
    }
    Ok(played)
}

impl Played {
    fn case(
        &mut self,
        backend: &mut dyn Backend,
        index: usize,
        case: &Case,
    ) -> Result<(), SuiteError> {
        backend.begin(case)?;
        for (number, probe) in case.probes.iter().enumerate() {
            let judged = judge::probe(backend, case, probe)?;
            self.totals.probes += 1;
            let asked = (Item::Probe(number), probe.to_string(), &probe.place);
            self.add(index, case, asked, judged);
        }
        backend.forget()?;
        for (number, step) in case.frames.iter().enumerate() {
            match step {
                Step::Apply(apply) => {
                    backend.wait(apply.after)?;
                    backend.apply(&apply.policies)?;
                }
                Step::Frame(frame) => {
                    let judged = judge::frame(backend, case, frame)?;
                    self.totals.frames += 1;
                    let asked = (Item::Frame(number), frame.to_string(), &frame.place);
                    self.add(index, case, asked, judged);
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        case_index: usize,
        case: &Case,
        (item, asked, place): (Item, String, &Place),
        judged: Judged,
    ) {
        let run = self.run;
        self.answered.extend(judged.said.into_iter().map(|(direction, said)| Answered {
            case_index,
            item,
            backend: run.backend,
            hook: said.hook,
            direction,
            reason: said.reason,
        }));
        let (case, asked) = (case.name.clone(), format!("{item} {asked}"));
        if let Some((inapplicable, why)) = judged.not_asked {
            match inapplicable {
                true => self.totals.inapplicable += 1,
                false => self.totals.skipped += 1,
            }
            let (case, asked) = (case.clone(), asked.clone());
            self.not_asked.push(NotAsked { case_index, case, item, asked, run, inapplicable, why });
        }
        if let Some(wrong) = judged.wrong {
            self.totals.wrong += 1;
            let place = place.clone();
            self.failures.push(Failure { case_index, case, item, asked, place, run, wrong });
        }
    }
}

fn add_up(cases: &[Case], chosen: &BTreeSet<BackendName>, played: Vec<Played>) -> Report {
    let mut report = Report {
        cases: cases.len(),
        probes: cases.iter().map(|case| case.probes.len()).sum(),
        frames: cases.iter().map(|case| case.seen().count()).sum(),
        ..Report::default()
    };
    let mut totals: BTreeMap<BackendName, BTreeMap<Run, Totals>> = BTreeMap::new();
    for one in played {
        totals.entry(one.run.backend).or_default().insert(one.run, one.totals);
        report.failures.extend(one.failures);
        report.not_asked.extend(one.not_asked);
        report.answered.extend(one.answered);
    }
    report.failures.sort_by_key(|failure| (failure.case_index, failure.item, failure.run));
    report.not_asked.sort_by_key(|one| (one.case_index, one.item, one.run));
    for backend in chosen {
        let runs = totals.remove(backend).unwrap_or_default();
        let totals = Totals::of(runs, &report.failures, &report.not_asked, *backend);
        report.backends.push((*backend, totals));
    }
    report
}
