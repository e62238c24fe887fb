//! Bringing rulesets into the kernel, both families, so that no packet meets half a change and a
//! refusal leaves what was there.
//!
//! # Design
//!
//! Each table of each family changes in one transaction of `iptables-restore`, in which only the
//! chains that differ are written. All transactions are tested before the first is run.
//!
//! The tables change one after the other, and a packet passes `raw` before `filter`. So that it
//! never meets a mixture that lets it through, `raw` changes in two steps: first the new chains
//! are entered beside the old ones, so that only senders pass whom both allow; then `filter`
//! changes; then the old chains of `raw` go.
//!
//! When a transaction is refused after others were run, the lines that `iptables-save` printed of
//! our chains before are put back.

use std::collections::{BTreeMap, BTreeSet};

use super::prints::{Print, claim, of_table, table_prints};
use super::saved::{Saved, SavedTable, chain_hash};
use super::transaction::{Content, foreign, foreign_jump, transaction};
use super::{Variant, XtablesError};
use crate::backend::chains::Script;
use crate::backend::iptables::{Family, Ruleset, Table};
use crate::backend::tool::{LOCK_SECONDS, Tools};
use crate::compile::RuleDescription;

/// Who talks to the kernel.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Xtables<'a> {
    pub(in crate::backend) tools: &'a Tools,
    pub(in crate::backend) variant: Variant,
    /// What rule numbers stand for.
    pub(in crate::backend) rules: &'a BTreeMap<u32, RuleDescription>,
    /// What we know to have made here.
    pub(in crate::backend) made: &'a [Print],
}

/// What is to be done: one table of one family each.
#[derive(Debug)]
pub(in crate::backend) struct Goal<'a> {
    pub(in crate::backend) family: Family,
    pub(in crate::backend) table: Table,
    content: Content,
    /// What there is, and beside it what shall be.
    both: Content,
    kept: BTreeSet<String>,
    now: &'a SavedTable,
    script: Option<Script>,
}

/// How much is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct Extent {
    /// Rules in chains that were not there, in chains that are written anew, in chains that go.
    pub(in crate::backend) rules: [usize; 3],
    /// Chains written or removed.
    pub(in crate::backend) chains: usize,
    /// Jumps made or removed.
    pub(in crate::backend) jumps: usize,
}

