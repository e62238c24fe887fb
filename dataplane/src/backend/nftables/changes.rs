//! From one table to another, touching only what differs, in one transaction.
//!
//! Elements that differ are taken out and put in; the rules of chains that differ are written anew.
//! nft reads commands in order, so what is led to comes before what leads there, and goes after
//! it: new chains and maps, then rules and elements out, then in, then old chains and maps. The
//! kernel makes all of it count at once, or nothing.

use std::collections::BTreeMap;

use super::script::{MARK, TABLE, declaration, elements, hash, rules, word};
use super::{Chain, Element, Map, Ruleset};
use crate::backend::chains::{About, Script};

/// What it takes to make one table of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The text; empty where nothing differs.
    pub script: Script,
    /// The chains whose rules are written, and the chains that go.
    pub chains: usize,
    /// Rules and elements added, changed, removed.
    pub entries: [usize; 3],
}

impl Changes {
    /// Rules and elements written or removed.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.entries.iter().sum()
    }
}

impl Ruleset {
    /// What makes this table of `before`; nothing where that cannot be done piece by piece,
    /// because something has kept its name and become something else.
    #[must_use]
    pub fn changes(&self, before: &Self) -> Option<Changes> {
        let (old, new) = (by_name(before), by_name(self));
        let has_other_hook =
            |chain: &Chain| old.get(chain.name.as_str()).is_some_and(|old| old.hook != chain.hook);
        let has_other_kind = |(name, map): (&String, &Map)| {
            let old = before.maps.get(name);
            old.is_some_and(|old| (&old.kind, old.intervals) != (&map.kind, map.intervals))
        };
        if self.chains.iter().any(has_other_hook) || self.maps.iter().any(has_other_kind) {
            return None;
        }
        let mut changes = Changes::default();
        let written: Vec<&Chain> = self
            .chains
            .iter()
            .filter(|chain| old.get(chain.name.as_str()).is_none_or(|old| hash(old) != hash(chain)))
            .collect();
        let gone: Vec<&Chain> =
            before.chains.iter().filter(|chain| !new.contains_key(chain.name.as_str())).collect();
        let script = &mut changes.script;
        for chain in written.iter().filter(|chain| !old.contains_key(chain.name.as_str())) {
            add_chain(script, chain);
        }
        for (name, map) in self.maps.iter().filter(|(name, _)| !before.maps.contains_key(*name)) {
            add_map(script, name, map);
        }
        let replaced = written.iter().filter(|chain| old.contains_key(chain.name.as_str()));
        for chain in replaced.chain(&gone) {
            script.line(format!("flush chain {TABLE} {}", chain.name));
        }
        changes.elements(before, self);
        let script = &mut changes.script;
        for chain in &written {
            for (text, about) in rules(chain) {
                script.rule_line(format!("add rule {TABLE} {} {text}", chain.name), number(about));
            }
        }
        for (name, map) in before.maps.iter().filter(|(name, _)| !self.maps.contains_key(*name)) {
            script.line(format!("delete {} {TABLE} {name}", word(map)));
        }
        for chain in &gone {
            script.line(format!("delete chain {TABLE} {}", chain.name));
        }
        changes.chains = written.len() + gone.len();
        changes.count_rules(&written, &gone, &old);
        Some(changes)
    }

    /// The text that puts this table in the place of whatever table of its name there is, in one
    /// transaction.
    #[must_use]
    pub fn replacement(&self) -> Script {
        let mut script = Script::default();
        // Deleting what is not there is an error, adding what is there is none.
        script.line(format!("add table {TABLE} {{ {MARK}; }}"));
        script.line(format!("delete table {TABLE}"));
        script.lines.extend(self.script().lines);
        script
    }
}

