//! G1, G3, G4, G6: what deciding a packet costs.

use std::collections::BTreeSet;

use super::{Bound, Goal, Progress, Row};
use crate::kernel::{Keys, MeasureError, Packets, Seat, Station, Subject};
use crate::rounds::Rounds;
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G1, Goal::G3, Goal::G4, Goal::G6];

/// Rounds that count.
const ROUNDS: usize = 21;

/// Packets of one measurement.
const REPEAT: u32 = 100_000;

/// The policies that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    place: Place,
    entry: Entry,
    entries: usize,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    policy: Policy,
    subject: Subject,
    packets: Packets,
    /// Nothing for the program alone, with nothing drawn and nothing called.
    keys: Option<Keys>,
}

/// Measures those of [`GOALS`] that are asked for, in one interleaved run.
pub fn measure(goals: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let points = points(goals);
    let seat = Seat::take()?;
    let mut policies: Vec<Policy> = Vec::new();
    for point in &points {
        if !policies.contains(&point.policy) {
            policies.push(point.policy);
        }
    }
    let mut stations = Vec::new();
    for policy in &policies {
        progress.begin(&format!("loading {} entries", policy.entries));
        let crowd = Crowd::new(policy.place, Family::V4, policy.entry, policy.entries);
        let mut station = Station::new(&seat, policy.place, crowd)?;
        if policy.entry == Entry::Allow {
            station.establish(Keys::Hot)?;
        }
        stations.push(station);
    }
    progress.begin("deciding packets");
    let (mut done, all) = (0, (ROUNDS + 1) * points.len());
    let rounds = Rounds::take(ROUNDS, points.len(), |number| {
        let point = points[number];
        let at = policies.iter().position(|policy| *policy == point.policy).unwrap_or_default();
        let Point { subject, packets, keys, .. } = point;
        let ns = match keys {
            Some(keys) => stations[at].measure(subject, packets, keys, REPEAT),
            None => stations[at].measure_alone(subject, packets, REPEAT),
        };
        done += 1;
        progress.step(done, all);
        ns.map(|ns| ns as f64)
    })?;
    let figures = Figures { points, rounds };
    let rows_of = |goal: &Goal| match goal {
        Goal::G1 => figures.hot(),
        Goal::G3 => figures.against(*goal, Subject::ThreeTries, [12.0, 25.0, 25.0]),
        Goal::G4 => figures.against(*goal, Subject::TwoHashes, [4.0, 5.0, 6.0]),
        _ => figures.flatness(),
    };
    Ok(goals.iter().flat_map(rows_of).collect())
}

/// Where the controls are measured.
const COMPARED: [usize; 3] = [1_000, 10_000, 100_000];

/// Entries of the policy whose packets are decided over and over.
const HOT: usize = 10_000;

/// How much more than at 1,000 entries the decision may cost.
const FLAT: [(usize, f64); 3] = [(10_000, 1.6), (100_000, 4.0), (1_000_000, 8.0)];

/// A policy that denies, which leaves nothing behind: the stateless decision.
const fn denying(entries: usize) -> Policy {
    Policy { place: Place::HostAtXdp, entry: Entry::Deny, entries }
}

const fn allowing(place: Place) -> Policy {
    Policy { place, entry: Entry::Allow, entries: HOT }
}

/// What has to be measured for `goals`.
fn points(goals: &BTreeSet<Goal>) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut add = |point: Point| {
        let empty = Point { subject: Subject::Empty, ..point };
        for point in [empty, point] {
            if !points.contains(&point) {
                points.push(point);
            }
        }
    };
    let first = |policy, subject, keys| Point { policy, subject, packets: Packets::First, keys };
    for goal in goals {
        match goal {
            Goal::G1 => {
                add(first(denying(HOT), Subject::Engine, None));
                for place in [Place::HostAtXdp, Place::WorkloadAtTc] {
                    let policy = allowing(place);
                    let packets = Packets::Established;
                    add(Point { policy, subject: Subject::Engine, packets, keys: None });
                }
            }
            Goal::G3 | Goal::G4 => {
                let control =
                    if *goal == Goal::G3 { Subject::ThreeTries } else { Subject::TwoHashes };
                for entries in COMPARED {
                    for keys in [Keys::Random, Keys::Strangers] {
                        add(first(denying(entries), Subject::Engine, Some(keys)));
                        add(first(denying(entries), control, Some(keys)));
                    }
                }
            }
            _ => {
                for entries in [1_000].into_iter().chain(FLAT.map(|(entries, _)| entries)) {
                    for keys in [Keys::Hot, Keys::Random] {
                        add(first(denying(entries), Subject::Engine, Some(keys)));
                    }
                }
            }
        }
    }
    points
}

/// Everything that was measured.
struct Figures {
    points: Vec<Point>,
    rounds: Rounds,
}

impl Figures {
    /// The position of a point among a round's values.
    fn at(&self, point: Point) -> usize {
        let found = self.points.iter().position(|known| *known == point);
        found.expect("what a goal compares is among its points")
    }

