//! From what a table holds of ours to what it shall hold, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::saved::{SavedTable, is_our_name};
use crate::backend::chains::{Script, ScriptLine};
use crate::backend::iptables::{Chain, Jump, Ruleset, Table, chain_lines, jump_line};

/// What a table is to hold of ours, as it is written for `iptables-restore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Our chains, each with the lines that fill it.
    pub(super) chains: BTreeMap<String, Vec<ScriptLine>>,
    /// Rules of other chains that lead into ours, in the order in which they are put there.
    pub(super) jumps: Vec<Entrance>,
}

/// A rule that leads into a chain of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entrance {
    /// The chain that it is in.
    pub(super) from: String,
    /// Its place there, from 1.
    pub(super) at: usize,
    /// What stands behind the chain's name.
    pub(super) text: String,
}

impl Content {
    /// What `ruleset` wants in `table`.
    pub(super) fn of(ruleset: &Ruleset, table: Table) -> Self {
        let chains = ruleset.chains.iter().filter(|chain| chain.table == table);
        let jumps = ruleset.jumps.iter().filter(|jump| jump.table == table);
        let entrance = |jump: &Jump| {
            let line = jump_line(jump);
            let text = line.strip_prefix(&format!("-I {} 1 ", jump.from));
            let text = text.expect("a jump is inserted before all others").to_owned();
            Entrance { from: jump.from.clone(), at: 1, text }
        };
        Self {
            chains: chains.map(|chain| (chain.name.clone(), lines(chain))).collect(),
            jumps: jumps.map(entrance).collect(),
        }
    }

    /// What `saved` holds of ours, as it stands there.
    pub(super) fn saved(saved: &SavedTable) -> Self {
        let line = |chain: &str, text: &str| ScriptLine {
            text: format!("-A {chain} {text}").trim_end().to_owned(),
            rule: 0,
        };
        let chains = saved.ours().map(|(name, rules)| {
            (name.clone(), rules.iter().map(|rule| line(name, &rule.text)).collect())
        });
        let jumps = saved.jumps().map(|(from, at, rule)| Entrance {
            from: from.to_owned(),
            at,
            text: rule.text.clone(),
        });
        Self { chains: chains.collect(), jumps: jumps.collect() }
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.jumps.is_empty()
    }

    /// What `saved` holds, and beside it `ruleset` in chains of other names, entered in addition:
    /// a packet passes then only if both let it pass.
    pub(super) fn beside(saved: &SavedTable, ruleset: &Ruleset, table: Table) -> Self {
        let mut both = Self::saved(saved);
        let next = Self::of(&renamed(ruleset, table), table);
        both.chains.extend(next.chains);
        // Behind ours that are there, which keep their places.
        both.jumps.extend(
            next.jumps
                .into_iter()
                .map(|jump| {
                    let taken = both.jumps.iter().filter(|there| there.from == jump.from);
                    let at = taken.map(|there| there.at).max().unwrap_or(0) + 1;
                    Entrance { at, ..jump }
                })
                .collect::<Vec<_>>(),
        );
        both
    }
}

fn lines(chain: &Chain) -> Vec<ScriptLine> {
    let mut script = Script::default();
    chain_lines(chain, &mut script);
    script.lines
}

/// `ruleset`, its chains of `table` under names that no installed chain has.
fn renamed(ruleset: &Ruleset, table: Table) -> Ruleset {
    let next = |name: &str| {
        let rest = name.strip_prefix("RINGFENCE-").or(name.strip_prefix("RF-")).unwrap_or(name);
        format!("RF-NEXT-{rest}")
    };
    let mut ruleset = ruleset.clone();
    ruleset.chains.retain(|chain| chain.table == table);
    ruleset.jumps.retain(|jump| jump.table == table);
    let names: BTreeSet<String> = ruleset.chains.iter().map(|chain| chain.name.clone()).collect();
    for chain in &mut ruleset.chains {
        chain.name = next(&chain.name);
        for rule in &mut chain.rules {
            if let Some((option, to)) = rule.target.split_once(' ')
                && names.contains(to)
            {
                rule.target = format!("{option} {}", next(to));
            }
        }
    }
    for jump in &mut ruleset.jumps {
        jump.to = next(&jump.to);
    }
    ruleset
}

