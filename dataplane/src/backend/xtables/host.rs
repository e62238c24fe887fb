//! A host's rules of ours: what is recorded of them, what is there, and taking them away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ringfence_common::abi::event::Counter;
use ringfence_common::abi::policy::Direction;
use serde::{Deserialize, Serialize};

use super::apply::Situation;
use super::install::Xtables;
use super::prints::{Print, compare, prints};
use super::saved::{Saved, SavedRule};
use super::sets::{IPSET, Ipset, KeptSets, Listed};
use super::{Variant, XtablesError};
use crate::backend::chains::About;
use crate::backend::ipset::ELEMENTS;
use crate::backend::iptables::{Family, Table};
use crate::backend::record::{Record, RecordFile};
use crate::backend::tool::Tools;
use crate::backend::{ChainState, Chained, Counters, Desired, Fill, Installed, ReasonCount};

/// The backends that install rules of iptables. They share the names of chains, so each of them
/// takes the place of the other.
const BACKENDS: [&str; 2] = ["iptables", "ipset"];

/// What is recorded of installed rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::backend) struct Kept {
    pub(super) variant: Variant,
    /// How the rules are arranged.
    pub(super) layout: String,
    /// How many rules there are in our chains.
    pub(super) rules: usize,
    pub(super) prints: Vec<Print>,
    pub(super) sets: KeptSets,
}

/// The host, as one backend sees it.
#[derive(Clone, Debug)]
pub(in crate::backend) struct XtablesHost {
    /// One of [`BACKENDS`].
    pub(super) backend: &'static str,
    /// How it arranges rules, in a word.
    pub(super) layout: String,
    /// The folder of records.
    records: PathBuf,
    /// The variant that shall be used; nothing for the one that the host uses.
    choice: Option<Variant>,
    pub(super) tools: Tools,
}

impl XtablesHost {
    pub(in crate::backend) fn new(
        backend: &'static str,
        layout: String,
        records: PathBuf,
        choice: Option<Variant>,
    ) -> Self {
        Self { backend, layout, records, choice, tools: Tools::on_path() }
    }

    /// The same, with other tools.
    pub(in crate::backend) fn with_tools(self, tools: Tools) -> Self {
        Self { tools, ..self }
    }

    pub(super) fn variant(&self) -> Result<Variant, XtablesError> {
        self.choice.map_or_else(|| Ok(Variant::of_host(&self.tools)?), Ok)
    }

    /// Whether a variant's tools are installed.
    pub(super) fn has(&self, variant: Variant) -> bool {
        let programs = Family::ALL.map(|family| [variant.save(family), variant.restore(family)]);
        programs.iter().flatten().all(|program| self.tools.find(program).is_some())
    }

    /// What a variant holds. Chains are ours by their rules, or by what is `recorded`.
    pub(super) fn look(
        &self,
        variant: Variant,
        recorded: Option<&Record<Kept>>,
    ) -> Result<[Saved; 2], XtablesError> {
        let made = made(recorded, variant);
        Xtables { tools: &self.tools, variant, rules: &BTreeMap::new(), made }.look()
    }

    pub(super) fn record_file(&self) -> RecordFile {
        RecordFile::new(&self.records, self.backend)
    }

    /// The record of the backend that this one takes the place of.
    pub(super) fn other_record(&self) -> RecordFile {
        let other = BACKENDS.into_iter().find(|backend| *backend != self.backend);
        RecordFile::new(&self.records, other.expect("there are two"))
    }

    pub(super) fn record(&self) -> Result<Option<Record<Kept>>, XtablesError> {
        Ok(self.record_file().read()?)
    }

    /// Says on disk that the kernel is about to change.
    pub(super) fn mark_unfinished(
        &self,
        situation: &Situation,
        desired: &Desired,
    ) -> Result<(), XtablesError> {
        let nothing = || {
            let kept = Kept {
                variant: situation.variant,
                layout: self.layout.clone(),
                rules: 0,
                prints: Vec::new(),
                sets: KeptSets::new(),
            };
            Record::new(self.backend, 0, desired.mode, 0, kept)
        };
        let mut record = situation.record.clone().unwrap_or_else(nothing);
        record.unfinished = true;
        Ok(self.record_file().write(&record)?)
    }