impl Changes {
    /// Elements out, then elements in.
    fn elements(&mut self, before: &Ruleset, after: &Ruleset) {
        let none = BTreeMap::new();
        let of =
            |ruleset: &Ruleset, name: &str| ruleset.maps.get(name).map(|map| map.elements.clone());
        let mut added: Vec<(&String, BTreeMap<String, Element>)> = Vec::new();
        for (name, map) in &before.maps {
            let now = after.maps.get(name).map_or(&none, |map| &map.elements);
            let gone = |(key, element): &(&String, &Element)| now.get(*key) != Some(*element);
            let gone: Vec<_> = map.elements.iter().filter(gone).collect();
            self.entries[2] += gone.len();
            if !after.maps.contains_key(name) {
                // They go with their map; until then they would hold the chains they lead to.
                self.script.line(format!("flush {} {TABLE} {name}", word(map)));
            } else if !gone.is_empty() {
                self.script.line(format!("delete element {TABLE} {name} {{"));
                keys(&mut self.script, &gone);
                self.script.line("}");
            }
        }
        for (name, map) in &after.maps {
            let old = of(before, name).unwrap_or_default();
            let new = |(key, element): &(&String, &Element)| old.get(*key) != Some(*element);
            let new = map.elements.iter().filter(new);
            let new: BTreeMap<String, Element> =
                new.map(|(key, element)| (key.clone(), element.clone())).collect();
            let changed = new.keys().filter(|key| old.contains_key(*key)).count();
            self.entries[0] += new.len() - changed;
            self.entries[1] += changed;
            self.entries[2] -= changed;
            if !new.is_empty() {
                added.push((name, new));
            }
        }
        for (name, new) in added {
            self.script.line(format!("add element {TABLE} {name} {{"));
            elements(&mut self.script, "\t", new.iter());
            self.script.line("}");
        }
    }

    /// Rules have no names: of a chain that is written anew those count that were not there before,
    /// and those that are not there any more.
    fn count_rules(&mut self, written: &[&Chain], gone: &[&Chain], old: &BTreeMap<&str, &Chain>) {
        for chain in written {
            let before = old.get(chain.name.as_str()).map_or(&[][..], |chain| &chain.rules);
            self.entries[0] += chain.rules.iter().filter(|rule| !before.contains(rule)).count();
            self.entries[2] += before.iter().filter(|rule| !chain.rules.contains(rule)).count();
        }
        self.entries[2] += gone.iter().map(|chain| chain.rules.len()).sum::<usize>();
    }
}

fn by_name(ruleset: &Ruleset) -> BTreeMap<&str, &Chain> {
    ruleset.chains.iter().map(|chain| (chain.name.as_str(), chain)).collect()
}

fn add_chain(script: &mut Script, chain: &Chain) {
    let hook = chain.hook.as_ref().map(|hook| format!(" {{ {hook}; policy accept; }}"));
    script.line(format!("add chain {TABLE} {}{}", chain.name, hook.unwrap_or_default()));
}

fn add_map(script: &mut Script, name: &str, map: &Map) {
    let declaration = declaration(map).join("; ");
    script.line(format!("add {} {TABLE} {name} {{ {declaration}; }}", word(map)));
}

/// A line for each key, with commas between them.
fn keys(script: &mut Script, elements: &[(&String, &Element)]) {
    let last = elements.len() - 1;
    for (place, (key, element)) in elements.iter().enumerate() {
        let comma = if place == last { "" } else { "," };
        script.rule_line(format!("\t{key}{comma}"), number(&element.about));
    }
}

