//! What cannot be counted: base and head timed in turns.
//!
//! Both probes are loaded and run in rounds of base, head, head, base, so that a machine that gets
//! slower or faster meanwhile does so for both. Where code and tables lie in memory makes up to some
//! percent, the same in all rounds of one process; so both are started anew every few rounds. What
//! seems slower is timed once more from the beginning, and only what seems so again is.

use std::path::Path;

use anyhow::Result;

use super::row::{Row, Verdict};
use super::server::Server;
use super::sign::{FEWEST_ROUNDS, LEAST_RATIO, Reading, median};

/// Rounds, unless somebody says otherwise.
pub const ROUNDS: usize = 30;

/// Rounds before both are started anew.
const ROUNDS_OF_ONE_START: usize = 5;

/// What was timed, and what could not be.
#[derive(Debug)]
pub struct Timed {
    /// A row for each workload.
    pub rows: Vec<Row>,
    /// Why not more.
    pub missing: Option<String>,
}

/// Nanoseconds of one workload, round by round.
#[derive(Debug, Default)]
struct Rounds {
    base: Vec<f64>,
    head: Vec<f64>,
}

/// Times all that both can time.
pub fn compare(base: &Path, head: &Path, rounds: usize) -> Result<Timed> {
    let probes = [base, head];
    let (started, names) = start(probes)?;
    let missing = started.into_iter().find_map(|server| server.missing);
    let first = take(probes, &names, rounds)?;
    let readings: Vec<Reading> = first.iter().map(Rounds::reading).collect();
    let suspects = suspects(&readings, rounds);
    let suspected: Vec<String> = suspects.iter().map(|index| names[*index].clone()).collect();
    if !suspected.is_empty() {
        eprintln!("once more: {}", suspected.join("; "));
    }
    let again = take(probes, &suspected, rounds)?;
    let row = |(index, name): (usize, &String)| {
        let again = suspects.iter().position(|suspect| *suspect == index).map(|at| &again[at]);
        row(name, &first[index], again, rounds)
    };
    Ok(Timed { rows: names.iter().enumerate().map(row).collect(), missing })
}

/// Those that seem slower.
fn suspects(readings: &[Reading], rounds: usize) -> Vec<usize> {
    let seems = |index: &usize| rounds >= FEWEST_ROUNDS && readings[*index].is_slower();
    (0..readings.len()).filter(seems).collect()
}

/// Starts both, and says what both can time.
fn start(probes: [&Path; 2]) -> Result<([Server; 2], Vec<String>)> {
    let [base, head] = [Server::start(probes[0])?, Server::start(probes[1])?];
    let known = |name: &&String| base.workloads.contains(name);
    let names = head.workloads.iter().filter(known).cloned().collect();
    Ok(([base, head], names))
}

/// So many rounds of each of `names`.
fn take(probes: [&Path; 2], names: &[String], rounds: usize) -> Result<Vec<Rounds>> {
    let mut taken: Vec<Rounds> = names.iter().map(|_| Rounds::default()).collect();
    let mut done = 0;
    while done < rounds && !names.is_empty() {
        let count = ROUNDS_OF_ONE_START.min(rounds - done);
        let (mut servers, _) = start(probes)?;
        for (name, taken) in names.iter().zip(&mut taken) {
            for number in done..done + count {
                taken.round(number, |which| servers[which].batch(name))?;
            }
        }
        done += count;
        eprintln!("timed {done} of {rounds} rounds");
    }
    Ok(taken)
}

impl Rounds {
    /// One round; `batch` times base (0) or head (1). Every second round begins with head.
    fn round(&mut self, number: usize, mut batch: impl FnMut(usize) -> Result<f64>) -> Result<()> {
        let outer = number % 2;
        let mut spent = [0.0; 2];
        for which in [outer, 1 - outer, 1 - outer, outer] {
            spent[which] += batch(which)?;
        }
        self.base.push(spent[0] / 2.0);
        self.head.push(spent[1] / 2.0);
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading::of(&self.base, &self.head)
    }
}

