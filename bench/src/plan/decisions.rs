//! What a decision costs in the kernel, the programs run alone.

use std::iter;

use ringfence_testbed::lab::{Case, Contender, Mismatch, Position, Tracking};

use super::bench::Effort;
use crate::kernel::{Keys, MeasureError, Packets, Seat, Station, Subject};
use crate::measure::Setting;
use crate::record::{Measurement, Omission, Sample, statistic, variant};
use crate::rounds::Rounds;
use crate::workload::{Crowd, Entry, Family, Place};

/// How the programs are called, beside the empty one of the same hook.
const PLACES: [(Place, Contender, Contender); 2] = [
    (Place::WorkloadAtTc, Contender::EbpfTcx, Contender::EmptyTcx),
    (Place::HostAtXdp, Contender::EbpfXdp, Contender::EmptyXdp),
];

/// What is decided: a packet that no rule allows, by the tables alone; and one of a connection that
/// was allowed.
const DECIDED: [(Entry, Packets, Position, Tracking); 2] = [
    (Entry::Deny, Packets::First, Position::None, Tracking::New),
    (Entry::Allow, Packets::Established, Position::Last, Tracking::Established),
];

/// One program on one kind of packet, over a policy.
struct Point {
    case: Case,
    station: usize,
    subject: Subject,
    packets: Packets,
    keys: Keys,
}

/// Measures policies of so many rules, everything in turns.
///
/// # Errors
///
/// [`MeasureError`] when a packet is decided wrongly, or the kernel refuses.
pub fn measure(rules: &[usize], pass: u32, effort: Effort) -> Result<Vec<Sample>, MeasureError> {
    let seat = Seat::take()?;
    let (mut stations, mut points) = (Vec::new(), Vec::new());
    for &rules in rules {
        for (place, own, empty) in PLACES {
            for (entry, packets, position, tracking) in DECIDED {
                let crowd = Crowd::new(place, Family::V4, entry, rules);
                let mut station = Station::new(&seat, place, crowd)?;
                // Random peers of known connections need a connection each.
                let every_key = match packets {
                    Packets::First => vec![Keys::Hot, Keys::Random],
                    Packets::Established => vec![Keys::Hot],
                };
                if packets == Packets::Established {
                    station.establish(Keys::Hot)?;
                }
                for (keys, (subject, contender)) in every_key.into_iter().flat_map(|keys| {
                    iter::repeat(keys).zip([(Subject::Engine, own), (Subject::Empty, empty)])
                }) {
                    let case = case(contender, rules, position, tracking);
                    points.push(Point { case, station: stations.len(), subject, packets, keys });
                }
                stations.push(station);
            }
        }
    }
    let rounds = Rounds::take(effort.decision_rounds, points.len(), |number| {
        let Point { station, subject, packets, keys, .. } = points[number];
        stations[station].measure(subject, packets, keys, effort.repeat).map(|ns| ns as f64)
    })?;
    let of_round = |(round, values): (usize, &[f64])| -> Vec<Sample> {
        let sample = |(point, value): (&Point, &f64)| {
            let variant = if point.keys == Keys::Hot { variant::HOT } else { variant::RANDOM };
            let setting = Setting {
                measurement: Measurement::Decision,
                case: point.case,
                variant: variant.to_owned(),
                pass,
                round: u32::try_from(round + 1).unwrap_or(u32::MAX),
            };
            setting.sample(statistic::MEDIAN, *value)
        };
        points.iter().zip(values).map(sample).collect()
    };
    Ok(rounds.all().enumerate().flat_map(of_round).collect())
}

/// What is missing without these measurements.
pub fn omissions(rules: &[usize], why: &str) -> Vec<Omission> {
    let of = |(rules, (_, contender, _)): (&usize, (Place, Contender, Contender))| Omission {
        measurement: Measurement::Decision,
        case: case(contender, *rules, Position::None, Tracking::New),
        variant: String::new(),
        why: why.to_owned(),
    };
    rules.iter().flat_map(|rules| PLACES.map(|place| of((rules, place)))).collect()
}

fn case(contender: Contender, rules: usize, position: Position, tracking: Tracking) -> Case {
    let family = ringfence_testbed::lab::Family::V4;
    Case { contender, rules, position, mismatch: Mismatch::Address, tracking, family }
}
