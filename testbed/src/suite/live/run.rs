//! Trying cases.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use ringfence_common::verdict::Verdict;
use ringfence_dataplane::compile::{Tables, compile};

use super::LiveError;
use super::cluster::{Cluster, Run, Step};
use super::enforcer::{Backend, Enforcer, EnforcerError, Wanted};
use super::judge::{Decision, Difference, Seen};
use super::report::{Asked, Progress, Report, Skipped, Wrong};
use crate::case::{self, Case, Place};
use crate::prober::{Ask, DISTINCT, Prober};
use crate::suite::{Item, Side};
use crate::topology::Topology;
use crate::workload::Outcome;

/// How long an answer may take that is expected, attempt by attempt. It takes well below a
/// millisecond; the rest is for a machine with something else to do.
const PATIENCE: &[Duration] =
    &[Duration::from_millis(250), Duration::from_millis(350), Duration::from_millis(600)];
/// The same for an answer that is not expected, from a backend that reports its decisions: those
/// prove the denial, and whatever has no decision is asked again.
const LITTLE_PATIENCE: &[Duration] = &[Duration::from_millis(150)];
/// The same from a backend that reports nothing: no time proves that nothing comes.
const BLIND_PATIENCE: &[Duration] = &[Duration::from_millis(200), Duration::from_millis(250)];
/// The same for what was expected and did not come.
const MORE_PATIENCE: &[Duration] = &[Duration::from_millis(900); 4];
/// How long an event or an arrival may take to be seen after the packet.
const DELAY: Duration = Duration::from_millis(50);

/// Tries all probes of `cases` on real networks that `backend` guards. `progress` is told before
/// each case.
///
/// # Errors
///
/// [`LiveError`] when something cannot be tried at all.
pub fn run(
    cases: &[Case],
    backend: Backend,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, LiveError> {
    let mut results: Vec<Report> = cases.iter().map(|case| skip_frames(case, backend)).collect();
    let (clusters, silent) = Cluster::all(cases);
    let mut done = silent.len();
    for step in silent {
        let packets: Vec<Packets<'_>> =
            step.asks.iter().map(|asks| asks.as_deref().map_err(Clone::clone)).collect();
        judge(step.case, &packets, &BTreeMap::new(), &mut results[step.index]);
    }
    for cluster in clusters {
        let mut site = Site::build(&cluster, backend)?;
        for run in &cluster.runs {
            site.run(
                run,
                &mut |step: &Step<'_>, ended| {
                    if ended {
                        done += 1;
                    } else {
                        progress(Progress { done, cases: cases.len(), now: &step.case.name });
                    }
                },
                &mut results,
            )?;
        }
    }
    Ok(results.into_iter().fold(Report::new(backend), |mut all, one| {
        all.probes += one.probes;
        all.wrong.extend(one.wrong);
        all.skipped.extend(one.skipped);
        all
    }))
}

fn skip_frames(case: &Case, backend: Backend) -> Report {
    let frames = case.frames.iter().enumerate().filter_map(|(index, step)| match step {
        case::Step::Frame(frame) => Some(Skipped {
            asked: asked(case, Item::Frame(index), &frame.place, frame.to_string()),
            why: "a frame is not a connection; try it without --live".to_owned(),
        }),
        case::Step::Apply(_) => None,
    });
    Report { skipped: frames.collect(), ..Report::new(backend) }
}

fn asked(case: &Case, item: Item, place: &Place, what: String) -> Asked {
    Asked { place: place.clone(), case: case.name.clone(), item, what }
}

/// A network with the backend on it.
struct Site {
    backend: Backend,
    topology: Topology,
    prober: Prober,
    enforcer: Box<dyn Enforcer>,
    /// What is not answered without policy either, and what became of it.
    unanswered: BTreeMap<Ask, Outcome>,
    /// [`Prober::sent`] when nothing was known of any connection.
    sent_before: u32,
    /// Whether packets that nothing tells apart have been asked since then.
    has_met_alike: bool,
}

impl Site {
    fn build(cluster: &Cluster<'_>, backend: Backend) -> Result<Self, LiveError> {
        let first = cluster.runs.first().and_then(|run| run.steps.first());
        let first = first.map_or_else(String::new, |step| named(step.case));
        let topology =
            Topology::build_wired(&cluster.inventory, &cluster.outsiders(), backend.wiring());
        let topology = topology
            .map_err(|source| LiveError::Topology { case: first.clone(), source: source.into() })?;
        let asks = cluster.asks();
        let prober = Prober::start(&topology, &asks)
            .map_err(|source| LiveError::Prober { case: first.clone(), source: source.into() })?;
        let mut enforcer = backend.enforcer();
        let failed = |source| LiveError::Enforcer {
            case: first.clone(),
            backend,
            what: "let everything pass",
            source,
        };
        enforcer.open(&topology, &cluster.inventory).map_err(failed)?;
        let unanswered = without_policy(&prober, &asks);
        enforcer.off(&topology).map_err(failed)?;
        let sent_before = Prober::sent();
        let has_met_alike = false;
        Ok(Self { backend, topology, prober, enforcer, unanswered, sent_before, has_met_alike })
    }

