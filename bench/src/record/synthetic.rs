//! A record that nobody measured: its figures come from formulas, for tests alone.

use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};

use super::{GoalLine, Measurement, Omission, Record, Run, Sample, Tree, statistic, variant};
use crate::machine::Machine;

/// A case: the last of so many rules matches.
pub fn case(contender: Contender, rules: usize, mismatch: Mismatch) -> Case {
    let tracking = if contender.is_bare() { Tracking::Stateless } else { Tracking::New };
    Case { contender, rules, position: Position::Last, mismatch, tracking, family: Family::V4 }
}

/// Two passes of three rounds around a value; a round differs by a percent or two.
pub fn samples(
    measurement: Measurement,
    case: Case,
    (variant, statistic): (&str, &str),
    value: f64,
) -> Vec<Sample> {
    let rounds = (1..=2).flat_map(|pass| (1..=3).map(move |round| (pass, round)));
    let sample = |(pass, round): (u32, u32)| Sample {
        measurement,
        case,
        variant: variant.to_owned(),
        statistic: statistic.to_owned(),
        pass,
        round,
        value: value * (0.97 + 0.01 * f64::from(pass + round)),
    };
    rounds.map(sample).collect()
}

/// A machine of no make.
pub fn machine() -> Machine {
    let text = |text: &str| text.to_owned();
    Machine {
        processor: text("Synthetic Processor 1"),
        cores: 4,
        memory_bytes: 8 << 30,
        virtualised: text("no"),
        governor: text("performance"),
        turbo: text("off"),
        kernel: text("6.18.0"),
        jit: text("on"),
        mitigations: text("spectre_v2: Retpolines"),
        load: 0.02,
        load_after: Some(1.5),
        iptables: text("iptables v1.8.9 (legacy)"),
        iptables_nft: text("iptables v1.8.9 (nf_tables)"),
        nft: text("nftables v1.0.6"),
        ipset: text("ipset v7.17"),
        rustc: text("rustc 1.95.0"),
    }
}

/// A record as of a whole run.
pub fn record() -> Record {
    let run = Run {
        command: "cargo bench".to_owned(),
        commit: "abc1234".to_owned(),
        tree: Tree::Clean,
        started: "2026-01-31T12:00:00Z".to_owned(),
        seconds: 432.1,
        complete: true,
    };
    let mut samples = Vec::new();
    for contender in Contender::ALL {
        if contender.is_control() {
            measure(&mut samples, contender, 0, Mismatch::Address);
            continue;
        }
        for rules in [100, 1_000, 10_000, 100_000] {
            for mismatch in [Mismatch::Address, Mismatch::Port] {
                let is_too_slow = cost(contender, rules, mismatch) > 1e6;
                if !is_too_slow && (mismatch == Mismatch::Address || rules < 100_000) {
                    measure(&mut samples, contender, rules, mismatch);
                }
            }
        }
    }
    let omissions = [Measurement::Send, Measurement::Drop].map(|measurement| Omission {
        measurement,
        case: case(Contender::BareIptables, 100_000, Mismatch::Port),
        variant: String::new(),
        why: "a chain of more than 30,000 ports cannot be made".to_owned(),
    });
    let goal = GoalLine {
        goal: "G8".to_owned(),
        case: "10K rules".to_owned(),
        bound: "at most".to_owned(),
        limit: 0.5,
        measured: 0.31,
        unit: "×".to_owned(),
        met: true,
        reading: "62 ns beside 200 ns".to_owned(),
    };
    Record { machine: machine(), run, samples, omissions: omissions.into(), goals: vec![goal] }
}

