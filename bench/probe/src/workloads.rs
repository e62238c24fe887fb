//! What is timed, batch by batch.

use std::hint::black_box;

use nix::time::{ClockId, clock_gettime};
use ringfence_common::verdict::Reason;
use ringfence_controls::DRAWN;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::compile::{Change, Compiler, compile};

use crate::hot::same;
use ringfence_bench::changes::Subject;
use ringfence_bench::kernel::{self, Keys, MeasureError, Packets, Seat, Station};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};

/// Where packets are seen that this process decides.
pub const PLACE: Place = Place::WorkloadAtTc;
pub const INTERFACE: u32 = 7;

/// The tick at which everything happens there.
const NOW: u32 = 1;

/// Packets of a batch in the kernel.
const REPEAT: u32 = 200_000;

/// Rules that are compiled; changes of a batch.
const RULES: usize = 10_000;
const CHANGES: usize = 50;

/// Entries of the policy that this process decides by; packets, and how often a batch has each.
const ENTRIES: usize = 10_000;
const PACKETS: usize = 8_192;
const TIMES: usize = 4;

/// Something that can be timed.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name, which stays while it means the same.
    pub name: &'static str,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Packets decided in the kernel, of so many policy entries.
    Kernel(Place, Packets, Way, usize),
    /// Everything compiled.
    Compile,
    /// A rule changed, many times.
    Change,
    /// Packets decided in this process.
    Decide(Entry),
}

/// How packets of a batch in the kernel differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all, and the program is run alone: finest.
    Alone,
    /// Each is of another peer, in no order: what memory costs.
    Random,
    /// Each opens a connection.
    New,
}

impl Workload {
    /// All, those in the kernel first.
    pub const ALL: &'static [Self] = &[
        Self::kernel("denied, XDP, 1K entries, one peer", XDP, Packets::First, Way::Alone, 1_000),
        Self::kernel(
            "denied, XDP, 100K entries, all peers",
            XDP,
            Packets::First,
            Way::Random,
            LARGE,
        ),
        Self::kernel("established, XDP, 1K entries, one peer", XDP, KNOWN, Way::Alone, 1_000),
        Self::kernel("established, XDP, 100K entries, all peers", XDP, KNOWN, Way::Random, LARGE),
        Self::kernel("established, tc, 1K entries, one peer", TC, KNOWN, Way::Alone, 1_000),
        Self::kernel("new connections, XDP, 1K entries", XDP, Packets::First, Way::New, 1_000),
        Self::kernel("new connections, tc, 100K entries", TC, Packets::First, Way::New, LARGE),
        Self { name: "compile 10K rules", what: What::Compile },
        Self { name: "change one of 10K rules", what: What::Change },
        Self { name: "decide in this process, denied", what: What::Decide(Entry::Deny) },
        Self { name: "decide in this process, established", what: What::Decide(Entry::Allow) },
    ];

    const fn kernel(
        name: &'static str,
        at: Place,
        packets: Packets,
        way: Way,
        size: usize,
    ) -> Self {
        Self { name, what: What::Kernel(at, packets, way, size) }
    }

    /// Whether it needs a [`Seat`].
    #[must_use]
    pub const fn is_in_kernel(&self) -> bool {
        matches!(self.what, What::Kernel(..))
    }

    /// Makes everything ready.
    pub fn prepare(&self, seat: Option<&Seat>) -> Result<Ready, MeasureError> {
        match self.what {
            What::Kernel(place, packets, way, entries) => {
                let none = || MeasureError::Missing("the kernel's programs".to_owned());
                prepare(seat.ok_or_else(none)?, place, packets, way, entries)
            }
            What::Compile => Ok(Ready::Compile(Box::new(Subject::cluster(RULES)))),
            What::Change => {
                let changing = Changing::new(&Subject::cluster(RULES))?;
                Ok(Ready::Change(Box::new(changing)))
            }
            What::Decide(entry) => {
                let deciding = Deciding::new(Family::V4, entry, ENTRIES, PACKETS)?;
                Ok(Ready::Decide(Box::new(deciding)))
            }
        }
    }
}

