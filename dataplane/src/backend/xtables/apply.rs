//! From a desired state to installed rules, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};

use super::host::{Kept, XtablesHost, made};
use super::install::{Goal, Xtables};
use super::prints::{Print, compare, prints};
use super::saved::Saved;
use super::sets::{ElementChange, Ipset, KeptSet, Listed, in_place, is_as_left, names, with_names};
use super::{Variant, XtablesError, summary};
use crate::backend::chains::Plan;
use crate::backend::ipset::{Set, Sets};
use crate::backend::iptables::Ruleset;
use crate::backend::record::{Record, now};
use crate::backend::{Applied, ChainState, Chained, Desired, How, with_sources};
use crate::compile::RuleDescription;

/// Rules as generators give them.
#[derive(Clone, Debug)]
pub(in crate::backend) struct Wanted {
    /// For each family.
    pub(in crate::backend) rulesets: [Ruleset; 2],
    /// The sets that they name.
    pub(in crate::backend) sets: Sets,
}

impl Wanted {
    /// How many rules there are.
    pub(super) fn rules(&self) -> usize {
        let chains = self.rulesets.iter().flat_map(|ruleset| &ruleset.chains);
        chains.map(|chain| chain.rules.len()).sum()
    }
}

/// What a generator does.
pub(in crate::backend) type Render<'r> = &'r dyn Fn(&Plan) -> Result<Wanted, XtablesError>;

/// How things are before an apply.
pub(super) struct Situation {
    pub(super) variant: Variant,
    /// What is recorded of this tool.
    pub(super) record: Option<Record<Kept>>,
    plan: Plan,
    pub(super) wanted: Wanted,
    saved: [Saved; 2],
    pub(super) listed: Listed,
    /// What the other variant holds, where it is installed.
    pub(super) other: Option<[Saved; 2]>,
    /// Whether the other backend of this module has installed what is there.
    pub(super) is_taken_over: bool,
    /// What either backend of this module is known to have made in each variant.
    made: BTreeMap<Variant, Vec<Print>>,
}

/// What is to be done.
pub(super) struct Course<'a> {
    /// The names of sets.
    pub(super) names: BTreeMap<String, String>,
    /// Elements to change where they are; nothing where sets are made under fresh names.
    pub(super) changes: Option<Vec<ElementChange>>,
    pub(super) goals: Vec<Goal<'a>>,
    /// Sets of ours that nothing uses then.
    pub(super) unused: BTreeSet<String>,
}

impl XtablesHost {
    /// Installs what `render` makes of `desired`.
    pub(in crate::backend) fn apply(
        &self,
        desired: &Desired,
        render: Render<'_>,
    ) -> Result<Applied, XtablesError> {
        let situation = self.situation(desired, render)?;
        let course = situation.course(self)?;
        let mut applied = summary::applied(desired, &situation, &course);
        if applied.how != How::Nothing {
            self.mark_unfinished(&situation, desired)?;
            self.run(&situation, &course).inspect_err(|error| {
                if !matches!(error, XtablesError::NotTakenBack { .. }) {
                    // The host is as it was, so what was known of it counts again. If that cannot
                    // be written, the next apply installs everything anew.
                    let _ = self.restore_record(situation.record.as_ref());
                }
            })?;
            let generation = applied.numbers.generation;
            if let Err(error) = self.keep(&situation, &course, desired, generation) {
                applied.left_undone.push(format!(
                    "what is installed could not be recorded, and the next apply installs all of \
                     it anew: {}",
                    with_sources(&error)
                ));
            }
        }
        if let Err(error) = self.clear(&situation, &course, &mut applied) {
            applied.left_undone.push(format!(
                "what was installed before could not be taken away, and enforces too: {}",
                with_sources(&error)
            ));
        }
        Ok(applied)
    }

    /// What [`XtablesHost::apply`] would do.
    pub(in crate::backend) fn preview(
        &self,
        desired: &Desired,
        render: Render<'_>,
    ) -> Result<Applied, XtablesError> {
        let situation = self.situation(desired, render)?;
        let course = situation.course(self)?;
        // The tools ask the kernel for the sets that rules name; new ones are not there yet.
        if course.names.values().all(|name| situation.listed.sets.contains_key(name)) {
            situation.xtables(self).test(&course.goals)?;
        }
        Ok(summary::applied(desired, &situation, &course))
    }

