//! Elements of one direction's policy, in an order in which each packet meets its old verdict or
//! its new one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::super::script::{TABLE, elements, hash, number};
use super::super::{Element, Map, Ruleset};
use super::by_name;
use crate::backend::chains::Script;

/// How many pairs of elements are compared at most.
const PAIRS: usize = 1 << 20;

/// What is different about one map.
struct Difference<'a> {
    map: &'a str,
    form: usize,
    /// The direction of its policy: the word that its name begins with.
    word: &'a str,
    put: Vec<(&'a String, &'a Element)>,
    replaced: Vec<(&'a String, &'a Element)>,
    removed: Vec<(&'a String, &'a Element)>,
}

/// The steps from `before` to `after`; nothing where more differs than elements of one direction,
/// or where what comes may overlap what goes, which the kernel does not take in one map.
pub(super) fn steps(before: &Ruleset, after: &Ruleset) -> Option<Vec<Script>> {
    let (old, new) = (by_name(before), by_name(after));
    let has_same_chains =
        old.keys().eq(new.keys()) && old.iter().all(|(name, chain)| hash(chain) == hash(new[name]));
    let kinds = |ruleset: &Ruleset| -> Vec<(String, String, bool)> {
        let kind = |(name, map): (&String, &Map)| (name.clone(), map.kind.clone(), map.intervals);
        ruleset.maps.iter().map(kind).collect()
    };
    if !has_same_chains || kinds(before) != kinds(after) {
        return None;
    }
    let maps = before.maps.iter().zip(after.maps.values());
    let changed = maps.filter(|((_, old), new)| old != new);
    let differences = changed.map(|((name, old), new)| difference(name, old, new));
    let differences: Vec<Difference<'_>> = differences.collect::<Option<_>>()?;
    let words: BTreeSet<&str> = differences.iter().map(|difference| difference.word).collect();
    if words.len() > 1 || differences.iter().any(may_overlap) {
        return None;
    }
    let forms = || (1..=5).map(|form| differences.iter().filter(move |d| d.form == form));
    let mut steps: Vec<Script> = forms().map(|of_form| puts(of_form)).collect();
    steps.extend(forms().rev().map(|of_form| removals(of_form)));
    steps.retain(|step| !step.lines.is_empty());
    Some(steps)
}

/// Nothing for a map that belongs to no policy.
fn difference<'a>(name: &'a str, old: &'a Map, new: &'a Map) -> Option<Difference<'a>> {
    // `in4_0000002a_1`
    let mut parts = name.split('_');
    let word = parts.next()?.trim_end_matches(['4', '6']);
    let form = parts.nth(1)?.parse().ok().filter(|form| (1..=5).contains(form))?;
    if !["in", "out"].contains(&word) {
        return None;
    }
    let put = new.elements.iter().filter(|(key, element)| old.elements.get(*key) != Some(element));
    let put: Vec<_> = put.collect();
    let is_new = |key: &String| new.elements.contains_key(key);
    let replaced = old
        .elements
        .iter()
        .filter(|(key, element)| new.elements.get(*key).is_some_and(|new| new != *element));
    let removed = old.elements.iter().filter(|(key, _)| !is_new(key));
    Some(Difference {
        map: name,
        form,
        word,
        put,
        replaced: replaced.collect(),
        removed: removed.collect(),
    })
}

fn may_overlap(difference: &Difference<'_>) -> bool {
    let Difference { put, replaced, removed, .. } = difference;
    let known: BTreeSet<&String> = replaced.iter().map(|(key, _)| *key).collect();
    let new: Vec<&String> =
        put.iter().map(|(key, _)| *key).filter(|key| !known.contains(key)).collect();
    if new.len().saturating_mul(removed.len()) > PAIRS {
        return true;
    }
    let intervals = |key: &String| key.split(" . ").map(Interval::of).collect::<Vec<_>>();
    let new: Vec<Vec<Interval>> = new.into_iter().map(intervals).collect();
    let removed: Vec<Vec<Interval>> = removed.iter().map(|(key, _)| intervals(key)).collect();
    let overlap = |one: &Vec<Interval>, other: &Vec<Interval>| {
        one.iter().zip(other).all(|(one, other)| one.may_overlap(other))
    };
    new.iter().any(|new| removed.iter().any(|removed| overlap(new, removed)))
}

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Interval {
    Numbers(RangeInclusive<u128>),
    Name(String),
}

impl Interval {
    /// An address, a prefix, a number, a range of those, or a name.
    fn of(part: &str) -> Self {
        let address = |text: &str| -> Option<u128> {
            Some(match text.parse().ok()? {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(address) => address.to_bits(),
            })
        };
        let number = |text: &str| address(text).or_else(|| text.parse().ok());
        if let Ok(net) = part.parse::<IpNet>() {
            let ends = [net.network(), net.broadcast()].map(|end| number(&end.to_string()));
            if let [Some(first), Some(last)] = ends {
                return Self::Numbers(first..=last);
            }
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) => Self::Numbers(first..=last),
            _ => Self::Name(part.to_owned()),
        }
    }

    /// Whether they share a value, as far as can be seen: a name may be any number.
    fn may_overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Numbers(one), Self::Numbers(other)) => {
                one.start() <= other.end() && other.start() <= one.end()
            }
            (Self::Name(one), Self::Name(other)) => one == other,
            _ => true,
        }
    }
}

fn puts<'a>(differences: impl Iterator<Item = &'a Difference<'a>>) -> Script {
    let mut script = Script::default();
    for Difference { map, put, replaced, .. } in differences {
        remove(&mut script, map, replaced);
        if !put.is_empty() {
            script.line(format!("add element {TABLE} {map} {{"));
            elements(&mut script, "\t", put.iter().copied());
            script.line("}");
        }
    }
    script
}

