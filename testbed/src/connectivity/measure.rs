//! Asking every question at once.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use crate::topology::{Family, Place};
use crate::workload::{self, Outcome, Process, Question, Transport};

/// Questions of one place that are open at once, at most.
const OPEN_AT_ONCE: u64 = 256;

/// What is wanted of the limit on open files: enough that no question waits for another.
const FILES_WANTED: u64 = 16_384;

/// Open files that are not questions: servers, namespaces, an engine's maps.
const FILES_KEPT: u64 = 600;

/// How long an answer may take, attempt by attempt. An answer takes well below a millisecond;
/// the rest is for a machine with something else to do.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(350), Duration::from_millis(600)];

/// How long it may take when it was expected and did not come.
const MORE_PATIENCE: [Duration; 4] = [Duration::from_millis(900); 4];

/// One question: which place asks which, and how. Places are numbered as in
/// [`crate::topology::Topology::places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// Who asks.
    pub source: usize,
    /// Who is asked.
    pub destination: usize,
    /// The destination's port.
    pub port: u16,
    /// The protocol.
    pub transport: Transport,
    /// The IP version.
    pub family: Family,
}

/// Every ordered pair of places in different namespaces, on each of `ports`, over both protocols
/// and with each family that both have. Sorted.
#[must_use]
pub fn probes(places: &[Place], ports: &[u16]) -> Vec<Probe> {
    let mut probes = Vec::new();
    for (source, from) in places.iter().enumerate() {
        for (destination, to) in places.iter().enumerate() {
            if Arc::ptr_eq(&from.namespace, &to.namespace) {
                continue;
            }
            for &port in ports {
                for transport in Transport::ALL {
                    for family in Family::ALL {
                        if from.address(family).is_some() && to.address(family).is_some() {
                            probes.push(Probe { source, destination, port, transport, family });
                        }
                    }
                }
            }
        }
    }
    probes.sort_unstable();
    probes
}

/// Asks every question of `probes`, all at once, and what was expected to be answered and was
/// not once more, alone and with more patience. An answer that was not expected needs no second
/// try: no accident makes one.
#[must_use]
pub fn measure(
    processes: &[Process],
    probes: &[Probe],
    expected: &dyn Fn(&Probe) -> bool,
) -> BTreeMap<Probe, Outcome> {
    let mut outcomes = round(processes, probes, &PATIENCE);
    let missing: Vec<Probe> = outcomes
        .iter()
        .filter(|(probe, outcome)| **outcome != Outcome::Answered && expected(probe))
        .map(|(probe, _)| *probe)
        .collect();
    outcomes.extend(round(processes, &missing, &MORE_PATIENCE));
    outcomes
}

fn round(
    processes: &[Process],
    probes: &[Probe],
    patience: &'static [Duration],
) -> BTreeMap<Probe, Outcome> {
    let (sender, receiver) = mpsc::channel();
    let open_at_once = open_at_once(processes.len());
    let permits: Vec<_> =
        processes.iter().map(|_| Arc::new(Semaphore::new(open_at_once))).collect();
    for &probe in probes {
        let question = Question::new(processes, probe);
        let permits = Arc::clone(&permits[probe.source]);
        let sender = sender.clone();
        processes[probe.source].spawn(async move {
            let _permit = permits.acquire().await;
            // Nobody listens any more only when the measurement was given up.
            let _ = sender.send((probe, workload::ask(question, patience).await));
        });
    }
    drop(sender);
    let mut outcomes: BTreeMap<_, _> = receiver.iter().collect();
    for probe in probes {
        // A task that ended without a word asked nothing, which is no denial.
        outcomes.entry(*probe).or_insert(Outcome::Failed(0));
    }
    outcomes
}

/// How many questions each of `places` may have open, so that all of them with their answers
/// stay within the limit on open files, which is raised first as far as it goes.
pub(crate) fn open_at_once(places: usize) -> usize {
    let files = raise_file_limit().unwrap_or(FILES_KEPT);
    let places = u64::try_from(places).unwrap_or(u64::MAX).max(1);
    let questions = (files.saturating_sub(FILES_KEPT) / 2 / places).clamp(1, OPEN_AT_ONCE);
    usize::try_from(questions).unwrap_or(1)
}

/// Raises the process's soft limit on open files and says what it is now.
fn raise_file_limit() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = FILES_WANTED.min(hard).max(soft);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    Ok(wanted)
}
