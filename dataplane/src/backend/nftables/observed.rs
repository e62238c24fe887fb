//! What the kernel has of our table, as `nft -j` tells it. Nothing but names, our comments,
//! counters and numbers of elements is read.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::event::Counter;
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;
use serde_json::Value;

use super::changes::There;
use super::script::rules;
use super::{NftablesError, Ruleset};
use crate::backend::chains::About;
use crate::backend::chains::hash::HASH_MARK;
use crate::backend::{ChainState, Chained, Counters, Fill, ReasonCount};

/// What the kernel has of our table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// Chain → the comments of its rules; nothing for a rule without one.
    chains: BTreeMap<String, Vec<Option<String>>>,
    /// Set or map → its elements.
    maps: BTreeMap<String, u64>,
    /// Those of them that are maps.
    verdicts: BTreeSet<String>,
    /// What has been counted, in the order in which it was told.
    counts: Vec<Count>,
    /// Whether the table is there and the kernel does not ask it.
    pub(super) dormant: bool,
}

/// What one rule or element has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Count {
    about: About,
    direction: Option<Direction>,
    /// Whether it refuses; a report counts as what it reports.
    denies: bool,
    counter: Counter,
}

impl Observed {
    /// Reads what `nft -j list table` has written.
    ///
    /// # Errors
    ///
    /// [`NftablesError::Unreadable`].
    pub(super) fn read(text: &str) -> Result<Self, NftablesError> {
        let answer: Value =
            serde_json::from_str(text).map_err(|source| NftablesError::Unreadable { source })?;
        let mut observed = Self::default();
        for object in answer["nftables"].as_array().into_iter().flatten() {
            if let Some(name) = object["chain"]["name"].as_str() {
                observed.chains.entry(name.to_owned()).or_default();
            } else if let Some(rule) = object.get("rule") {
                observed.rule(rule);
            } else if let Some(map) = object.get("map").or_else(|| object.get("set")) {
                observed.map(map);
            }
        }
        Ok(observed)
    }

    /// How `ruleset`, as it was installed, is today: chains, then sets and maps, what is not as it
    /// was left first.
    pub(super) fn states(&self, ruleset: &Ruleset) -> Vec<Chained> {
        let chained =
            |chain: String, state| Chained { table: super::script::TABLE.to_owned(), chain, state };
        let chains = ruleset.chains.iter().map(|chain| {
            let expected: Vec<Option<String>> =
                rules(chain).map(|(text, _)| comment_of(&text)).collect();
            let state = match self.chains.get(&chain.name) {
                None => ChainState::Missing,
                Some(_) if self.dormant && chain.hook.is_some() => ChainState::Changed,
                Some(found) if *found == expected => ChainState::InPlace,
                Some(_) => ChainState::Changed,
            };
            chained(chain.name.clone(), state)
        });
        let maps = ruleset.maps.iter().filter_map(|(name, map)| {
            let state = match self.maps.get(name) {
                None => ChainState::Missing,
                Some(found) if *found == map.elements.len() as u64 => return None,
                Some(_) => ChainState::Changed,
            };
            Some(chained(format!("@{name}"), state))
        });
        let known = |name: &String| ruleset.chains.iter().any(|chain| chain.name == *name);
        let foreign = self.chains.keys().filter(|name| !known(name));
        let foreign = foreign.map(|name| chained(name.clone(), ChainState::Changed));
        let stray = self.maps.keys().filter(|name| !ruleset.maps.contains_key(*name));
        let stray = stray.map(|name| chained(format!("@{name}"), ChainState::Changed));
        let mut states: Vec<Chained> = chains.chain(maps).chain(foreign).chain(stray).collect();
        states.sort_by(|a, b| (a.state, &a.chain).cmp(&(b.state, &b.chain)));
        states
    }

    /// What is not as it was left, in words; nothing where all of it is.
    pub(super) fn odd(&self, ruleset: &Ruleset) -> Option<String> {
        let states = self.states(ruleset).into_iter();
        let odd = states.filter(|state| state.state != ChainState::InPlace);
        let odd = odd.map(|Chained { chain, state, .. }| format!("`{chain}` was {state}"));
        let dormant = self.dormant.then(|| "it was dormant".to_owned());
        let odd: Vec<String> = dormant.into_iter().chain(odd).collect();
        (!odd.is_empty()).then(|| odd.join(", "))
    }

    /// Sets and maps with their numbers of elements.
    pub(super) fn fill(&self) -> Vec<Fill> {
        let fill = |(map, entries): (&String, &u64)| Fill {
            map: map.clone(),
            entries: *entries,
            capacity: None,
        };
        self.maps.iter().map(fill).collect()
    }