    /// Puts back what was recorded.
    pub(super) fn restore_record(&self, record: Option<&Record<Kept>>) -> Result<(), XtablesError> {
        let file = self.record_file();
        Ok(record.map_or_else(|| file.remove(), |record| file.write(record))?)
    }

    /// The generation that is recorded; 0 where none is.
    pub(in crate::backend) fn generation(&self) -> Result<u32, XtablesError> {
        Ok(self.record()?.map_or(0, |record| record.generation))
    }

    /// What is installed, and whether it is as it was left.
    pub(in crate::backend) fn read_back(&self) -> Result<Option<Installed>, XtablesError> {
        let Some(record) = self.record()?.filter(|record| record.generation != 0) else {
            return self.refuse_unrecorded().map(|()| None);
        };
        let kept = &record.ruleset;
        let saved = self.look(kept.variant, Some(&record))?;
        let listed = Listed::ask(&self.tools)?;
        let mut chains = compare(&kept.prints, &saved);
        for set in kept.sets.values() {
            let state = match listed.sets.get(&set.name) {
                None => ChainState::Missing,
                Some(there) if there.print == set.print => continue,
                Some(_) => ChainState::Changed,
            };
            let (table, chain) = ("ipset".to_owned(), set.name.clone());
            chains.insert(0, Chained { table, chain, state });
        }
        let fill = kept.sets.values().map(|set| Fill {
            map: set.name.clone(),
            entries: listed.sets.get(&set.name).map_or(0, |set| set.elements as u64),
            capacity: Some(ELEMENTS as u64),
        });
        Ok(Some(Installed {
            generation: record.generation,
            installed_at: record.installed_at,
            mode: record.mode,
            variant: Some(format!("{}, {}", kept.variant, kept.layout)),
            attached: Vec::new(),
            chains,
            fill: fill.collect(),
        }))
    }

    /// An error where rules of ours are installed that no record describes.
    fn refuse_unrecorded(&self) -> Result<(), XtablesError> {
        if self.other_record().read::<Kept>()?.is_some() {
            return Ok(());
        }
        let mut chains = 0;
        for variant in Variant::ALL.into_iter().filter(|variant| self.has(*variant)) {
            chains += prints(&self.look(variant, None)?).len();
        }
        match chains {
            0 => Ok(()),
            _ => Err(XtablesError::Unrecorded {
                chains,
                record: self.record_file().path().to_owned(),
            }),
        }
    }

    /// What packets have been counted under; nothing where nothing is installed.
    pub(in crate::backend) fn counters(&self) -> Result<Option<Counters>, XtablesError> {
        let Some(record) = self.record()?.filter(|record| record.generation != 0) else {
            return Ok(None);
        };
        let saved = self.look(record.ruleset.variant, Some(&record))?;
        let mut rules: BTreeMap<u32, Counter> = BTreeMap::new();
        let mut reasons = BTreeMap::new();
        for (chain, rule) in saved.iter().flat_map(chain_rules) {
            match rule.about() {
                Some(About::Rule { number, .. }) => add(rules.entry(number).or_default(), rule),
                Some(About::Reason(reason)) => {
                    // Reasons in the order of their numbers, as counters of programs have them.
                    let key = (reason as u8, direction(chain).map(|direction| direction as u8));
                    let (_, count) = reasons.entry(key).or_insert_with(|| {
                        let count = Counter::default();
                        ((reason, direction(chain)), count)
                    });
                    add(count, rule);
                }
                _ => {}
            }
        }
        let met = reasons.into_values().filter(|(_, count)| count.packets > 0);
        let reasons =
            met.map(|((reason, direction), count)| ReasonCount { reason, direction, count });
        rules.retain(|_, count| count.packets > 0);
        Ok(Some(Counters { reasons: reasons.collect(), rules, lost_events: None }))
    }