fn row(name: &str, first: &Rounds, again: Option<&Rounds>, rounds: usize) -> Row {
    let (reading, again) = (first.reading(), again.map(Rounds::reading));
    let verdict = match again {
        _ if rounds < FEWEST_ROUNDS => Verdict::NotJudged,
        Some(again) if again.is_slower() => Verdict::Worse,
        _ if reading.ratio > 1.0 => Verdict::Allowed,
        _ if reading.ratio < 1.0 => Verdict::Better,
        _ => Verdict::Same,
    };
    Row {
        what: "time".to_owned(),
        of: name.to_owned(),
        unit: "ns",
        base: Some(median(first.base.clone())),
        head: Some(median(first.head.clone())),
        change: Some(reading.ratio),
        allowed: LEAST_RATIO - 1.0,
        verdict,
        note: note(reading, again),
    }
}

fn note(first: Reading, again: Option<Reading>) -> String {
    let say = |reading: Reading| {
        let Reading { slower, faster, p, .. } = reading;
        format!("slower in {slower} rounds, faster in {faster}, p = {p:.4}")
    };
    match again {
        None => say(first),
        Some(again) => {
            let ratio = again.ratio;
            format!("{}; once more: {ratio:.3}×, {}", say(first), say(again))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many rounds, in which head takes `ratio` of what base takes; with a little noise.
    fn rounds(count: usize, ratio: f64) -> Rounds {
        let noise = |number: usize| [1.0, 1.01, 0.99][number % 3];
        let base = vec![100.0; count];
        let head = (0..count).map(|number| 100.0 * ratio * noise(number)).collect();
        Rounds { base, head }
    }

    fn verdict(first: f64, again: Option<f64>, count: usize) -> Verdict {
        let first = rounds(count, first);
        assert_eq!(suspects(&[first.reading()], count).len(), usize::from(again.is_some()));
        row("it", &first, again.map(|ratio| rounds(count, ratio)).as_ref(), count).verdict
    }

    #[test]
    fn only_what_is_slower_twice_is_a_regression() {
        assert_eq!(verdict(1.08, Some(1.08), ROUNDS), Verdict::Worse);
        assert_eq!(verdict(1.08, Some(1.0), ROUNDS), Verdict::Allowed);
        assert_eq!(verdict(1.08, Some(0.5), ROUNDS), Verdict::Allowed);
        assert_eq!(verdict(1.04, None, ROUNDS), Verdict::Allowed);
        assert_eq!(verdict(0.9, None, ROUNDS), Verdict::Better);
    }

    #[test]
    fn few_rounds_say_nothing() {
        assert_eq!(verdict(2.0, None, FEWEST_ROUNDS - 1), Verdict::NotJudged);
        assert_eq!(verdict(2.0, Some(2.0), FEWEST_ROUNDS), Verdict::Worse);
    }

    #[test]
    fn a_round_is_base_head_head_base_and_the_next_one_the_other_way() {
        let mut order = Vec::new();
        let mut taken = Rounds::default();
        for number in 0..2 {
            let batch = |which| {
                order.push(which);
                Ok(order.len() as f64)
            };
            taken.round(number, batch).unwrap();
        }
        assert_eq!(order, [0, 1, 1, 0, 1, 0, 0, 1]);
        // What gets slower evenly does so for both.
        assert_eq!((taken.base, taken.head), (vec![2.5, 6.5], vec![2.5, 6.5]));
    }

    #[test]
    fn the_row_says_what_was_seen_both_times() {
        let row = row("denied", &rounds(30, 1.2), Some(&rounds(30, 1.1)), 30);
        assert_eq!(
            row.cause().split(", ").next(),
            Some("time of denied: 100 ns → 120 ns (+20.0 %)")
        );
        assert!(row.note.contains("slower in 30 rounds, faster in 0, p = 0.0000; once more: 1.1"));
    }
}
