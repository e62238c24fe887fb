//! Chains that switch to maps which were filled before.

use std::collections::BTreeMap;

use super::super::script::{MARK, TABLE, declaration, elements, hash, number, rules, word};
use super::super::{Chain, Map, Ruleset};
use super::other_ends;
use crate::backend::chains::Script;

/// What is there of our table, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::backend::nftables) struct There {
    /// Chain → its hash, where it surely is as it was left.
    pub(in crate::backend::nftables) chains: BTreeMap<String, Option<u64>>,
    /// Name → `map` or `set`.
    pub(in crate::backend::nftables) maps: BTreeMap<String, &'static str>,
}

impl There {
    /// What was installed.
    pub(super) fn recorded(ruleset: &Ruleset) -> Self {
        let chains = ruleset.chains.iter().map(|chain| (chain.name.clone(), Some(hash(chain))));
        let maps = ruleset.maps.iter().map(|(name, map)| (name.clone(), word(map)));
        Self { chains: chains.collect(), maps: maps.collect() }
    }

    /// A name for the map that nothing there has: each apply that fails on its way may have left
    /// a map under another one, and what is in those is not known.
    pub(super) fn fresh(&self, name: &str) -> String {
        let others = other_ends().map(|end| format!("{name}{end}"));
        let mut names = [name.to_owned()].into_iter().chain(others);
        names.find(|name| !self.maps.contains_key(name)).expect("names have no end, and maps have")
    }

    /// The steps to `after`, whose maps are either those that are there or have fresh names.
    pub(super) fn switch(&self, after: &Ruleset) -> Vec<Script> {
        let mut steps = vec![self.fill(after), self.lead(after), self.take_away(after)];
        steps.retain(|step| !step.lines.is_empty());
        steps
    }

    /// New maps, and new chains that nobody leads to yet.
    fn fill(&self, after: &Ruleset) -> Script {
        let mut script = Script::default();
        if self.chains.is_empty() && self.maps.is_empty() {
            script.line(format!("add table {TABLE} {{ {MARK}; }}"));
        }
        let is_new =
            |chain: &&Chain| chain.hook.is_none() && !self.chains.contains_key(&chain.name);
        let chains: Vec<&Chain> = after.chains.iter().filter(is_new).collect();
        for chain in &chains {
            script.line(format!("add chain {TABLE} {}", chain.name));
        }
        let maps = after.maps.iter().filter(|(name, _)| !self.maps.contains_key(*name));
        let maps: Vec<(&String, &Map)> = maps.collect();
        for (name, map) in &maps {
            let declaration = declaration(map).join("; ");
            script.line(format!("add {} {TABLE} {name} {{ {declaration}; }}", word(map)));
        }
        for (name, map) in &maps {
            script.line(format!("add element {TABLE} {name} {{"));
            elements(&mut script, "\t", map.elements.iter());
            script.line("}");
        }
        chains.iter().for_each(|chain| write(&mut script, chain));
        script
    }

    /// The rules that lead to what is new instead of what was there.
    fn lead(&self, after: &Ruleset) -> Script {
        let mut script = Script::default();
        let differs = |chain: &&Chain| match self.chains.get(&chain.name) {
            Some(there) => *there != Some(hash(chain)),
            None => chain.hook.is_some(),
        };
        let chains: Vec<&Chain> = after.chains.iter().filter(differs).collect();
        for chain in &chains {
            if let Some(hook) = &chain.hook {
                let hook = format!("{{ {hook}; policy accept; }}");
                script.line(format!("add chain {TABLE} {} {hook}", chain.name));
            }
        }
        let changed = chains.iter().map(|chain| &chain.name);
        let changed = changed.filter(|name| self.chains.contains_key(*name));
        for name in changed.chain(self.gone(after)) {
            script.line(format!("flush chain {TABLE} {name}"));
        }
        chains.iter().for_each(|chain| write(&mut script, chain));
        script
    }

    /// What nobody leads to any more.
    fn take_away(&self, after: &Ruleset) -> Script {
        let mut script = Script::default();
        let maps = self.maps.iter().filter(|(name, _)| !after.maps.contains_key(*name));
        let maps: Vec<(&String, &&str)> = maps.collect();
        for (name, word) in &maps {
            // Its elements would hold the chains that they lead to.
            script.line(format!("flush {word} {TABLE} {name}"));
        }
        for (name, word) in &maps {
            script.line(format!("delete {word} {TABLE} {name}"));
        }
        for name in self.gone(after) {
            script.line(format!("delete chain {TABLE} {name}"));
        }
        script
    }

    fn gone(&self, after: &Ruleset) -> impl Iterator<Item = &String> {
        let is_gone = |name: &&String| !after.chains.iter().any(|chain| chain.name == **name);
        self.chains.keys().filter(is_gone).collect::<Vec<_>>().into_iter()
    }
}

fn write(script: &mut Script, chain: &Chain) {
    for (text, about) in rules(chain) {
        script.rule_line(format!("add rule {TABLE} {} {text}", chain.name), number(about));
    }
}