fn number(about: &About) -> u32 {
    match about {
        About::Rule { number, .. } => *number,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::nftables::Rule;

    fn element(verdict: &str, rule: u32) -> Element {
        let about = About::Rule { number: rule, name: "a".to_owned() };
        Element { verdict: verdict.to_owned(), about }
    }

    /// A chain that looks in the map `in4`, and one that the map leads to.
    fn table() -> Ruleset {
        let mut chain = Chain::named("in_7", "");
        chain.rules = vec![Rule::leads("ip saddr vmap @in4", "Peer"), Rule::leads("drop", "End")];
        let mut report = Chain::named("report_3", "");
        report.rules = vec![Rule::leads("log group 5", "Report")];
        let elements =
            [("10.0.0.1", element("return", 1)), ("10.0.0.2", element("goto report_3", 3))];
        let elements = elements.map(|(key, element)| (key.to_owned(), element));
        let map = Map {
            kind: "ipv4_addr : verdict".to_owned(),
            intervals: true,
            elements: elements.into(),
        };
        Ruleset {
            maps: [("in4".to_owned(), map)].into(),
            chains: vec![chain, report],
            pick_up_until: None,
        }
    }

    fn lines(changes: &Changes) -> Vec<&str> {
        changes.script.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn an_element_is_changed_by_itself() {
        let before = table();
        let mut after = table();
        let map = after.maps.get_mut("in4").unwrap();
        map.elements.insert("10.0.0.1".to_owned(), element("drop", 2));
        map.elements.insert("10.0.0.9".to_owned(), element("return", 2));
        let changes = after.changes(&before).unwrap();
        assert_eq!(
            lines(&changes),
            [
                "delete element inet ringfence in4 {",
                "\t10.0.0.1",
                "}",
                "add element inet ringfence in4 {",
                "\t10.0.0.1 comment \"rf:00000002 a\" : drop,",
                "\t10.0.0.9 comment \"rf:00000002 a\" : return",
                "}",
            ]
        );
        assert_eq!((changes.entries, changes.chains, changes.touched()), ([1, 1, 0], 0, 2));
        // A refusal is told with the rule: what goes with the old one, what comes with the new one.
        let rules: Vec<Option<u32>> = (1..=7).map(|line| changes.script.rule_of(line)).collect();
        assert_eq!(rules, [None, Some(1), None, None, Some(2), Some(2), None]);
    }

    #[test]
    fn what_is_led_to_comes_first_and_goes_last() {
        let before = table();
        let mut after = table();
        after.chains[1].name = "report_4".to_owned();
        let map = after.maps.get_mut("in4").unwrap();
        map.elements.insert("10.0.0.2".to_owned(), element("goto report_4", 4));
        let changes = after.changes(&before).unwrap();
        let hashed = rules(&after.chains[1]).next().unwrap().0;
        assert_eq!(
            lines(&changes),
            [
                "add chain inet ringfence report_4",
                "flush chain inet ringfence report_3",
                "delete element inet ringfence in4 {",
                "\t10.0.0.2",
                "}",
                "add element inet ringfence in4 {",
                "\t10.0.0.2 comment \"rf:00000004 a\" : goto report_4",
                "}",
                &format!("add rule inet ringfence report_4 {hashed}"),
                "delete chain inet ringfence report_3",
            ]
        );
        assert_eq!((changes.entries, changes.chains), ([1, 1, 1], 2));
    }

    #[test]
    fn a_map_comes_and_goes_with_the_rules_that_look_in_it() {
        let (with, mut without) = (table(), table());
        without.maps.clear();
        without.chains[0].rules.remove(0);
        without.chains.pop();
        let comes = with.changes(&without).unwrap();
        let order = ["add chain", "add map", "flush chain", "add element", "add rule"];
        let places = order.map(|word| lines(&comes).iter().position(|line| line.starts_with(word)));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", comes.script);
        let goes = without.changes(&with).unwrap();
        let order = ["flush chain", "flush map", "add rule", "delete map", "delete chain"];
        let places = order.map(|word| lines(&goes).iter().position(|line| line.starts_with(word)));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", goes.script);
        assert_eq!((comes.entries, goes.entries), ([4, 0, 0], [0, 0, 4]));
    }

    #[test]
    fn another_kind_or_hook_of_the_same_name_takes_the_whole_table() {
        let before = table();
        let mut kind = table();
        kind.maps.get_mut("in4").unwrap().intervals = false;
        assert_eq!(kind.changes(&before), None);
        let mut hook = table();
        hook.chains[0].hook = Some("type filter hook input priority filter".to_owned());
        assert_eq!(hook.changes(&before), None);
        let whole = hook.replacement().to_string();
        let begin = "add table inet ringfence { comment \"rf:ringfence\"; }\n\
                     delete table inet ringfence\n#";
        assert!(whole.starts_with(begin), "{whole}");
        // A title is for readers alone.
        let mut title = table();
        title.chains[0].title = "Another".to_owned();
        assert_eq!(title.changes(&before), Some(Changes::default()));
    }
}