    /// Tries one case, or the steps of a sequence; `told` hears of each step before and after.
    fn run(
        &mut self,
        run: &Run<'_>,
        told: &mut dyn FnMut(&Step<'_>, bool),
        results: &mut [Report],
    ) -> Result<(), LiveError> {
        for step in &run.steps {
            told(step, false);
            let tables = tables(step.case)?;
            let packets = self.packets(step, &tables);
            let mut seen = BTreeMap::new();
            for round in self.rounds(&packets) {
                if self.is_known(&round) {
                    self.off(step.case)?;
                }
                self.apply(step.case, &tables)?;
                self.has_met_alike |= !round.iter().all(Ask::is_told_apart);
                seen.extend(self.look(step, &tables, &round)?);
            }
            judge(step.case, &packets, &seen, &mut results[step.index]);
            told(step, true);
        }
        Ok(())
    }

    /// For each probe of a step its packets, or why it is not asked here.
    fn packets<'s>(&self, step: &'s Step<'_>, tables: &Tables) -> Vec<Packets<'s>> {
        let inventory = &step.case.policies.inventory;
        let is_hosts = |end| inventory.owner(end).is_some_and(|owner| owner.host);
        let cannot = self.enforcer.cannot(tables);
        let asked = |asks: &'s Result<Vec<Ask>, String>| {
            let asks = asks.as_ref().map_err(Clone::clone)?;
            let with_host = asks.iter().any(|ask| is_hosts(ask.from) || is_hosts(ask.to));
            match (cannot, self.why_not(asks)) {
                (Some(why), _) if with_host => Err(why.to_owned()),
                (_, Some(why)) => Err(why),
                _ => Ok(asks.as_slice()),
            }
        };
        step.asks.iter().map(asked).collect()
    }

    /// Why packets cannot be asked: one of them is not answered without policy either.
    fn why_not(&self, asks: &[Ask]) -> Option<String> {
        let mut unanswered = asks.iter().filter_map(|ask| self.unanswered.get_key_value(ask));
        let (Ask { from, to, .. }, outcome) = unanswered.next()?;
        Some(format!("{from} and {to} do not reach each other without policy either: {outcome}"))
    }