const XDP: Place = Place::HostAtXdp;
const TC: Place = Place::WorkloadAtTc;
const KNOWN: Packets = Packets::Established;
const LARGE: usize = 100_000;

fn prepare(
    seat: &Seat,
    place: Place,
    packets: Packets,
    way: Way,
    entries: usize,
) -> Result<Ready, MeasureError> {
    let allows = packets == KNOWN || way == Way::New;
    let entry = if allows { Entry::Allow } else { Entry::Deny };
    let crowd = Crowd::new(place, Family::V4, entry, entries);
    let mut station = Station::new(seat, place, crowd)?;
    if packets == KNOWN {
        station.establish(if way == Way::Alone { Keys::Hot } else { Keys::Random })?;
    }
    Ok(Ready::Kernel(Box::new(station), packets, way))
}

/// Something that is ready to be timed.
pub enum Ready {
    Kernel(Box<Station>, Packets, Way),
    Compile(Box<Subject>),
    Change(Box<Changing>),
    Decide(Box<Deciding>),
}

impl Ready {
    /// One batch: nanoseconds of one packet, compile or change.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when it came to something else than it has to.
    pub fn batch(&mut self) -> Result<f64, MeasureError> {
        match self {
            Self::Kernel(station, packets, way) => {
                let subject = kernel::Subject::Engine;
                let ns = match way {
                    Way::Alone => station.measure_alone(subject, *packets, REPEAT),
                    Way::Random => station.measure(subject, *packets, Keys::Random, REPEAT),
                    Way::New => {
                        station.forget()?;
                        station.measure(subject, *packets, Keys::Ports, DRAWN as u32)
                    }
                };
                ns.map(|ns| ns as f64)
            }
            Self::Compile(subject) => {
                let (tables, ns) = timed(|| compile(black_box(&subject.set)))?;
                let tables = tables.map_err(MeasureError::refused("compile"))?;
                same("compiled policies' rules", tables.rules.len(), 10 * RULES.div_ceil(60) * 6)?;
                Ok(ns)
            }
            Self::Change(changing) => {
                let (done, ns) = timed(|| (0..CHANGES).try_for_each(|_| changing.once()))?;
                done?;
                Ok(ns / CHANGES as f64)
            }
            Self::Decide(deciding) => {
                let (decided, ns) = timed(|| (0..TIMES).map(|_| deciding.all()).sum::<usize>())?;
                same("packets decided as they have to be", decided, TIMES * PACKETS)?;
                Ok(ns / decided as f64)
            }
        }
    }
}

/// What `work` gives, and for how many nanoseconds this thread was on a processor meanwhile.
fn timed<T>(work: impl FnOnce() -> T) -> Result<(T, f64), MeasureError> {
    let clock = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    let refused = || MeasureError::refused("read the thread's clock");
    let begin = clock().map_err(refused())?;
    let done = black_box(work());
    let took = clock().map_err(refused())? - begin;
    Ok((done, took.tv_sec() as f64 * 1e9 + took.tv_nsec() as f64))
}

/// A compiler in which one rule goes from one port to another and back.
pub struct Changing {
    compiler: Compiler,
    /// There, and back.
    changes: [Change; 2],
    /// Which of them is next.
    next: usize,
    /// What each touches.
    entries: usize,
}

impl Changing {
    /// Of the rule in the middle of `subject`.
    pub fn new(subject: &Subject) -> Result<Self, MeasureError> {
        let missing = || MeasureError::wrong("the changes", "no rule changes its port");
        let swings = subject.swings();
        let swing = swings.into_iter().find(|swing| swing.name == "port-changed");
        let swing = swing.ok_or_else(missing)?;
        let compiler = Compiler::new(subject.set.clone());
        let mut compiler = compiler.map_err(MeasureError::refused("compile"))?;
        // The first one does not count: none leads back to before it.
        let first = compiler.change([swing.there.clone()]);
        first.map_err(MeasureError::refused("change a rule"))?;
        let changes = [swing.there, swing.back];
        Ok(Self { compiler, changes, next: 1, entries: swing.entries })
    }

