//! Where rules are: their places in the table of rules.
//!
//! Policy entries and flows name a rule by its place, which is short and has a counter. Goals:
//! (a) a rule keeps its place, and its counter, for as long as it is installed; (b) a place that
//! flows may still name is not given to another rule; (c) rules without a counter are the exception.
//!
//! Design. Places are given out in ascending order, and the number at a place stays when the rule
//! goes: should the rule come back, it gets its place again and its counter goes on. Once all
//! places with counters have been used, the one whose rule has been gone for longest is given to
//! another, though never in the generation that lets it go (b, c); its counter begins anew then.
//! Place 0 stands for no rule; its word says which place was the last to be given out again.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};

use aya::maps::{Map, MapData, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use hashbrown::HashMap;
use ringfence_common::abi::event::Counter;
use ringfence_common::abi::limits;

use super::EbpfError;
use super::table::mapping::Mapping;
use crate::backend::host::difference::HostDiff;

const NAME: &str = "RULES";

/// The kernel keeps values of arrays eight bytes apart; a number is the first of two words.
const STRIDE: usize = 2;

/// The table of rules, shared by both generations.
pub(super) struct Rules {
    words: Mapping<AtomicU32>,
    counters: PerCpuArray<MapData, Counter>,
    /// Rule → its place, also of rules that are gone.
    places: HashMap<u32, u32>,
    /// Rule → entries that name it.
    uses: HashMap<u32, u32>,
    /// Places of rules that are gone: the change that took the rule, and the place. Those with
    /// counters, and those without.
    free: [BTreeSet<(u64, u32)>; 2],
    /// Place → the change that took its rule.
    gone: HashMap<u32, u64>,
    /// Changes so far.
    changes: u64,
}

impl Rules {
    /// The table that `map` is, with its counters.
    pub(super) fn new(map: &Map, counters: Map) -> Result<Self, EbpfError> {
        let Map::Array(map) = map else {
            return Err(EbpfError::Object(format!("map `{NAME}` is of another kind")));
        };
        let error = EbpfError::map(NAME);
        let words = Mapping::new(map, STRIDE * limits::RULES as usize);
        Ok(Self {
            words: words.map_err(|source| error(source.into()))?,
            counters: counters.try_into().map_err(EbpfError::map("RULE_COUNTERS"))?,
            places: HashMap::new(),
            uses: HashMap::new(),
            free: [BTreeSet::new(), BTreeSet::new()],
            gone: HashMap::new(),
            changes: 0,
        })
    }

    /// Learns what is installed: the places that entries of policy name, one for each entry.
    pub(super) fn load(&mut self, named: impl Iterator<Item = u32>) {
        let given = (0..).zip(self.words.words().iter().step_by(STRIDE)).skip(1);
        let given = given.map(|(place, number)| (number.load(Acquire), place));
        self.places = given.take_while(|(number, _)| *number != 0).collect();
        self.uses.clear();
        for place in named.filter(|place| *place != 0) {
            *self.uses.entry(self.number(place)).or_default() += 1;
        }
        let last = self.words.words()[0].load(Acquire);
        let gone = self.places.iter().filter(|(rule, _)| !self.uses.contains_key(*rule));
        let gone: Vec<u32> = gone.map(|(_, place)| *place).collect();
        self.gone.clear();
        self.free.iter_mut().for_each(BTreeSet::clear);
        for place in gone {
            // Those behind the last one that was given out again have waited for longer.
            self.leave(place, u64::from(place <= last));
        }
        self.changes = 2;
    }

    /// A rule has left its place.
    fn leave(&mut self, place: u32, since: u64) {
        self.gone.insert(place, since);
        self.free[region(place)].insert((since, place));
    }

    /// A place is taken, by its own rule or by another.
    fn take(&mut self, place: u32) {
        if let Some(since) = self.gone.remove(&place) {
            self.free[region(place)].remove(&(since, place));
        }
    }

    /// The number of the rule at `place`; 0 where there is none.
    pub(super) fn number(&self, place: u32) -> u32 {
        match self.words.words().get(place as usize * STRIDE) {
            Some(number) if place != 0 => number.load(Acquire),
            _ => 0,
        }
    }

    /// The place of a rule; 0 for the rule 0, which is none. Every other rule of an entry has got
    /// one by [`Rules::follow`].
    pub(super) fn place(&self, rule: u32) -> u32 {
        self.places.get(&rule).copied().unwrap_or(0)
    }

    /// Gives places to the rules that come with a change, and takes note of those that go.
    ///
    /// # Errors
    ///
    /// [`EbpfError::TooMany`] when there are more rules than places.
    pub(super) fn follow(&mut self, diff: &HostDiff) -> Result<(), EbpfError> {
        let named = diff.policy.values().filter_map(|change| change.new.map(|entry| entry.rule));
        self.name(named)?;
        let left = diff.policy.values().filter_map(|change| change.old.map(|entry| entry.rule));
        for rule in left.filter(|rule| *rule != 0) {
            let Some(uses) = self.uses.get_mut(&rule) else { continue };
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&rule);
                let place = self.place(rule);
                self.leave(place, self.changes);
            }
        }
        self.changes += 1;
        Ok(())
    }

    /// Gives places to the rules of entries that are the first to be installed.
    ///
    /// # Errors
    ///
    /// [`EbpfError::TooMany`] when there are more rules than places.
    pub(super) fn begin(&mut self, named: impl Iterator<Item = u32>) -> Result<(), EbpfError> {
        self.name(named)?;
        self.changes += 1;
        Ok(())
    }

    fn name(&mut self, named: impl Iterator<Item = u32>) -> Result<(), EbpfError> {
        for rule in named.filter(|rule| *rule != 0) {
            let uses = self.uses.entry(rule).or_default();
            *uses += 1;
            if *uses == 1 {
                match self.places.get(&rule).copied() {
                    Some(place) => self.take(place),
                    None => self.settle(rule)?,
                }
            }
        }
        Ok(())
    }

    /// Gives a rule a place.
    fn settle(&mut self, rule: u32) -> Result<(), EbpfError> {
        let unused = u32::try_from(self.places.len()).unwrap_or(u32::MAX).saturating_add(1);
        let mut place = None;
        for (index, end) in [limits::COUNTED_RULES, limits::RULES].into_iter().enumerate() {
            place = if unused < end { Some(unused) } else { self.free_place(index)? };
            if place.is_some() {
                break;
            }
        }
        let Some(place) = place else {
            let room = limits::RULES as usize - 1;
            return Err(EbpfError::TooMany { map: NAME, entries: self.uses.len(), room });
        };
        self.words.words()[place as usize * STRIDE].store(rule, Release);
        self.places.insert(rule, place);
        Ok(())
    }

    /// The place whose rule has been gone for longest, but not since this change.
    fn free_place(&mut self, region: usize) -> Result<Option<u32>, EbpfError> {
        match self.free[region].first().copied() {
            Some((since, place)) if since != self.changes => {
                self.take(place);
                self.places.remove(&self.number(place));
                self.begin_anew(place)?;
                self.words.words()[0].store(place, Release);
                Ok(Some(place))
            }
            _ => Ok(None),
        }
    }

    /// Zeroes a counter, where there is one.
    fn begin_anew(&mut self, place: u32) -> Result<(), EbpfError> {
        if place >= limits::COUNTED_RULES {
            return Ok(());
        }
        let cpus = nr_cpus().map_err(|(_, source)| EbpfError::File {
            verb: "read",
            path: "/sys/devices/system/cpu/possible".into(),
            source,
        })?;
        let zero = PerCpuValues::try_from(vec![Counter::default(); cpus]);
        let zero = zero.map_err(EbpfError::file("count the CPUs of", "this host".as_ref()))?;
        self.counters.set(place, zero, 0).map_err(EbpfError::map("RULE_COUNTERS"))
    }

    /// What was counted at `place`; nothing where nothing is.
    pub(super) fn count(&self, place: u32) -> Result<Option<Counter>, EbpfError> {
        if place >= limits::COUNTED_RULES {
            return Ok(None);
        }
        let values = self.counters.get(&place, 0).map_err(EbpfError::map("RULE_COUNTERS"))?;
        Ok(Some(super::counters::sum(&values)))
    }
}

/// Whether places have counters: 0 where they have, 1 where they have none.
const fn region(place: u32) -> usize {
    (place >= limits::COUNTED_RULES) as usize
}