impl Xtables<'_> {
    /// What the kernel holds now.
    pub(in crate::backend) fn look(&self) -> Result<[Saved; 2], XtablesError> {
        Ok([self.look_at(Family::V4)?, self.look_at(Family::V6)?])
    }

    fn look_at(&self, family: Family) -> Result<Saved, XtablesError> {
        let mut saved = Saved::ask(self.tools, self.variant, family)?;
        claim(self.made, family, &mut saved);
        Ok(saved)
    }

    /// What has to be done for `rulesets`, where the kernel holds `now` and was left with what is
    /// `known`. Empty if nothing.
    pub(in crate::backend) fn goals<'s>(
        &self,
        now: &'s [Saved; 2],
        rulesets: &[Ruleset; 2],
        known: &[Print],
    ) -> Result<Vec<Goal<'s>>, XtablesError> {
        let mut goals = Vec::new();
        // Where somebody else's chain is in the way, nothing is touched.
        for (ruleset, saved) in rulesets.iter().zip(now) {
            for table in Table::ALL {
                let goal = self.goal(ruleset, table, saved.table(table), known)?;
                goals.extend(goal.script.is_some().then_some(goal));
            }
        }
        Ok(goals)
    }

    fn goal<'s>(
        &self,
        ruleset: &Ruleset,
        table: Table,
        now: &'s SavedTable,
        known: &[Print],
    ) -> Result<Goal<'s>, XtablesError> {
        let family = ruleset.family;
        let content = Content::of(ruleset, table);
        if let Some(chain) = foreign(now, &content) {
            let program = self.program(family);
            let (table, chain) = (format!("{family} {table}"), chain.clone());
            return Err(XtablesError::ForeignChain { table, program, chain });
        }
        self.refuse_foreign_jump(family, table, now, &content)?;
        let kept = kept(now, &content, &of_table(known, family, table));
        let script = transaction(table, now, &content, &kept);
        let both = Content::beside(now, ruleset, table);
        Ok(Goal { family, table, content, both, kept, now, script })
    }

    /// An error if somebody else's rule leads into a chain of ours, so that ours cannot all go.
    pub(in crate::backend) fn refuse_foreign_jumps(
        &self,
        now: &[Saved; 2],
    ) -> Result<(), XtablesError> {
        for (family, saved) in Family::ALL.into_iter().zip(now) {
            for table in Table::ALL {
                let nothing = Content::default();
                self.refuse_foreign_jump(family, table, saved.table(table), &nothing)?;
            }
        }
        Ok(())
    }

    /// A chain that is still entered by somebody else's rule cannot be removed.
    fn refuse_foreign_jump(
        &self,
        family: Family,
        table: Table,
        now: &SavedTable,
        wanted: &Content,
    ) -> Result<(), XtablesError> {
        let Some((chain, rule)) = foreign_jump(now, |chain| !wanted.chains.contains_key(chain))
        else {
            return Ok(());
        };
        Err(XtablesError::ForeignJump {
            table: format!("{family} {table}"),
            program: self.program(family),
            chain: chain.clone(),
            rule: rule.to_owned(),
        })
    }

    /// Asks the tool whether it would take all of it.
    pub(in crate::backend) fn test(&self, goals: &[Goal<'_>]) -> Result<(), XtablesError> {
        for goal in goals {
            self.restore(goal.family, goal.script.as_ref(), &["--test"])?;
        }
        Ok(())
    }

    /// Does it, or leaves everything as it was in `before`.
    pub(in crate::backend) fn install(
        &self,
        before: &[Saved; 2],
        goals: &[Goal<'_>],
    ) -> Result<(), XtablesError> {
        let Err(why) = self.run(goals) else { return Ok(()) };
        let why = Box::new(why);
        Err(match self.put_back(before) {
            Ok(()) => XtablesError::Refused { why },
            Err(then) => XtablesError::NotTakenBack { why, then: Box::new(then) },
        })
    }

    fn run(&self, goals: &[Goal<'_>]) -> Result<(), XtablesError> {
        let raw = || goals.iter().filter(|goal| goal.table == Table::Raw);
        // Who is checked for the first time is checked first, who no longer is, last.
        for goal in raw().filter(|goal| !goal.content.is_empty()) {
            let script = match goal.is_replacement() {
                true => goal.beside(),
                false => goal.script.clone(),
            };
            self.restore(goal.family, script.as_ref(), &[])?;
        }
        for goal in goals.iter().filter(|goal| goal.table == Table::Filter) {
            self.restore(goal.family, goal.script.as_ref(), &[])?;
        }
        for goal in raw().filter(|goal| goal.is_replacement() || goal.content.is_empty()) {
            let now = self.look_at(goal.family)?;
            let script = transaction(goal.table, now.table(goal.table), &goal.content, &goal.kept);
            self.restore(goal.family, script.as_ref(), &[])?;
        }
        Ok(())
    }

    /// Puts back what `before` holds of ours. All is tried, whatever fails.
    pub(in crate::backend) fn put_back(&self, before: &[Saved; 2]) -> Result<(), XtablesError> {
        let mut result = Ok(());
        // Policy before senders, so that no sender passes whom the policy does not expect.
        for table in [Table::Filter, Table::Raw] {
            for (family, before) in Family::ALL.into_iter().zip(before) {
                let back = self.put_back_table(family, table, before.table(table));
                result = result.and(back);
            }
        }
        result
    }

    fn put_back_table(
        &self,
        family: Family,
        table: Table,
        before: &SavedTable,
    ) -> Result<(), XtablesError> {
        let now = self.look_at(family)?;
        let now = now.table(table);
        let there = table_prints(now);
        let same =
            table_prints(before).into_iter().filter(|(name, hash)| there.get(name) == Some(hash));
        let kept = same.map(|(name, _)| name).collect();
        let script = transaction(table, now, &Content::saved(before), &kept);
        self.restore(family, script.as_ref(), &[])
    }

    /// What there is of ours, taken away from the kernel: a line for each table.
    pub(in crate::backend) fn remove(&self) -> Result<Vec<String>, XtablesError> {
        let mut removed = Vec::new();
        let nothing = Content::default();
        for table in [Table::Filter, Table::Raw] {
            for family in Family::ALL {
                let saved = self.look_at(family)?;
                let now = saved.table(table);
                self.refuse_foreign_jump(family, table, now, &nothing)?;
                let script = transaction(table, now, &nothing, &BTreeSet::new());
                self.restore(family, script.as_ref(), &[])?;
                if script.is_some() {
                    let (chains, jumps) = (now.ours().count(), now.jumps().count());
                    let program = self.program(family);
                    removed.push(format!("{program} {table}: {chains} chains, {jumps} jumps"));
                }
            }
        }
        Ok(removed)
    }

    fn restore(
        &self,
        family: Family,
        script: Option<&Script>,
        more: &[&str],
    ) -> Result<(), XtablesError> {
        let Some(script) = script else { return Ok(()) };
        let arguments = [&["-w", LOCK_SECONDS, "--noflush"], more].concat();
        self.tools.feed(&self.variant.restore(family), &arguments, script, self.rules)?;
        Ok(())
    }

    fn program(&self, family: Family) -> String {
        self.variant.program(family)
    }
}

impl Goal<'_> {
    /// Whether something of ours is there, and something shall be.
    fn is_replacement(&self) -> bool {
        !self.content.is_empty() && !Content::saved(self.now).is_empty()
    }

    /// The way to the old and the new side by side.
    fn beside(&self) -> Option<Script> {
        let kept = self.now.ours().map(|(name, _)| name.clone()).collect();
        transaction(self.table, self.now, &self.both, &kept)
    }

    /// How much is changed.
    pub(in crate::backend) fn extent(&self) -> Extent {
        let there: BTreeMap<&String, usize> =
            self.now.ours().map(|(name, rules)| (name, rules.len())).collect();
        let mut extent = Extent::default();
        for (name, lines) in &self.content.chains {
            if !self.kept.contains(name) {
                extent.chains += 1;
                extent.rules[usize::from(there.contains_key(name))] += lines.len();
            }
        }
        for (_, rules) in there.iter().filter(|(name, _)| !self.content.chains.contains_key(**name))
        {
            extent.chains += 1;
            extent.rules[2] += rules;
        }
        let lines = self.script.iter().flat_map(|script| &script.lines);
        let is_jump = |text: &str| text.starts_with("-I ") || text.starts_with("-D ");
        extent.jumps = lines.filter(|line| is_jump(&line.text)).count();
        extent
    }
}

/// The chains that stay as they are: made from the text that is wanted, and not changed since.
fn kept(now: &SavedTable, wanted: &Content, known: &BTreeMap<&str, u64>) -> BTreeSet<String> {
    let there = table_prints(now);
    let is_kept = |name: &String, lines: &[crate::backend::chains::ScriptLine]| {
        let hash = now.chains.get(name)?.first()?.chain_hash()?;
        let wanted = chain_hash(&lines.first()?.text)?;
        Some(hash == wanted && there.get(name)? == known.get(name.as_str())?)
    };
    let kept = wanted.chains.iter().filter(|(name, lines)| is_kept(name, lines) == Some(true));
    kept.map(|(name, _)| name.clone()).collect()
}
