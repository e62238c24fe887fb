//! What the essays claim, beside what was measured.
//!
//! Goals: (a) every line of the essays' table is answered; (b) a claim is not refuted by one reading
//! of it where it is true of another; (c) no answer without samples.
//!
//! Design. "Latency" is read in four ways (b): what a filter adds to a packet, to a connection, what
//! a change of a rule takes, and how long a packet is under way when more is sent than gets through.
//! The first is what the word means where policy is concerned and decides whether a claim holds; if
//! it does not, the others say of what else it may be true. [`answers`] computes everything from
//! the samples (c).
//!
//! Not done: Cilium itself, and service meshes with their proxies, are not run. What is said of eBPF
//! is measured of Ringfence's programs.

mod evaluation;
mod latency;
mod overhead;
mod update;
mod verdict;

pub use self::verdict::Verdict;

use super::figures::Figures;

/// One claim and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is claimed, and of whom.
    pub claim: String,
    /// Each way to read it.
    pub readings: Vec<Reading>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// One way to read a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Of what.
    pub of: String,
    /// What was measured; empty if nothing was.
    pub measured: String,
    /// Whether the claim is right of it.
    pub verdict: Verdict,
}

impl Reading {
    /// What it is of, with what was measured if that is one figure.
    fn short(&self) -> String {
        let Self { of, measured, .. } = self;
        if measured.contains(',') { of.clone() } else { format!("{of} ({measured})") }
    }

    fn not_measured(of: impl Into<String>) -> Self {
        Self { of: of.into(), measured: String::new(), verdict: Verdict::NotMeasured }
    }
}

/// All claims, in the order of the essays.
#[must_use]
pub fn answers(figures: &Figures) -> Vec<Answer> {
    let mut all = vec![
        evaluation::chain(figures),
        evaluation::hash(figures),
        update::rebuild(figures),
        update::incremental(figures),
    ];
    for (rules, low, high) in [(1_000, 5e6, 10e6), (10_000, 50e6, 100e6)] {
        all.push(latency::chain(figures, rules, (low, high)));
        all.push(latency::ebpf(figures, rules));
    }
    all.push(Answer {
        claim: "observability: iptables limited, eBPF deep".to_owned(),
        readings: Vec::new(),
        verdict: Verdict::OutOfScope("no measurement says how much can be seen"),
    });
    all.push(overhead::latency(figures));
    all.push(overhead::memory(figures));
    all.push(Answer {
        claim: "Cilium (eBPF): processor time minimal".to_owned(),
        readings: Vec::new(),
        verdict: Verdict::OutOfScope("`minimal` is no number"),
    });
    all
}

/// What the claim says if it is taken by its word, and of what else it is true, or not.
fn overall(literal: &[Reading], others: &[Reading]) -> Verdict {
    let measured = |reading: &&Reading| reading.verdict != Verdict::NotMeasured;
    // The reading that is kindest to the claim: the rules that cost most come last.
    let holds = literal.iter().find(|reading| reading.verdict == Verdict::Holds);
    let Some(literally) = holds.or_else(|| literal.iter().rfind(measured)) else {
        return Verdict::NotMeasured;
    };
    let is_literal = literally.verdict == Verdict::Holds;
    let differs = |reading: &&Reading| (reading.verdict == Verdict::Holds) != is_literal;
    let others: Vec<String> =
        others.iter().filter(measured).filter(differs).map(Reading::short).collect();
    let joined = others.join(if is_literal { ", nor of " } else { " and of " });
    match (is_literal, joined.is_empty()) {
        (true, true) => Verdict::Holds,
        (true, false) => Verdict::HoldsBut(joined),
        (false, true) => literally.verdict.clone(),
        (false, false) => Verdict::TrueOf(joined, Box::new(literally.verdict.clone())),
    }
}