    /// The positions of a point and of the empty program in its place.
    fn pair(&self, point: Point) -> [usize; 2] {
        [self.at(point), self.at(Point { subject: Subject::Empty, ..point })]
    }

    /// What a decision costs more than the empty program.
    fn cost(&self, point: Point) -> f64 {
        let [own, empty] = self.pair(point);
        self.rounds.middle(|values| values[own] - values[empty])
    }

    fn hot(&self) -> Vec<Row> {
        let stateless = ("denied first packet, XDP", denying(HOT), Packets::First, 1.6);
        let xdp = ("established, XDP", allowing(Place::HostAtXdp), Packets::Established, 1.5);
        let tc = ("established, tc", allowing(Place::WorkloadAtTc), Packets::Established, 1.25);
        let row = |(case, policy, packets, limit)| {
            let point = Point { policy, subject: Subject::Engine, packets, keys: None };
            let [own, empty] = self.pair(point);
            let ratio = self.rounds.median(|values| values[own] / values[empty]);
            let [own, empty] = [own, empty].map(|at| self.rounds.middle(|values| values[at]));
            Row::new(Goal::G1, case, (Bound::AtMost, limit), ratio, "×")
                .with("reading", format!("{own:.1} ns, empty program {empty:.1} ns"))
                .with("entries", HOT)
                .with("engine_ns", own)
                .with("empty_ns", empty)
        };
        [stateless, xdp, tc].map(row).into()
    }

    fn against(&self, goal: Goal, control: Subject, limits: [f64; 3]) -> Vec<Row> {
        let row = |(entries, limit): (usize, f64)| {
            let point = |subject, keys| {
                let policy = denying(entries);
                Point { policy, subject, packets: Packets::First, keys: Some(keys) }
            };
            let ratio = |keys| {
                let [own, empty] = self.pair(point(Subject::Engine, keys));
                let control = self.at(point(control, keys));
                self.rounds.median(|values| {
                    // Where the engine costs nothing that can be seen, half a nanosecond is what
                    // cannot be seen.
                    (values[control] - values[empty]) / (values[own] - values[empty]).max(0.5)
                })
            };
            let cost = |subject, keys| self.cost(point(subject, keys));
            let (own, other) = (cost(Subject::Engine, Keys::Random), cost(control, Keys::Random));
            let case = format!("{} entries", short(entries));
            Row::new(goal, case, (Bound::AtLeast, limit), ratio(Keys::Random), "×")
                .with("reading", format!("{own:.1} ns, control {other:.1} ns"))
                .with("entries", entries)
                .with("engine_ns", own)
                .with("control_ns", other)
                .with("strangers_ratio", ratio(Keys::Strangers))
                .with("strangers_engine_ns", cost(Subject::Engine, Keys::Strangers))
                .with("strangers_control_ns", cost(control, Keys::Strangers))
        };
        COMPARED.into_iter().zip(limits).map(row).collect()
    }

    fn flatness(&self) -> Vec<Row> {
        let point = |entries, keys| {
            let policy = denying(entries);
            Point { policy, subject: Subject::Engine, packets: Packets::First, keys: Some(keys) }
        };
        let ratio = |entries, keys| {
            let [few, few_empty] = self.pair(point(1_000, keys));
            let [many, many_empty] = self.pair(point(entries, keys));
            self.rounds.median(|values| {
                (values[many] - values[many_empty]) / (values[few] - values[few_empty]).max(0.5)
            })
        };
        let base = self.cost(point(1_000, Keys::Random));
        let mut rows: Vec<Row> = FLAT
            .iter()
            .map(|&(entries, limit)| {
                let cost = self.cost(point(entries, Keys::Random));
                let case = format!("{} entries, random peers", short(entries));
                let ratio = ratio(entries, Keys::Random);
                Row::new(Goal::G6, case, (Bound::AtMost, limit), ratio, "×")
                    .with("reading", format!("{cost:.1} ns, at 1K {base:.1} ns"))
                    .with("entries", entries)
                    .with("engine_ns", cost)
                    .with("engine_ns_at_1K", base)
            })
            .collect();
        let base = self.cost(point(1_000, Keys::Hot));
        let costs = FLAT.map(|(entries, _)| self.cost(point(entries, Keys::Hot)));
        let worst = costs.iter().map(|cost| (cost / base - 1.0).abs()).fold(0.0, f64::max);
        let [a, b, c] = costs;
        let reading = format!("{base:.1} ns at 1K; {a:.1}, {b:.1}, {c:.1} ns at 10K, 100K, 1M");
        rows.push(
            Row::new(Goal::G6, "one peer, 1K to 1M entries", (Bound::AtMost, 0.1), worst, "off")
                .with("reading", reading)
                .with("engine_ns", costs.to_vec())
                .with("engine_ns_at_1K", base),
        );
        rows
    }
}

/// A count as tables write it: `10K`.
pub fn short(count: usize) -> String {
    match count {
        1_000_000.. => format!("{}M", count / 1_000_000),
        1_000.. => format!("{}K", count / 1_000),
        _ => count.to_string(),
    }
}
