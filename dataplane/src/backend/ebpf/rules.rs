//! Where rules are: their places in the table of rules.
//!
//! Policy entries and flows name a rule by its place, which is short and has a counter. Goals:
//! (a) a rule keeps its place, and its counter, for as long as it is installed; (b) a place that
//! flows may still name is not given to another rule; (c) rules without a counter are the exception.
//!
//! Design. Places are given out in ascending order, and the number at a place stays when the rule
//! goes: should the rule come back, it gets its place again and its counter goes on. Once all
//! places with counters have been used, those of rules that neither the installed generation nor
//! the next has are given to others, round and round (b, c); the counter begins anew then. Place 0
//! stands for no rule; its word says where the last round ended.

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

const NAME: &str = "RULES";

/// The kernel keeps values of arrays eight bytes apart; a number is the first of two words.
const STRIDE: usize = 2;

/// The table of rules, shared by both generations.
pub(super) struct Rules {
    words: Mapping<AtomicU32>,
    counters: PerCpuArray<MapData, Counter>,
}

/// Rule number → place.
pub(super) type PlaceOf = HashMap<u32, u32>;

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
        })
    }

    /// The number of the rule at `place`; 0 where there is none.
    pub(super) fn number(&self, place: u32) -> u32 {
        match self.word(place) {
            Some(number) if place != 0 => number.load(Acquire),
            _ => 0,
        }
    }

    fn word(&self, place: u32) -> Option<&AtomicU32> {
        self.words.words().get(place as usize * STRIDE)
    }

    /// The place from which places are given out again.
    fn cursor(&self) -> &AtomicU32 {
        &self.words.words()[0]
    }

    /// Every rule that has a place.
    fn places(&self) -> PlaceOf {
        let given = (0..).zip(self.words.words().iter().step_by(STRIDE)).skip(1);
        let given = given.map(|(place, number)| (number.load(Acquire), place));
        given.take_while(|(number, _)| *number != 0).collect()
    }

    /// Gives every rule of `wanted` a place; those of `installed` are not touched.
    ///
    /// # Errors
    ///
    /// [`EbpfError::TooMany`] when there are more rules than places.
    pub(super) fn place(
        &mut self,
        wanted: &BTreeSet<u32>,
        installed: &BTreeSet<u32>,
    ) -> Result<PlaceOf, EbpfError> {
        let mut places = self.places();
        let mut unused = u32::try_from(places.len()).unwrap_or(u32::MAX) + 1;
        let mut rounds = [
            Round::new(1, limits::COUNTED_RULES, self.cursor().load(Acquire)),
            Round::new(limits::COUNTED_RULES, limits::RULES, 0),
        ];
        for rule in wanted {
            if *rule == 0 || places.contains_key(rule) {
                continue;
            }
            let is_free = |place: &u32| {
                let number = self.number(*place);
                !wanted.contains(&number) && !installed.contains(&number)
            };
            let mut place = None;
            for round in &mut rounds {
                place = if unused < round.end { Some(unused) } else { round.find(is_free) };
                if place.is_some() {
                    break;
                }
            }
            let Some(place) = place else {
                let room = limits::RULES as usize - 1;
                return Err(EbpfError::TooMany { map: NAME, entries: wanted.len(), room });
            };
            if place == unused {
                unused += 1;
            } else {
                places.remove(&self.number(place));
                self.begin_anew(place)?;
            }
            if let Some(number) = self.word(place) {
                number.store(*rule, Release);
            }
            places.insert(*rule, place);
        }
        self.cursor().store(rounds[0].next, Release);
        Ok(places)
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

/// Places from `start` to before `end`, each asked once at most, from where the last round ended.
#[derive(Debug)]
struct Round {
    start: u32,
    end: u32,
    next: u32,
    left: u32,
}

impl Round {
    fn new(start: u32, end: u32, next: u32) -> Self {
        let next = if (start..end).contains(&next) { next } else { start };
        Self { start, end, next, left: end - start }
    }

    fn find(&mut self, is_free: impl Fn(&u32) -> bool) -> Option<u32> {
        while self.left > 0 {
            let place = self.next;
            self.left -= 1;
            self.next = if place + 1 == self.end { self.start } else { place + 1 };
            if is_free(&place) {
                return Some(place);
            }
        }
        None
    }
}