/// What a filter adds to a packet, in nanoseconds, by formula.
fn cost(contender: Contender, rules: usize, mismatch: Mismatch) -> f64 {
    let rules = rules as f64;
    let each = if mismatch == Mismatch::Port { 28.0 } else { 6.0 };
    match contender {
        Contender::None => 0.0,
        Contender::EmptyTcx => 30.0,
        Contender::EmptyXdp => 900.0,
        Contender::EbpfTcx => 80.0,
        Contender::EbpfXdp => 1_000.0,
        Contender::Userspace => 9_000.0,
        Contender::IptablesFlat => 500.0 + each * rules,
        Contender::Iptables => 600.0 + each * rules.sqrt(),
        Contender::IptablesNft => 800.0 + 2.0 * each * rules,
        Contender::Ipset => 700.0,
        Contender::Nftables => 650.0,
        Contender::BareIptables => 100.0 + each * rules,
        Contender::BareIptablesNft => 150.0 + 2.0 * each * rules,
        Contender::BareNft => 150.0 + 1.5 * each * rules,
        Contender::BareIpset => 300.0,
        Contender::BareNftSet => 200.0,
    }
}

fn measure(all: &mut Vec<Sample>, contender: Contender, rules: usize, mismatch: Mismatch) {
    let case = case(contender, rules, mismatch);
    let added = cost(contender, rules, mismatch);
    let mut add = |case, measurement, variant, statistic, value| {
        all.extend(samples(measurement, case, (variant, statistic), value));
    };
    add(case, Measurement::Send, "", statistic::MEDIAN, 1_500.0 + added);
    if contender != Contender::None {
        add(case, Measurement::Send, "", statistic::ADDED, added);
    }
    add(case, Measurement::LossFree, "", statistic::RATE, 1e9 / (1_600.0 + added));
    if mismatch == Mismatch::Port {
        return;
    }
    for (place, load) in variant::LOADS.into_iter().enumerate() {
        let waiting =
            3_f64.powi(i32::try_from(place % 4).unwrap()) + if place >= 4 { 1.0 } else { 0.0 };
        let trip = (15_000.0 + added) * waiting;
        add(case, Measurement::RoundTrip, load, statistic::P50, trip);
        add(case, Measurement::RoundTrip, load, statistic::P99, trip * 4.0);
    }
    add(case, Measurement::RoundTrip, variant::FIRST_PACKET, statistic::P50, 20_000.0 + added);
    if contender != Contender::None {
        add(case, Measurement::RoundTrip, variant::UNLOADED, statistic::ADDED_P50, added);
    }
    add(case, Measurement::Connect, "", statistic::RATE, 1e9 / (60_000.0 + 2.0 * added));
    if contender.is_control() {
        return;
    }
    add(case, Measurement::Drop, "AF_PACKET", statistic::RATE, 1e9 / (900.0 + added));
    let is_ours = matches!(contender, Contender::EbpfTcx | Contender::EbpfXdp);
    if is_ours {
        add(case, Measurement::Decision, variant::HOT, statistic::MEDIAN, 45.0);
        add(case, Measurement::Decision, variant::RANDOM, statistic::MEDIAN, 60.0);
        for variant in [variant::HOT, variant::RANDOM] {
            let place = if contender == Contender::EbpfTcx {
                Contender::EmptyTcx
            } else {
                Contender::EmptyXdp
            };
            let empty = Case { contender: place, ..case };
            add(empty, Measurement::Decision, variant, statistic::MEDIAN, 30.0);
        }
    }
    let chain = [Contender::BareIptables, Contender::IptablesFlat, Contender::Iptables];
    let one = match contender {
        _ if is_ours => 8_000.0,
        _ if chain.contains(&contender) => 1e6 + 2_000.0 * rules as f64,
        _ => 150_000.0,
    };
    add(case, Measurement::Change, variant::ONE_RULE, statistic::CALL, one);
    let each = if is_ours { 600.0 } else { 20_000.0 };
    add(case, Measurement::Change, variant::LOADED, statistic::CALL, each * rules as f64);
    add(case, Measurement::Memory, "", statistic::KERNEL, 100.0 * rules as f64);
}
