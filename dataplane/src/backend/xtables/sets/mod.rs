//! Bringing sets into the kernel: in place where that is safe, else under fresh names.

mod in_place;
mod listed;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::in_place::inverse;
pub(super) use self::in_place::{ElementChange, count, differences, in_place};
pub(super) use self::listed::{IPSET, Listed};
use super::XtablesError;
use crate::backend::chains::{About, Script};
use crate::backend::ipset::{Set, Sets, element_line, set_lines};
use crate::backend::iptables::Ruleset;
use crate::backend::tool::{ToolError, Tools};
use crate::compile::RuleDescription;

/// How long a set that no rule uses any more may still be in use: the kernel frees rules after
/// packets that are under way have left them.
const IN_USE: Duration = Duration::from_secs(5);

/// A set as it was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptSet {
    /// Its name in the kernel.
    pub(super) name: String,
    pub(super) set: Set,
    /// What [`Listed`] made of its elements.
    pub(super) print: u64,
}

/// Installed sets by the names that generators give them.
pub(super) type KeptSets = BTreeMap<String, KeptSet>;

/// Whether the kernel has `kept` as it was left.
pub(super) fn is_as_left(kept: &KeptSet, listed: &Listed) -> bool {
    listed.sets.get(&kept.name).is_some_and(|set| set.print == kept.print)
}

/// Where each set of `wanted` is to be in the kernel: where it is already, if it is there as it
/// shall be; else under a name that no set has.
pub(super) fn names(wanted: &Sets, kept: &KeptSets, listed: &Listed) -> BTreeMap<String, String> {
    let name = |(base, set): (&String, &Set)| {
        let there = kept.get(base).filter(|kept| kept.set == *set && is_as_left(kept, listed));
        let fresh = || {
            let mut names = (0..).map(|number| format!("{base}.{number}"));
            names.find(|name| !listed.sets.contains_key(name)).expect("numbers do not end")
        };
        (base.clone(), there.map_or_else(fresh, |kept| kept.name.clone()))
    };
    wanted.iter().map(name).collect()
}

/// `rulesets` with the names that sets have in the kernel.
pub(super) fn with_names(
    rulesets: &[Ruleset; 2],
    names: &BTreeMap<String, String>,
) -> [Ruleset; 2] {
    let mut rulesets = rulesets.clone();
    if names.is_empty() {
        return rulesets;
    }
    for rule in rulesets
        .iter_mut()
        .flat_map(|ruleset| &mut ruleset.chains)
        .flat_map(|chain| &mut chain.rules)
    {
        let words: Vec<&str> = rule.matches.split(' ').collect();
        let is_name = |at: usize| at > 0 && words[at - 1] == "--match-set";
        let word = |(at, word): (usize, &&str)| match names.get(*word) {
            Some(name) if is_name(at) => name.clone(),
            _ => (*word).to_owned(),
        };
        rule.matches = words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ");
    }
    rulesets
}

/// Who talks to the kernel about sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ipset<'a> {
    pub(super) tools: &'a Tools,
    /// What rule numbers stand for.
    pub(super) rules: &'a BTreeMap<u32, RuleDescription>,
}

impl Ipset<'_> {
    /// Makes and fills those of `wanted` that are not in `listed`; none of them where one is
    /// refused.
    pub(super) fn create(
        &self,
        wanted: &Sets,
        names: &BTreeMap<String, String>,
        listed: &Listed,
    ) -> Result<usize, XtablesError> {
        let mut script = Script::default();
        let mut fresh = BTreeSet::new();
        for (base, set) in wanted {
            let name = &names[base];
            if listed.sets.contains_key(name) {
                continue;
            }
            fresh.insert(name.clone());
            set_lines(name, set, &mut script);
        }
        self.restore(&script).inspect_err(|_| {
            // What is left behind is found again by the next apply.
            let _ = self.destroy(&fresh);
        })?;
        Ok(script.lines.len())
    }

    /// Makes `changes` one after the other; if one is refused, all are taken back.
    pub(super) fn change(
        &self,
        changes: &[ElementChange],
        names: &BTreeMap<String, String>,
    ) -> Result<(), XtablesError> {
        let Err(why) = self.restore(&lines(changes, names)) else { return Ok(()) };
        let why = Box::new(why);
        Err(match self.restore(&lines(&inverse(changes), names)) {
            Ok(()) => XtablesError::Refused { why },
            Err(then) => XtablesError::NotTakenBack { why, then: Box::new(then) },
        })
    }

    /// Takes away those of `names` that are there.
    pub(super) fn destroy(&self, names: &BTreeSet<String>) -> Result<(), XtablesError> {
        let deadline = Instant::now() + IN_USE;
        loop {
            let there = Listed::ask(self.tools)?;
            let mut script = Script::default();
            for name in names.iter().filter(|name| there.sets.contains_key(*name)) {
                script.line(format!("destroy {name}"));
            }
            match self.restore(&script) {
                Err(XtablesError::Tool(ToolError::Line { said, .. }))
                    if said.contains("in use") && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    fn restore(&self, script: &Script) -> Result<(), XtablesError> {
        if script.lines.is_empty() {
            return Ok(());
        }
        self.tools.feed(IPSET, &["-exist", "restore"], script, self.rules)?;
        Ok(())
    }
}

fn lines(changes: &[ElementChange], names: &BTreeMap<String, String>) -> Script {
    let mut script = Script::default();
    for ElementChange { set, element, about, .. } in changes {
        let (name, about) = (&names[set], about.as_ref());
        let verb = if about.is_some() { "add" } else { "del" };
        let rule = match about {
            Some(About::Rule { number, .. }) => *number,
            _ => 0,
        };
        script.rule_line(element_line(verb, name, element, about), rule);
    }
    script
}

#[cfg(test)]
mod tests;