    /// What is asked at once: all packets that are told apart, even where there is none, and of
    /// the others those of the first round, if nothing like them has been met.
    fn rounds(&self, packets: &[Packets<'_>]) -> Vec<BTreeSet<Ask>> {
        let mut rounds = rounds(packets);
        if !self.has_met_alike && rounds.len() > 1 {
            let second = rounds.remove(1);
            rounds[0].extend(second);
        }
        rounds
    }

    /// Whether a packet of `round` could be taken for one of a connection that is known already.
    fn is_known(&self, round: &BTreeSet<Ask>) -> bool {
        let alike = self.has_met_alike && !round.iter().all(Ask::is_told_apart);
        alike || Prober::sent().wrapping_sub(self.sent_before) > DISTINCT / 2
    }

    fn apply(&mut self, case: &Case, tables: &Tables) -> Result<(), LiveError> {
        let wanted = Wanted { tables, mode: case.mode, settings: case.settings };
        let applied = self.enforcer.apply(&self.topology, &wanted);
        applied.map_err(|source| self.failed(case, "apply the policies", source))
    }

    fn off(&mut self, case: &Case) -> Result<(), LiveError> {
        self.sent_before = Prober::sent();
        self.has_met_alike = false;
        let off = self.enforcer.off(&self.topology);
        off.map_err(|source| self.failed(case, "be taken off", source))
    }

    /// Asks `asks` under the policy that holds now, and once more those that may have been lost.
    fn look(
        &mut self,
        step: &Step<'_>,
        tables: &Tables,
        asks: &BTreeSet<Ask>,
    ) -> Result<BTreeMap<Ask, Seen>, LiveError> {
        let expected = expected_to_pass(step);
        self.prober.forget();
        let little = match self.events(step.case)? {
            Some(_) => LITTLE_PATIENCE,
            None => BLIND_PATIENCE,
        };
        let all: Vec<Ask> = asks.iter().copied().collect();
        let patience = |ask: &Ask| if expected.contains(ask) { PATIENCE } else { little };
        let mut seen = self.ask(step.case, tables, &all, &patience)?;
        let again: Vec<Ask> = seen
            .iter()
            .filter(|(ask, seen)| {
                let missing = expected.contains(ask) && seen.outcome != Outcome::Answered;
                missing || seen.may_be_lost()
            })
            .map(|(ask, _)| *ask)
            .collect();
        if !again.is_empty() {
            seen.extend(self.ask(step.case, tables, &again, &|_| MORE_PATIENCE)?);
        }
        Ok(seen)
    }

    fn ask(
        &mut self,
        case: &Case,
        tables: &Tables,
        asks: &[Ask],
        patience: &dyn Fn(&Ask) -> &'static [Duration],
    ) -> Result<BTreeMap<Ask, Seen>, LiveError> {
        let outcomes = self.prober.ask(asks, patience);
        sleep(DELAY);
        let events = self.events(case)?;
        let decisions = |ask: &Ask| {
            let events = events.as_ref()?;
            Some(events.iter().filter_map(|event| Decision::about(ask, event, tables)).collect())
        };
        let seen = |(ask, outcome)| {
            let arrived = self.prober.has_arrived(&ask);
            (ask, Seen { outcome, arrived, decisions: decisions(&ask) })
        };
        Ok(outcomes.into_iter().map(seen).collect())
    }

    fn events(
        &mut self,
        case: &Case,
    ) -> Result<Option<Vec<ringfence_common::abi::event::Event>>, LiveError> {
        let events = self.enforcer.events(&self.topology);
        events.map_err(|source| self.failed(case, "say what it has decided", source))
    }

    fn failed(&self, case: &Case, what: &'static str, source: EnforcerError) -> LiveError {
        LiveError::Enforcer { case: named(case), backend: self.backend, what, source }
    }
}

fn tables(case: &Case) -> Result<Tables, LiveError> {
    compile(&case.policies)
        .map_err(|source| LiveError::Compile { case: named(case), source: Box::new(source) })
}

/// The packets of a probe, or why it is not asked.
type Packets<'s> = Result<&'s [Ask], String>;

/// Puts what was seen beside what was expected.
fn judge(case: &Case, packets: &[Packets<'_>], seen: &BTreeMap<Ask, Seen>, result: &mut Report) {
    for (index, (probe, packets)) in case.probes.iter().zip(packets).enumerate() {
        let asked = asked(case, Item::Probe(index), &probe.place, probe.to_string());
        match packets {
            Err(why) => result.skipped.push(Skipped { asked, why: why.clone() }),
            Ok(packets) => {
                result.probes += 1;
                let not_asked =
                    Seen { outcome: Outcome::Failed(0), arrived: false, decisions: None };
                let difference = packets.iter().find_map(|ask| {
                    let seen = seen.get(ask).unwrap_or(&not_asked);
                    Some((ask, seen.difference(probe)?))
                });
                let backend = result.backend;
                result.wrong.extend(difference.map(|(ask, difference)| {
                    let Difference { side, expected, actual, decision } = difference;
                    Wrong {
                        asked,
                        addresses: (ask.from, ask.to),
                        backend,
                        side,
                        expected,
                        expected_reason: probe.reason.filter(|_| side == Side::Both),
                        actual,
                        reason: decision.as_ref().and_then(|one| one.reason),
                        rule: decision.and_then(|one| one.rule),
                    }
                }));
            }
        }
    }
}

/// What is not answered on an open network.
fn without_policy(prober: &Prober, asks: &BTreeSet<Ask>) -> BTreeMap<Ask, Outcome> {
    let mut unanswered = BTreeMap::new();
    let mut missing: Vec<Ask> = asks.iter().copied().collect();
    for patience in [PATIENCE, MORE_PATIENCE] {
        unanswered = prober.ask(&missing, &|_| patience);
        unanswered.retain(|_, outcome| *outcome != Outcome::Answered);
        missing = unanswered.keys().copied().collect();
        if missing.is_empty() {
            break;
        }
    }
    unanswered
}

fn expected_to_pass(step: &Step<'_>) -> BTreeSet<Ask> {
    let probes = step.case.probes.iter().zip(&step.asks);
    let passing = probes.filter(|(probe, _)| probe.expect != Verdict::Deny);
    passing.flat_map(|(_, asks)| asks.iter().flatten().copied()).collect()
}

/// What is asked at once: first all packets that are told apart, even where there is none. Then,
/// in rounds, those that are not: in each one between the same two ends with the same protocol.
fn rounds(packets: &[Packets<'_>]) -> Vec<BTreeSet<Ask>> {
    let asks = packets.iter().flatten().copied().flatten().copied();
    let (first, others): (BTreeSet<Ask>, BTreeSet<Ask>) = asks.partition(Ask::is_told_apart);
    let mut rounds = vec![first];
    let mut met: BTreeMap<_, usize> = BTreeMap::new();
    for ask in others {
        let ends = (ask.from.min(ask.to), ask.from.max(ask.to), ask.protocol());
        let round = met.entry(ends).or_default();
        *round += 1;
        if rounds.len() <= *round {
            rounds.push(BTreeSet::new());
        }
        rounds[*round].insert(ask);
    }
    rounds
}

fn named(case: &Case) -> String {
    format!("{}: {}", case.place, case.name)
}