    /// Changes the rule once.
    pub fn once(&mut self) -> Result<(), MeasureError> {
        let update = self.compiler.change([self.changes[self.next].clone()]);
        let update = update.map_err(MeasureError::refused("change a rule"))?;
        self.next = 1 - self.next;
        same("entries touched by a change", update.diff.entries_touched(), self.entries)
    }

    /// That the tables are those of a fresh compile.
    pub fn check(&self) -> Result<(), MeasureError> {
        let fresh = compile(&self.compiler.policy_set());
        let fresh = fresh.map_err(MeasureError::refused("compile"))?;
        same("tables as a fresh compile has them", usize::from(*self.compiler.tables() == fresh), 1)
    }
}

/// A filter in this process, and packets that it decides for one reason.
pub struct Deciding {
    filter: Filter,
    packets: Vec<Vec<u8>>,
    expected: Reason,
}

impl Deciding {
    /// Of a policy of so many entries: so many packets of known connections if it allows, else first
    /// packets; the peers in no order.
    pub fn new(
        family: Family,
        entry: Entry,
        entries: usize,
        packets: usize,
    ) -> Result<Self, MeasureError> {
        let crowd = Crowd::new(PLACE, family, entry, entries);
        let mut filter = Filter::new(&crowd.host_tables(INTERFACE));
        let numbers = crowd.numbers(packets, 1);
        let (packets, expected): (Vec<Vec<u8>>, _) = match entry {
            Entry::Deny => (numbers.map(|number| crowd.syn(number)).collect(), Reason::DenyRule),
            Entry::Allow => {
                let mut known = Vec::new();
                for number in numbers {
                    open(&mut filter, &crowd, number)?;
                    known.push(crowd.acknowledgement(number));
                }
                (known, Reason::Established)
            }
        };
        Ok(Self { filter, packets, expected })
    }

    /// Decides each packet once; how many were decided as they have to be.
    pub fn all(&mut self) -> usize {
        let Self { filter, packets, expected } = self;
        let mut decide = |packet: &&Vec<u8>| {
            let outcome = filter.decide(black_box(packet), PLACE.inbound(), INTERFACE, NOW);
            outcome.decision.reason == *expected
        };
        packets.iter().filter(|packet| decide(packet)).count()
    }
}

/// Opens the connection of peer `number`.
fn open(filter: &mut Filter, crowd: &Crowd, number: usize) -> Result<(), MeasureError> {
    let steps = [
        (crowd.syn(number), PLACE.inbound()),
        (crowd.answer(number), PLACE.outbound()),
        (crowd.acknowledgement(number), PLACE.inbound()),
    ];
    for (frame, hook) in steps {
        let decision = filter.decide(&frame, hook, INTERFACE, NOW).decision;
        if !decision.passes() {
            let why = format!("a step of a handshake was denied: {}", decision.reason.name());
            return Err(MeasureError::wrong("the filter", why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_tell_workloads_apart() {
        let names: BTreeSet<&str> = Workload::ALL.iter().map(|workload| workload.name).collect();
        assert_eq!(names.len(), Workload::ALL.len());
    }

    #[test]
    fn a_rule_changes_to_and_fro_and_ends_where_a_fresh_compile_does() {
        for subject in [Subject::cluster(60), Subject::address_list(60)] {
            let mut changing = Changing::new(&subject).unwrap();
            for _ in 0..3 {
                changing.once().unwrap();
                changing.check().unwrap();
            }
        }
    }

    #[test]
    fn all_packets_are_decided_for_their_reason() {
        for family in [Family::V4, Family::V6] {
            for entry in [Entry::Allow, Entry::Deny] {
                let mut deciding = Deciding::new(family, entry, 50, 120).unwrap();
                assert_eq!((deciding.all(), deciding.all()), (120, 120));
                // Packets of the other kind would not count.
                deciding.expected = Reason::NoRule;
                assert_eq!(deciding.all(), 0);
            }
        }
    }
}