/// The text that takes `table` from `now` to `wanted` and leaves the chains of `kept` alone;
/// nothing where nothing is to be done. Rules of others are not mentioned.
pub(super) fn transaction(
    table: Table,
    now: &SavedTable,
    wanted: &Content,
    kept: &BTreeSet<String>,
) -> Option<Script> {
    let mut body = Script::default();
    let written = wanted.chains.iter().filter(|(name, _)| !kept.contains(*name));
    // Naming a chain of ours makes it, or empties the one that is there.
    for (name, _) in written.clone() {
        body.line(format!(":{name} - [0:0]"));
    }
    body.lines.extend(written.flat_map(|(_, lines)| lines.clone()));
    move_jumps(now, wanted, &mut body);
    let there = now.ours().map(|(name, _)| name);
    let gone: Vec<&String> = there.filter(|name| !wanted.chains.contains_key(*name)).collect();
    // Emptied first: they may lead to each other.
    for verb in ["-F", "-X"] {
        gone.iter().for_each(|name| body.line(format!("{verb} {name}")));
    }
    if body.lines.is_empty() {
        return None;
    }
    let mut script = Script::default();
    script.line(format!("*{table}"));
    script.lines.append(&mut body.lines);
    script.line("COMMIT");
    Some(script)
}

/// Puts the jumps where they are wanted, unless they all are there already.
fn move_jumps(now: &SavedTable, wanted: &Content, script: &mut Script) {
    let there: Vec<Entrance> = Content::saved(now).jumps;
    let froms: BTreeSet<&String> =
        there.iter().chain(&wanted.jumps).map(|jump| &jump.from).collect();
    for from in froms {
        let there: Vec<&Entrance> = there.iter().filter(|jump| jump.from == *from).collect();
        let wanted: Vec<&Entrance> =
            wanted.jumps.iter().filter(|jump| jump.from == *from).collect();
        if is_alike(&there, &wanted) {
            continue;
        }
        for jump in there {
            script.line(format!("-D {from} {}", jump.text));
        }
        for jump in wanted {
            script.line(format!("-I {from} {} {}", jump.at, jump.text));
        }
    }
}

/// Whether the rules are the same at the same places. The kernel prints a rule of ours as it was
/// written but for quotation marks.
fn is_alike(there: &[&Entrance], wanted: &[&Entrance]) -> bool {
    let plain = |jump: &Entrance| (jump.at, jump.text.replace('"', ""));
    there.iter().map(|jump| plain(jump)).eq(wanted.iter().map(|jump| plain(jump)))
}

/// Chains that `wanted` has and that somebody else has made: with names of ours, but no rule of
/// ours in them.
pub(super) fn foreign<'w>(now: &SavedTable, wanted: &'w Content) -> Option<&'w String> {
    let ours: BTreeSet<&String> = now.ours().map(|(name, _)| name).collect();
    let names = wanted.chains.keys().filter(|name| is_our_name(name));
    names.into_iter().find(|name| now.chains.contains_key(*name) && !ours.contains(name))
}

/// A rule of somebody else that leads into a chain of ours that is `gone`: the chain that it is
/// in, and its text.
pub(super) fn foreign_jump(
    now: &SavedTable,
    gone: impl Fn(&str) -> bool,
) -> Option<(&String, &str)> {
    let ours: BTreeSet<&String> = now.ours().map(|(name, _)| name).collect();
    let others = now.chains.iter().filter(|(name, _)| !ours.contains(name));
    let rules = others.flat_map(|(name, rules)| rules.iter().map(move |rule| (name, rule)));
    let leads = |target: &String| ours.contains(target) && gone(target);
    let mut foreign = rules.filter(|(_, rule)| !rule.is_jump());
    let found = foreign.find(|(_, rule)| rule.target.as_ref().is_some_and(leads));
    found.map(|(name, rule)| (name, rule.text.as_str()))
}