    fn situation(&self, desired: &Desired, render: Render<'_>) -> Result<Situation, XtablesError> {
        let variant = self.variant()?;
        let record = self.record()?;
        let plan = Plan::of(desired);
        let wanted = render(&plan)?;
        if !wanted.sets.is_empty() {
            self.tools.require("ipset")?;
        }
        let other_record = self.other_record().read::<Kept>()?;
        let made = Variant::ALL.map(|variant| {
            let records = [record.as_ref(), other_record.as_ref()];
            let made = records.into_iter().flat_map(|record| made(record, variant));
            (variant, made.cloned().collect())
        });
        let made = BTreeMap::from(made);
        let saved = self.xtables(variant, &made).look()?;
        let listed = Listed::ask(&self.tools)?;
        let other = variant.other();
        let other = if self.has(other) { Some(self.removable(other, &made)?) } else { None };
        let is_taken_over = other_record.is_some();
        Ok(Situation { variant, record, plan, wanted, saved, listed, other, is_taken_over, made })
    }

    /// Who talks about rules that stand for nothing in a document.
    fn xtables<'a>(
        &'a self,
        variant: Variant,
        made: &'a BTreeMap<Variant, Vec<Print>>,
    ) -> Xtables<'a> {
        const NO_RULES: &BTreeMap<u32, RuleDescription> = &BTreeMap::new();
        Xtables { tools: &self.tools, variant, rules: NO_RULES, made: &made[&variant] }
    }

    /// What a variant holds from which all of ours is to go. That it can is seen before anything
    /// is changed.
    fn removable(
        &self,
        variant: Variant,
        made: &BTreeMap<Variant, Vec<Print>>,
    ) -> Result<[Saved; 2], XtablesError> {
        let xtables = self.xtables(variant, made);
        let saved = xtables.look()?;
        xtables.refuse_foreign_jumps(&saved)?;
        Ok(saved)
    }

    fn run(&self, situation: &Situation, course: &Course<'_>) -> Result<(), XtablesError> {
        let (xtables, ipset) = (situation.xtables(self), situation.ipset(self));
        if let Some(changes) = &course.changes {
            return ipset.change(changes, &course.names);
        }
        let refused = |why| XtablesError::Refused { why: Box::new(why) };
        ipset.create(&situation.wanted.sets, &course.names, &situation.listed).map_err(refused)?;
        let tested = xtables.test(&course.goals).map_err(refused);
        tested.and_then(|()| xtables.install(&situation.saved, &course.goals)).inspect_err(|_| {
            let fresh = course.names.values();
            let fresh = fresh.filter(|name| !situation.listed.sets.contains_key(*name));
            // What cannot be taken away now is found by the next apply, or by `off`.
            let _ = ipset.destroy(&fresh.cloned().collect());
        })
    }

    /// Takes away what an earlier apply has left: rules of the other variant, sets without use,
    /// the other tool's record.
    fn clear(
        &self,
        situation: &Situation,
        course: &Course<'_>,
        applied: &mut Applied,
    ) -> Result<(), XtablesError> {
        let other = situation.variant.other();
        if situation.other.as_ref().is_some_and(|saved| !prints(saved).is_empty()) {
            let xtables = self.xtables(other, &situation.made);
            applied
                .steps
                .extend(xtables.remove()?.into_iter().map(|line| format!("{line} removed")));
        }
        if !course.unused.is_empty() {
            match situation.ipset(self).destroy(&course.unused) {
                Ok(()) => {}
                Err(error) => applied.warnings.push(format!(
                    "sets that no rule of ringfence uses any more are left: {error}"
                )),
            }
        }
        self.other_record().remove()?;
        Ok(())
    }

    fn keep(
        &self,
        situation: &Situation,
        course: &Course<'_>,
        desired: &Desired,
        generation: u32,
    ) -> Result<(), XtablesError> {
        let saved = self.look(situation.variant, situation.record.as_ref())?;
        let listed = Listed::ask(&self.tools)?;
        let kept_set = |(base, set): (&String, &Set)| {
            let name = course.names[base].clone();
            let print = listed.sets.get(&name).map_or(0, |set| set.print);
            (base.clone(), KeptSet { name, set: set.clone(), print })
        };
        let kept = Kept {
            variant: situation.variant,
            layout: self.layout.clone(),
            rules: situation.wanted.rules(),
            prints: prints(&saved),
            sets: situation.wanted.sets.iter().map(kept_set).collect(),
        };
        let record = Record::new(self.backend, generation, desired.mode, now(), kept);
        Ok(self.record_file().write(&record)?)
    }
}