    /// The names of everything, whatever it is.
    pub(super) fn names(&self) -> There {
        let word = |name| if self.verdicts.contains(name) { "map" } else { "set" };
        let maps = self.maps.keys().map(|name| (name.clone(), word(name)));
        let chains = self.chains.keys().map(|name| (name.clone(), None));
        There { chains: chains.collect(), maps: maps.collect() }
    }

    /// How many chains there are.
    pub(super) fn chains(&self) -> usize {
        self.chains.len()
    }

    /// How many elements there are.
    pub(super) fn elements(&self) -> u64 {
        self.maps.values().sum()
    }

    /// What packets were counted under, rules and elements of one reason together.
    pub(super) fn counters(&self) -> Counters {
        let mut reasons: BTreeMap<(u8, Option<Direction>), (Reason, Counter)> = BTreeMap::new();
        let mut rules: BTreeMap<u32, Counter> = BTreeMap::new();
        let add = |total: &mut Counter, counter: Counter| {
            total.packets += counter.packets;
            total.bytes += counter.bytes;
        };
        for count in &self.counts {
            let reason = match &count.about {
                About::Way(_) => continue,
                About::Reason(reason) => *reason,
                About::Rule { number, .. } => {
                    add(rules.entry(*number).or_default(), count.counter);
                    if count.denies { Reason::DenyRule } else { Reason::Rule }
                }
            };
            let key = (reason as u8, count.direction);
            let (_, total) = reasons.entry(key).or_insert((reason, Counter::default()));
            add(total, count.counter);
        }
        rules.retain(|_, counter| counter.packets != 0);
        let reasons = reasons
            .into_iter()
            .filter(|(_, (_, count))| count.packets != 0)
            .map(|((_, direction), (reason, count))| ReasonCount { reason, direction, count })
            .collect();
        Counters { reasons, rules, lost_events: None }
    }

    fn rule(&mut self, rule: &Value) {
        let (Some(chain), comment) = (rule["chain"].as_str(), rule["comment"].as_str()) else {
            return;
        };
        self.chains.entry(chain.to_owned()).or_default().push(comment.map(str::to_owned));
        let statements: Vec<&Value> = rule["expr"].as_array().into_iter().flatten().collect();
        let counter = statements.iter().find_map(|statement| statement.get("counter"));
        let (Some(about), Some(counter)) = (comment.and_then(about), counter.and_then(counted))
        else {
            return;
        };
        let denies = statements.iter().any(|statement| {
            let prefix = statement["log"]["prefix"].as_str().unwrap_or_default();
            statement.get("drop").is_some() || prefix.starts_with(Reason::DenyRule.name())
        });
        self.counts.push(Count { about, direction: direction(chain), denies, counter });
    }

    fn map(&mut self, map: &Value) {
        let Some(name) = map["name"].as_str() else { return };
        let elements: Vec<&Value> = map["elem"].as_array().into_iter().flatten().collect();
        self.maps.insert(name.to_owned(), elements.len() as u64);
        if map.get("map").is_some() {
            self.verdicts.insert(name.to_owned());
        }
        for element in elements {
            // In a map: the key and what it leads to.
            let (key, verdict) = (&element[0]["elem"], &element[1]);
            let about = key["comment"].as_str().and_then(about);
            let (Some(about), Some(counter)) = (about, counted(&key["counter"])) else { continue };
            let goal = verdict["goto"]["target"].as_str().unwrap_or_default();
            let denies = verdict.get("drop").is_some() || goal.starts_with("report_deny");
            self.counts.push(Count { about, direction: direction(name), denies, counter });
        }
    }
}

/// The direction of the policy that a chain or map is about.
fn direction(name: &str) -> Option<Direction> {
    let name = name.strip_prefix("pick_up_").or(name.strip_prefix("stray_")).unwrap_or(name);
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if begins(&["from_", "out_", "out4_", "out6_"]) {
        Some(Direction::Egress)
    } else if begins(&["to_", "in_", "in4_", "in6_"]) {
        Some(Direction::Ingress)
    } else {
        None
    }
}

/// What a comment of ours is about, whether or not it begins with the hash of its chain.
fn about(comment: &str) -> Option<About> {
    let about = match comment.strip_prefix(HASH_MARK) {
        Some(hashed) => hashed.split_once(' ')?.1,
        None => comment,
    };
    About::read(about)
}

fn counted(counter: &Value) -> Option<Counter> {
    Some(Counter { packets: counter["packets"].as_u64()?, bytes: counter["bytes"].as_u64()? })
}