    /// Takes away everything of ours from both variants, and all our sets; nothing where there
    /// was nothing.
    pub(in crate::backend) fn remove(&self) -> Result<Option<Vec<String>>, XtablesError> {
        let mut removed = Vec::new();
        let rules = BTreeMap::new();
        let mut records = Vec::new();
        for file in [self.record_file(), self.other_record()] {
            records.extend(file.read::<Kept>()?);
        }
        for record in &records {
            self.require_tools_of(record)?;
        }
        for variant in Variant::ALL.into_iter().filter(|variant| self.has(*variant)) {
            let made = records.iter().flat_map(|record| made(Some(record), variant));
            let made: Vec<Print> = made.cloned().collect();
            let xtables = Xtables { tools: &self.tools, variant, rules: &rules, made: &made };
            removed.extend(xtables.remove()?);
        }
        let sets: BTreeSet<String> = Listed::ask(&self.tools)?.ours().cloned().collect();
        if !sets.is_empty() {
            Ipset { tools: &self.tools, rules: &rules }.destroy(&sets)?;
            removed.push(format!("ipset: {} sets", sets.len()));
        }
        self.refuse_remains(&records)?;
        self.record_file().remove()?;
        self.other_record().remove()?;
        Ok((!records.is_empty() || !removed.is_empty()).then_some(removed))
    }
}

impl XtablesHost {
    /// What is recorded has to be looked for, so its tools have to be there.
    fn require_tools_of(&self, record: &Record<Kept>) -> Result<(), XtablesError> {
        let variant = record.ruleset.variant;
        for family in Family::ALL {
            self.tools.require(&variant.save(family))?;
            self.tools.require(&variant.restore(family))?;
        }
        let may_have_sets = record.unfinished && record.tool == "ipset";
        if may_have_sets || !record.ruleset.sets.is_empty() {
            self.tools.require(IPSET)?;
        }
        Ok(())
    }

    /// An error where something of ours can still be seen after all was taken away.
    fn refuse_remains(&self, records: &[Record<Kept>]) -> Result<(), XtablesError> {
        let mut remains = Vec::new();
        for variant in Variant::ALL.into_iter().filter(|variant| self.has(*variant)) {
            for record in records.iter().map(Some).chain([None]) {
                let chains = prints(&self.look(variant, record)?);
                remains.extend(chains.iter().map(|print| format!("{variant} {print}")));
            }
        }
        let listed = Listed::ask(&self.tools)?;
        remains.extend(listed.ours().map(|name| format!("ipset {name}")));
        remains.dedup();
        match remains.is_empty() {
            true => Ok(()),
            false => Err(XtablesError::Remains { what: remains.join("`, `") }),
        }
    }
}

/// What is known to have been made in `variant`, finished or not.
pub(super) fn made(recorded: Option<&Record<Kept>>, variant: Variant) -> &[Print] {
    let kept = recorded.map(|record| &record.ruleset).filter(|kept| kept.variant == variant);
    kept.map_or(&[], |kept| &kept.prints)
}

/// The rules in our chains that decide or lead on, each with its chain. One that only reports is
/// followed by one that decides, which counts the same packets.
fn chain_rules(saved: &Saved) -> impl Iterator<Item = (&str, &SavedRule)> {
    let tables = Table::ALL.into_iter().map(|table| saved.table(table));
    let chains = tables.flat_map(|table| table.ours());
    let rules = chains.flat_map(|(chain, rules)| rules.iter().map(|rule| (chain.as_str(), rule)));
    rules.filter(|(_, rule)| rule.target.as_deref() != Some("NFLOG"))
}

/// The direction that a chain is about, by its name.
fn direction(chain: &str) -> Option<Direction> {
    let begins = |names: [&str; 2]| names.iter().any(|name| chain.starts_with(name));
    match () {
        () if begins(["RF-IN-", "RF-TO-"]) => Some(Direction::Ingress),
        () if begins(["RF-OUT-", "RF-FROM-"]) => Some(Direction::Egress),
        () => None,
    }
}

fn add(count: &mut Counter, rule: &SavedRule) {
    count.packets += rule.count.packets;
    count.bytes += rule.count.bytes;
}