impl Situation {
    fn xtables<'a>(&'a self, host: &'a XtablesHost) -> Xtables<'a> {
        Xtables { rules: &self.plan.rules, ..host.xtables(self.variant, &self.made) }
    }

    fn ipset<'a>(&'a self, host: &'a XtablesHost) -> Ipset<'a> {
        Ipset { tools: &host.tools, rules: &self.plan.rules }
    }

    pub(super) fn usable(&self) -> Option<&Kept> {
        usable(self.record.as_ref(), self.variant)
    }

    fn known(&self) -> &[Print] {
        self.usable().map_or(&[], |kept| &kept.prints)
    }

    fn course(&self, host: &XtablesHost) -> Result<Course<'_>, XtablesError> {
        if let Some(course) = self.course_in_place(host)? {
            return Ok(course);
        }
        let nothing = BTreeMap::new();
        let kept = self.usable().map_or(&nothing, |kept| &kept.sets);
        let names = names(&self.wanted.sets, kept, &self.listed);
        let goals = self.goals(host, &names)?;
        Ok(Course { unused: self.unused(&names), names, changes: None, goals })
    }

    /// The way by elements alone, if there is one and chains stay as they are.
    fn course_in_place(&self, host: &XtablesHost) -> Result<Option<Course<'_>>, XtablesError> {
        let Some(kept) = self.usable() else { return Ok(None) };
        let old = kept.sets.iter().map(|(base, kept)| (base.clone(), kept.set.clone())).collect();
        let Some(changes) = in_place(&old, &self.wanted.sets) else { return Ok(None) };
        if changes.is_empty() || !kept.sets.values().all(|set| is_as_left(set, &self.listed)) {
            return Ok(None);
        }
        let names =
            kept.sets.iter().map(|(base, kept)| (base.clone(), kept.name.clone())).collect();
        let goals = self.goals(host, &names)?;
        let unused = self.unused(&names);
        let changes = Some(changes);
        Ok(goals.is_empty().then_some(Course { names, changes, goals, unused }))
    }

    fn goals(
        &self,
        host: &XtablesHost,
        names: &BTreeMap<String, String>,
    ) -> Result<Vec<Goal<'_>>, XtablesError> {
        let rulesets = with_names(&self.wanted.rulesets, names);
        self.xtables(host).goals(&self.saved, &rulesets, self.known())
    }

    /// What is not as the last apply has left it, each with how it is.
    pub(super) fn astray(&self) -> Vec<String> {
        let Some(kept) = self.usable() else { return Vec::new() };
        let chains = compare(&kept.prints, &self.saved).into_iter();
        let chains = chains.filter(|chained| chained.state != ChainState::InPlace);
        let chain = |Chained { table, chain, state }| format!("`{table} {chain}` was {state}");
        let sets = kept.sets.values().filter(|set| !is_as_left(set, &self.listed));
        let set = |set: &KeptSet| match self.listed.sets.contains_key(&set.name) {
            true => format!("`ipset {}` was {}", set.name, ChainState::Changed),
            false => format!("`ipset {}` was {}", set.name, ChainState::Missing),
        };
        chains.map(chain).chain(sets.map(set)).collect()
    }

    /// Whether there is anything of ours.
    pub(super) fn has_marks(&self) -> bool {
        !prints(&self.saved).is_empty()
    }

    fn unused(&self, names: &BTreeMap<String, String>) -> BTreeSet<String> {
        let used: BTreeSet<&String> = names.values().collect();
        self.listed.ours().filter(|name| !used.contains(name)).cloned().collect()
    }
}

/// What is known of the installed rules, if it is to be relied on.
fn usable(record: Option<&Record<Kept>>, variant: Variant) -> Option<&Kept> {
    let record = record.filter(|record| !record.unfinished)?;
    Some(&record.ruleset).filter(|kept| kept.variant == variant)
}
