//! A table while it is being written.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::policy::Direction;

use super::outcome::Outcomes;
use super::script::maps_of;
use super::{Chain, Element, Map, Ruleset};
use crate::backend::chains::{About, Plan, Side};

/// A table while it is being written: the maps and chains so far, and what all of them need.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) plan: &'a Plan,
    pub(super) outcomes: Outcomes<'a>,
    maps: BTreeMap<String, Map>,
    chains: Vec<Chain>,
    names: BTreeSet<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            outcomes: Outcomes::new(plan.mode, &plan.rules),
            maps: BTreeMap::new(),
            chains: Vec::new(),
            names: BTreeSet::new(),
        }
    }

    /// Whether the kind of essential traffic passes.
    pub(super) fn is_essential(&self, bit: u32) -> bool {
        self.plan.settings.essential & bit != 0
    }

    /// What policy says about a direction of a subject; nothing where it is open.
    pub(super) fn side(&self, subject: u32, direction: Direction) -> Option<&'a Side> {
        self.plan.sides.get(&(subject, direction))
    }

    pub(super) fn has_map(&self, name: &str) -> bool {
        self.maps.contains_key(name)
    }

    /// Adds an element to a map, which is made if it is not there. A key that is there already
    /// keeps what it leads to.
    pub(super) fn element(&mut self, map: &str, shape: Shape<'_>, key: String, element: Element) {
        if !self.maps.contains_key(map) {
            self.maps.insert(map.to_owned(), shape.empty());
        }
        let map = self.maps.get_mut(map).expect("it is there now");
        map.elements.entry(key).or_insert(element);
    }

    /// Adds an element to a set.
    pub(super) fn member(&mut self, set: &str, shape: Shape<'_>, key: String, about: &str) {
        let about = About::way(about);
        self.element(set, shape, key, Element { verdict: String::new(), about });
    }

    /// Whether the chain is there already; if not, the caller is about to write it.
    pub(super) fn begins(&mut self, chain: &str) -> bool {
        self.names.insert(chain.to_owned())
    }

    pub(super) fn chain(&mut self, chain: Chain) {
        self.names.insert(chain.name.clone());
        self.chains.push(chain);
    }

    pub(super) fn finish(self) -> Ruleset {
        let mut chains = self.chains;
        chains.sort_by_key(|chain| (place(&chain.name), chain.name.clone()));
        chains.extend(self.outcomes.into_reports());
        let rules = chains.iter().flat_map(|chain| &chain.rules);
        let used: BTreeSet<&str> = rules.flat_map(maps_of).collect();
        let mut maps = self.maps;
        maps.retain(|name, _| used.contains(name.as_str()));
        Ruleset { maps, chains }
    }
}

/// What a map is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'a> {
    /// As in [`Map::kind`].
    pub(super) kind: &'a str,
    /// As in [`Map::intervals`].
    pub(super) intervals: bool,
}

impl Shape<'_> {
    /// Keys that are single values.
    pub(super) const fn exact(kind: &str) -> Shape<'_> {
        Shape { kind, intervals: false }
    }

    fn empty(self) -> Map {
        let Shape { kind, intervals } = self;
        Map { kind: kind.to_owned(), intervals, elements: BTreeMap::new() }
    }
}

/// Where a chain stands in the text: as a packet meets them.
fn place(chain: &str) -> usize {
    let places = [
        "source",
        "forward",
        "input",
        "output",
        "source_workload",
        "source_uplink",
        "martian",
        "martian_ipv6",
        "invalid",
        "stray",
        "host_to_",
        "from_",
        "out_",
        "to_",
        "in_",
        "stray_",
        "pick_up_",
    ];
    let exact = places.iter().position(|place| *place == chain);
    let begins =
        || places.iter().position(|place| place.ends_with('_') && chain.starts_with(place));
    exact.or_else(begins).unwrap_or(places.len())
}