fn removals<'a>(differences: impl Iterator<Item = &'a Difference<'a>>) -> Script {
    let mut script = Script::default();
    for Difference { map, removed, .. } in differences {
        remove(&mut script, map, removed);
    }
    script
}

/// A line for each key, with commas between them.
fn remove(script: &mut Script, map: &str, elements: &[(&String, &Element)]) {
    let Some(last) = elements.len().checked_sub(1) else { return };
    script.line(format!("delete element {TABLE} {map} {{"));
    for (place, (key, element)) in elements.iter().enumerate() {
        let comma = if place == last { "" } else { "," };
        script.rule_line(format!("\t{key}{comma}"), number(&element.about));
    }
    script.line("}");
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::{option, prelude::*};
    use ringfence_common::verdict::Reason;

    use super::super::super::{Chain, Rule};
    use super::*;
    use crate::backend::chains::About;

    /// A map for each form, whose elements may be there or not, with one verdict or the other.
    const MAPS: [(&str, &str, &[&str]); 5] = [
        (
            "in4_7_1",
            "ipv4_addr . inet_proto . inet_service",
            &["10.0.0.1 . tcp . 80", "10.0.0.1 . tcp . 81", "10.0.0.2 . tcp . 80"],
        ),
        ("in4_7_2", "ipv4_addr . inet_proto", &["10.0.0.1 . tcp", "10.0.0.2 . tcp"]),
        ("in4_7_3", "ipv4_addr", &["10.0.0.1", "10.0.0.2"]),
        ("in_7_4", "inet_proto . inet_service", &["tcp . 80", "tcp . 81"]),
        ("in_7_5", "inet_proto", &["tcp"]),
    ];

    fn table(verdicts: &[Option<bool>]) -> Ruleset {
        let mut verdicts = verdicts.iter();
        let mut chain = Chain::named("in_7", "");
        let mut ruleset = Ruleset::default();
        for (name, kind, keys) in MAPS {
            chain.rules.push(Rule::leads(format!("vmap @{name}"), "Form"));
            let element = |allows: bool| Element {
                verdict: if allows { "return" } else { "drop" }.to_owned(),
                about: About::Reason(Reason::NoRule),
            };
            let elements = keys.iter().filter_map(|key| {
                let verdict = verdicts.next().copied().flatten()?;
                Some(((*key).to_owned(), element(verdict)))
            });
            let elements = elements.collect();
            let map = Map { kind: format!("{kind} : verdict"), intervals: false, elements };
            ruleset.maps.insert(name.to_owned(), map);
        }
        ruleset.chains.push(chain);
        ruleset
    }

    /// What a packet meets: the first form that has it.
    fn verdict(ruleset: &Ruleset, address: &str, port: &str) -> String {
        let keys = [
            format!("{address} . tcp . {port}"),
            format!("{address} . tcp"),
            address.to_owned(),
            format!("tcp . {port}"),
            "tcp".to_owned(),
        ];
        let found = MAPS.iter().zip(keys).find_map(|((name, ..), key)| {
            ruleset.maps[*name].elements.get(&key).map(|element| element.verdict.clone())
        });
        found.unwrap_or_else(|| "default".to_owned())
    }

    /// Does what the text says.
    fn take(step: &Script, ruleset: &mut Ruleset) {
        let mut map = String::new();
        for line in &step.lines {
            if let Some(element) = line.text.strip_prefix('\t') {
                let element = element.trim_end_matches(',');
                let elements = &mut ruleset.maps.get_mut(&map).unwrap().elements;
                match element.split_once(" comment ") {
                    None => assert!(elements.remove(element).is_some(), "{element}"),
                    Some((key, rest)) => {
                        let verdict = rest.rsplit_once(" : ").unwrap().1.to_owned();
                        let about = About::Reason(Reason::NoRule);
                        let added = elements.insert(key.to_owned(), Element { verdict, about });
                        assert_eq!(added, None, "{key} is there already");
                    }
                }
            } else if line.text != "}" {
                line.text.split(' ').nth(4).unwrap().clone_into(&mut map);
            }
        }
    }

    proptest! {
        /// After each step, each packet meets its old verdict or its new one.
        #[test]
        fn no_packet_meets_anything_but_old_or_new(
            old in vec(option::of(any::<bool>()), 10),
            new in vec(option::of(any::<bool>()), 10),
        ) {
            let (before, after) = (table(&old), table(&new));
            let mut now = before.clone();
            for step in steps(&before, &after).unwrap() {
                take(&step, &mut now);
                for (address, port) in ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
                    .into_iter()
                    .flat_map(|address| ["80", "81", "82"].map(|port| (address, port)))
                {
                    let ends = [&before, &after].map(|table| verdict(table, address, port));
                    let met = verdict(&now, address, port);
                    prop_assert!(ends.contains(&met), "{address} {port}: {met} in {step}");
                }
            }
            prop_assert_eq!(now, after);
        }
    }

    #[test]
    fn parts_of_keys_overlap_as_nft_reads_them() {
        for (one, other, expected) in [
            ("10.0.0.0/24", "10.0.1.0/24", false),
            ("10.0.0.0/16", "10.0.1.7", true),
            ("10.0.0.1-10.0.0.9", "10.0.0.9-10.0.0.12", true),
            ("fd00::/64", "fd00:0:0:1::1", false),
            ("fd00::1-fd00::5", "fd00::5", true),
            ("80", "80-90", true),
            ("80", "443", false),
            ("tcp", "udp", false),
            ("tcp", "tcp", true),
            ("echo-request", "5-9", true),
        ] {
            let found = Interval::of(one).may_overlap(&Interval::of(other));
            assert_eq!(found, expected, "{one} and {other}");
        }
    }
}
