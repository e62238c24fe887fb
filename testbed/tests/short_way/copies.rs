//! Copies of the decision with the same tables and the same past, step by step.

use std::fmt;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::flow::FlowEntry;
use ringfence_common::decide::cache::LIFETIME;
use ringfence_common::decide::{Desk, Outcome, Place, State, decide, decide_fully};
use ringfence_common::packet::Packet;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::Arrival;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_testbed::packet::hex;

use super::memory::{Memory, Sizes};
use super::setting::{Change, Plain, Setting};

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame is seen.
    Frame { frame: Vec<u8>, hook: Hook, ifindex: u32 },
    /// So many ticks pass.
    Time(u32),
    /// Another state is installed.
    Apply(Change),
    /// The table of flows has no room for the flow of this number, and another epoch begins: no place
    /// of the flow cache counts any more.
    Evict(usize),
}

/// Ticks by which the short way may count a flow's silence too long: it does not write down when it
/// saw a packet.
const LAG: u32 = LIFETIME << 4;

/// Where and when everything begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub now: u32,
    pub arrival: Arrival,
    pub change: Change,
    pub sizes: Sizes,
}

/// Packets by the answer, those that the short way gave and all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    pub short: usize,
    pub all: usize,
}

/// How the short way fared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    pub known: Share,
    pub refused: Share,
    pub not_subject: Share,
    pub spoofed: Share,
    pub others: Share,
}

/// Four copies: with the short way; without it, but with all that it leaves; with tables of flows
/// and fragments alone, which is the truth; and the userspace filter.
pub struct Copies<'a> {
    setting: &'a Setting,
    arrival: Arrival,
    now: u32,
    tables: Plain,
    short: Memory,
    full: Memory,
    bare: Memory,
    /// Forgets nothing, so it cannot follow [`Step::Evict`].
    filter: Option<Filter>,
    desks: [Desk; 3],
    pub shares: Shares,
}

impl<'a> Copies<'a> {
    pub fn new(setting: &'a Setting, start: &Start) -> Self {
        let tables = setting.tables(&start.change, start.arrival, 1, start.now);
        let filter = Some(Filter::new(&tables));
        Self {
            setting,
            arrival: start.arrival,
            now: start.now,
            tables: Plain::new(tables),
            short: Memory::with_arrays(start.sizes),
            full: Memory::with_arrays(start.sizes),
            bare: Memory::bare(),
            filter,
            desks: [Desk::new(); 3],
            shares: Shares::default(),
        }
    }

    /// What is looked up now.
    pub fn tables(&self) -> &Plain {
        &self.tables
    }

    /// What the truth says of the last frame.
    pub fn last(&self) -> &Outcome {
        &self.desks[2].work.outcome
    }

    /// Flows that nobody has answered.
    pub fn half_open(&self) -> usize {
        self.short.half_open()
    }