/// The comment at the end of a rule's text.
fn comment_of(text: &str) -> Option<String> {
    let (_, comment) = text.rsplit_once("comment \"")?;
    Some(comment.strip_suffix('"')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::nftables::{Chain, Rule};

    /// As nft 1.0.6 tells it, with fewer fields.
    const TOLD: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "ringfence", "handle": 1}},
        {"chain": {"family": "inet", "table": "ringfence", "name": "in_7", "handle": 2}},
        {"chain": {"family": "inet", "table": "ringfence", "name": "empty", "handle": 3}},
        {"set": {"name": "local4", "elem": [{"elem": {"val": "10.0.0.1", "comment": "rf:shop/a"}}]}},
        {"map": {"name": "in4_7_1", "map": "verdict", "elem": [
            [{"elem": {"val": "10.0.0.2", "comment": "rf:00000009 a b",
                       "counter": {"packets": 2, "bytes": 80}}}, {"return": null}],
            [{"elem": {"val": "10.0.0.3", "comment": "rf:00000008 c",
                       "counter": {"packets": 1, "bytes": 40}}}, {"drop": null}],
            [{"elem": {"val": "10.0.0.4", "comment": "rf:00000008 c",
                       "counter": {"packets": 3, "bytes": 120}}},
             {"goto": {"target": "report_deny_00000008"}}],
            ["10.0.0.5", {"drop": null}]]}},
        {"rule": {"chain": "in_7", "handle": 4, "comment": "rf#0123456789abcdef rf:Peer",
                  "expr": [{"vmap": {"key": 1, "data": "@in4_7_1"}}]}},
        {"rule": {"chain": "in_7", "handle": 5, "expr": [{"accept": null}]}},
        {"rule": {"chain": "in_7", "handle": 6, "comment": "rf:NoRule",
                  "expr": [{"counter": {"packets": 5, "bytes": 300}}, {"drop": null}]}}]}"#;

    #[test]
    fn names_comments_and_numbers_are_read_and_nothing_else() {
        let observed = Observed::read(TOLD).unwrap();
        let comments = [Some("rf#0123456789abcdef rf:Peer"), None, Some("rf:NoRule")];
        let comments = comments.map(|comment| comment.map(str::to_owned)).to_vec();
        let chains = [("empty".to_owned(), Vec::new()), ("in_7".to_owned(), comments)];
        assert_eq!(observed.chains, chains.into());
        assert_eq!(observed.maps, [("in4_7_1".to_owned(), 4), ("local4".to_owned(), 1)].into());
        assert_eq!((observed.chains(), observed.elements()), (2, 5));
        assert!(matches!(Observed::read("table"), Err(NftablesError::Unreadable { .. })));
    }

    #[test]
    fn rules_and_elements_of_one_reason_count_together() {
        let counters = Observed::read(TOLD).unwrap().counters();
        let count = |packets, bytes| Counter { packets, bytes };
        assert_eq!(counters.rules, [(8, count(4, 160)), (9, count(2, 80))].into());
        let reasons: Vec<_> = counters
            .reasons
            .iter()
            .map(|reason| (reason.reason, reason.direction, reason.count))
            .collect();
        let ingress = Some(Direction::Ingress);
        assert_eq!(
            reasons,
            [
                (Reason::Rule, ingress, count(2, 80)),
                (Reason::NoRule, ingress, count(5, 300)),
                (Reason::DenyRule, ingress, count(4, 160)),
            ]
        );
    }

    #[test]
    fn what_is_not_as_it_was_left_comes_first() {
        let observed = Observed::read(TOLD).unwrap();
        let mut chain = Chain::named("in_7", "");
        chain.rules = vec![Rule::leads("ip saddr vmap @in4_7_1", "Peer")];
        let ruleset = Ruleset {
            chains: vec![chain, Chain::named("empty", ""), Chain::named("out_7", "")],
            ..Ruleset::default()
        };
        let states: Vec<(String, ChainState)> =
            observed.states(&ruleset).into_iter().map(|state| (state.chain, state.state)).collect();
        let expected = [
            ("out_7", ChainState::Missing),
            ("@in4_7_1", ChainState::Changed),
            ("@local4", ChainState::Changed),
            ("in_7", ChainState::Changed),
            ("empty", ChainState::InPlace),
        ];
        assert_eq!(states, expected.map(|(chain, state)| (chain.to_owned(), state)));
        let odd = "`out_7` was missing, `@in4_7_1` was changed, `@local4` was changed, `in_7` was \
                   changed";
        assert_eq!(observed.odd(&ruleset).as_deref(), Some(odd));
    }

    #[test]
    fn directions_are_read_from_names() {
        let (egress, ingress) = (Some(Direction::Egress), Some(Direction::Ingress));
        for (name, expected) in [
            ("from_6133f0db", egress),
            ("out6_6133f0db_1", egress),
            ("stray_to_host", ingress),
            ("pick_up_in_6133f0db", ingress),
            ("forward", None),
            ("source_workload", None),
            ("input", None),
        ] {
            assert_eq!(direction(name), expected, "{name}");
        }
    }
}