    /// Takes all steps.
    ///
    /// # Errors
    ///
    /// The number of the first step after which the copies differ, and how.
    pub fn play(&mut self, steps: &[Step]) -> Result<(), (usize, String)> {
        for (number, step) in steps.iter().enumerate() {
            self.step(step).map_err(|difference| (number, difference))?;
            if number % 256 == 255 || number + 1 == steps.len() {
                self.compare_flows().map_err(|difference| (number, difference))?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Frame { frame, hook, ifindex } => self.frame(frame, *hook, *ifindex)?,
            Step::Time(ticks) => self.pass(*ticks),
            Step::Apply(change) => {
                let generation = self.tables.tables.config.generation + 1;
                let tables = self.setting.tables(change, self.arrival, generation, self.now);
                self.tables = Plain { epoch: self.tables.epoch, ..Plain::new(tables) };
                if let Some(filter) = &mut self.filter {
                    filter.install(&self.tables.tables);
                }
            }
            Step::Evict(number) => {
                if let Some(key) = self.bare.flow(*number) {
                    let copies = [&mut self.short, &mut self.full, &mut self.bare];
                    copies.into_iter().for_each(|memory| memory.remove_flow(&key));
                    self.filter = None;
                }
                self.tables.epoch += 1;
            }
        }
        Ok(())
    }

    /// Time passes, and a little more as long as it depends on [`LAG`] whether a flow is over.
    fn pass(&mut self, ticks: u32) {
        self.now = self.now.wrapping_add(ticks);
        while ticks > 0 && self.bare.ends_soon(self.now, LAG) {
            self.now = self.now.wrapping_add(LAG);
        }
    }

    fn frame(&mut self, frame: &[u8], hook: Hook, ifindex: u32) -> Result<(), String> {
        let place = Place::new(ifindex, hook, self.now);
        let [short, full, bare] = &mut self.desks;
        let before = self.short.went_fully;
        decide(frame, &place, &self.tables, &mut self.short, short);
        let is_short = self.short.went_fully == before;
        decide_fully(frame, &place, &self.tables, &mut self.full, full);
        decide_fully(frame, &place, &self.tables, &mut self.bare, bare);
        let said = |desk: &Desk| (desk.work.outcome, desk.work.packet);
        let expected = said(bare);
        self.shares.add(&expected.0, is_short);
        let who = if is_short { "the short way" } else { "the full way after short ones" };
        hold(who, said(short), expected, frame)?;
        hold("the full way", said(full), expected, frame)?;
        if let Some(filter) = &mut self.filter {
            let outcome = filter.decide(frame, hook, ifindex, self.now);
            hold("the filter", (outcome, *filter.packet()), expected, frame)?;
        }
        Ok(())
    }

    /// What all copies remember has to be the same, but for when a flow was last seen.
    fn compare_flows(&self) -> Result<(), String> {
        let lasting = |entry: &FlowEntry| FlowEntry { last_seen: 0, token: 0, ..*entry };
        let expected = self.bare.alive(self.now, LAG + 1);
        for (who, memory) in [("short", &self.short), ("full", &self.full)] {
            if memory.in_both_tables() > 0 {
                return Err(format!("{who}: a flow is half open and is not"));
            }
            let (actual, known) = (memory.alive(self.now, 0), self.bare.alive(self.now, 0));
            for (key, entry) in &expected {
                let found = actual.get(key).map(lasting);
                if found != Some(lasting(entry)) {
                    return Err(format!("{who}: {key:?}\n is   {found:?}\n not  {entry:?}"));
                }
            }
            for (key, entry) in &actual {
                if !known.contains_key(key) {
                    return Err(format!("{who}: {key:?}\n is {entry:?}\n and should not be"));
                }
            }
        }
        Ok(())
    }
}

fn hold(
    who: &str,
    actual: (Outcome, Packet),
    expected: (Outcome, Packet),
    frame: &[u8],
) -> Result<(), String> {
    if is_same(&actual.0, &expected.0) && actual.1 == expected.1 {
        return Ok(());
    }
    Err(format!("{who}, {}\n says {actual:?}\n not  {expected:?}", hex(frame)))
}

fn is_same(one: &Outcome, other: &Outcome) -> bool {
    let fields = |outcome: &Outcome| {
        let Outcome {
            decision,
            direction,
            new_flow,
            endpoint,
            source_identity,
            destination_identity,
            generation,
            report,
        } = *outcome;
        let identities = (source_identity, destination_identity);
        (decision, direction, new_flow, endpoint, identities, generation, report)
    };
    fields(one) == fields(other)
}

impl Shares {
    fn add(&mut self, outcome: &Outcome, is_short: bool) {
        let share = match outcome.decision.reason {
            Reason::Established | Reason::Reply => &mut self.known,
            Reason::NoRule | Reason::DenyRule | Reason::NoConnection => &mut self.refused,
            Reason::NotSubject => &mut self.not_subject,
            Reason::Spoofed => &mut self.spoofed,
            _ => &mut self.others,
        };
        share.all += 1;
        share.short += usize::from(is_short);
    }

    pub fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.known, other.known),
            (&mut self.refused, other.refused),
            (&mut self.not_subject, other.not_subject),
            (&mut self.spoofed, other.spoofed),
            (&mut self.others, other.others),
        ];
        for (ours, theirs) in pairs {
            ours.short += theirs.short;
            ours.all += theirs.all;
        }
    }

    /// All packets.
    pub fn all(&self) -> Share {
        let parts = [self.known, self.refused, self.not_subject, self.spoofed, self.others];
        parts.iter().fold(Share::default(), |sum, part| Share {
            short: sum.short + part.short,
            all: sum.all + part.all,
        })
    }
}

impl Share {
    pub fn percent(&self) -> usize {
        self.short * 100 / self.all.max(1)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({} %)", self.short, self.all, self.percent())
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "known flows   {}", self.known)?;
        writeln!(f, "refused       {}", self.refused)?;
        writeln!(f, "not subject   {}", self.not_subject)?;
        writeln!(f, "spoofed       {}", self.spoofed)?;
        writeln!(f, "others        {}", self.others)?;
        writeln!(f, "all           {}", self.all())
    }
}
