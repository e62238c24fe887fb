//! The nftables backend: our table in the kernel of this host.
//!
//! Goals: (a) a packet meets the old table or the new one; (b) what differs is touched and little
//! else; (c) a table that somebody else has made under our name stays as it is; (d) what nft
//! refuses leaves everything as it was.
//!
//! Design. nft looks at all steps of a change ([`super::changes`]) before it is given the first
//! (d, a). What was installed is recorded ([`crate::backend::record`]). Where the kernel still has
//! exactly that (the comments of all rules, with the hashes of the chains, and as many elements),
//! only what differs is written (b), else all of it, beside what is there. Our table carries a
//! mark (c).

use std::path::Path;

use super::changes::{Changes, There};
use super::observed::Observed;
use super::script::{MARK, TABLE};
use super::{NftablesError, Ruleset, ruleset};
use crate::backend::chains::{Plan, Script};
use crate::backend::record::{Record, RecordFile, now};
use crate::backend::tool::{ToolError, Tools};
use crate::backend::{Applied, Backend, Counters, Desired, How, Installed, Numbers, with_sources};

/// The tool.
const NFT: &str = "nft";

/// What the record calls this backend.
const NFTABLES: &str = "nftables";

/// The nftables backend.
#[derive(Clone, Debug)]
pub struct Nftables {
    tools: Tools,
    record: RecordFile,
}

/// What is there of our table.
enum Table {
    None,
    Ours(Observed),
    Foreign,
}

/// What has to be done, worked out and looked at by nft.
struct Work {
    plan: Plan,
    generation: u32,
    changes: Changes,
    how: How,
    warnings: Vec<String>,
    /// Whether the kernel does not ask the table that is there.
    dormant: bool,
}

impl Nftables {
    /// The backend that keeps its record in the folder `records`.
    #[must_use]
    pub fn new(records: &Path) -> Self {
        Self { tools: Tools::on_path(), record: RecordFile::new(records, NFTABLES) }
    }

    /// The same backend with other tools.
    #[must_use]
    pub fn with_tools(self, tools: Tools) -> Self {
        Self { tools, ..self }
    }

    /// What is there of our table.
    fn look(&self) -> Result<Table, NftablesError> {
        let tables = self.tools.ask(NFT, &["list", "tables", "inet"])?;
        if !tables.lines().any(|line| line == format!("table {TABLE}")) {
            return Ok(Table::None);
        }
        // The mark is a comment of the table, which nft says in its own language alone.
        let terse = self.tools.ask(NFT, &["-t", "list", "table", "inet", "ringfence"])?;
        let Some(dormant) = head(&terse) else { return Ok(Table::Foreign) };
        let told = self.tools.ask(NFT, &["-j", "list", "table", "inet", "ringfence"])?;
        let mut observed = Observed::read(&told)?;
        observed.dormant = dormant;
        Ok(Table::Ours(observed))
    }

    /// Works out what makes the host behave as `desired` says, and has nft look at it.
    fn work(&self, desired: &Desired) -> Result<Work, NftablesError> {
        let record: Option<Record<Ruleset>> = self.record.read()?;
        let plan = Plan::of(desired);
        let ruleset = ruleset(&plan)?;
        let table = self.look()?;
        let before = record.as_ref().map_or(0, |record| record.generation);
        let (changes, how, warnings) = way(&table, record.as_ref(), &ruleset)?;
        if how != How::Nothing {
            self.tools.feed(NFT, &["-c", "-f", "-"], &changes.whole(), &plan.rules)?;
        }
        let generation = if how == How::Nothing { before } else { before.wrapping_add(1).max(1) };
        let dormant = matches!(&table, Table::Ours(observed) if observed.dormant);
        Ok(Work { plan, generation, changes, how, warnings, dormant })
    }

    /// Gives nft the steps for good. The record says so first, so that whatever interrupts this
    /// leaves none that is taken for the kernel's state; and it says that they are done only when
    /// the kernel has what they make. What was left undone then is no reason to take it for refused.
    fn install(&self, work: &Work) -> Result<Option<String>, NftablesError> {
        let before: Option<Record<Ruleset>> = self.record.read()?;
        let (mode, ruleset) = (work.plan.mode, work.changes.ruleset.clone());
        let mut record = Record::new(NFTABLES, work.generation, mode, now(), ruleset);
        record.unfinished = true;
        self.record.write(&record)?;
        for (place, step) in work.changes.steps.iter().enumerate() {
            if let Err(error) = self.tools.feed(NFT, &["-f", "-"], step, &work.plan.rules) {
                // Only a line that is refused says that the kernel has taken none. Who did not
                // answer, or answered anything else, may have changed it all the same.
                let as_before = place == 0 && matches!(error, ToolError::Line { .. });
                match before {
                    Some(mut before) => {
                        before.unfinished |= !as_before;
                        self.record.write(&before)?;
                    }
                    None if as_before => self.record.remove()?,
                    None => {}
                }
                return Err(error.into());
            }
        }
        if work.dormant {
            // On its own: the kernel does not change hooks and wake their table at once.
            let mut script = Script::default();
            script.line(format!("add table {TABLE} {{ {MARK}; }}"));
            self.tools.feed(NFT, &["-f", "-"], &script, &work.plan.rules)?;
        }
        let odd = match self.look()? {
            Table::Ours(observed) => observed.odd(&record.ruleset),
            Table::None | Table::Foreign => Some("the table was missing".to_owned()),
        };
        if let Some(odd) = odd {
            return Err(NftablesError::NotInstalled { odd });
        }
        record.unfinished = false;
        let left = |error| {
            format!(
                "what is installed could not be recorded, and the next apply installs all of it \
                 anew: {}",
                with_sources(&error)
            )
        };
        Ok(self.record.write(&record).err().map(left))
    }
}

/// Whether a table of ours is dormant, by what nft lists of it without elements; nothing if it is
/// not ours. What is said of the table itself stands before what is in it, in no certain order.
fn head(terse: &str) -> Option<bool> {
    let lines = terse.lines().skip(1).map(str::trim);
    let head: Vec<&str> = lines.take_while(|line| !line.ends_with('{')).collect();
    let flags = head.iter().filter_map(|line| line.strip_prefix("flags "));
    let mut flags = flags.flat_map(|flags| flags.split([',', ' ']));
    head.contains(&MARK).then(|| flags.any(|flag| flag == "dormant"))
}

/// Why a record says nothing about the kernel.
const INTERRUPTED: &str = "an apply was interrupted";

/// What makes `ruleset` of what is there, and how.
fn way(
    table: &Table,
    record: Option<&Record<Ruleset>>,
    ruleset: &Ruleset,
) -> Result<(Changes, How, Vec<String>), NftablesError> {
    let whole = |there: &There, warnings: Vec<String>| {
        Ok((ruleset.instead_of(there), How::Switched, warnings))
    };
    let nothing = There::default();
    let observed = match (table, record) {
        (Table::Foreign, _) => return Err(NftablesError::Foreign),
        (Table::None, None) => return whole(&nothing, Vec::new()),
        (Table::None, Some(record)) => {
            let warning = match record.unfinished {
                true => format!("table `{TABLE}` is installed anew: {INTERRUPTED}"),
                false => format!("table `{TABLE}` was gone and is installed anew"),
            };
            return whole(&nothing, vec![warning]);
        }
        (Table::Ours(observed), _) => observed,
    };
    let replaced = |why: &str| {
        let warning = format!("table `{TABLE}` is replaced as a whole: {why}");
        whole(&observed.names(), vec![warning])
    };
    let Some(record) = record else {
        return replaced("there is no record of what it was made of");
    };
    if record.unfinished {
        return replaced(INTERRUPTED);
    }
    if let Some(odd) = observed.odd(&record.ruleset) {
        return replaced(&odd);
    }
    let changes = ruleset.changes(&record.ruleset);
    let how = match (changes.steps.is_empty(), changes.in_order) {
        (true, _) => How::Nothing,
        (false, true) => How::InPlace,
        (false, false) => How::Switched,
    };
    Ok((changes, how, Vec::new()))
}

impl Work {
    fn applied(self, desired: &Desired) -> Applied {
        let Changes { steps, ruleset, chains, entries, touched, .. } = self.changes;
        let number = steps.len();
        let step = |(place, step): (usize, Script)| {
            format!("nft, transaction {} of {number}: {} lines", place + 1, step.lines.len())
        };
        let mut told: Vec<String> = steps.into_iter().enumerate().map(step).collect();
        if chains > 0 {
            told.push(format!("nft: {chains} chains written or removed"));
        }
        Applied {
            numbers: Numbers::of(&desired.tables, self.generation),
            how: self.how,
            entries: ruleset.entries(),
            entries_touched: touched,
            policy: entries,
            hooks: Vec::new(),
            steps: told,
            warnings: self.warnings,
            left_undone: Vec::new(),
        }
    }
}

impl Backend for Nftables {
    type Error = NftablesError;

    fn read_back(&self) -> Result<Option<Installed>, NftablesError> {
        let record: Option<Record<Ruleset>> = self.record.read()?;
        if record.is_none() && self.tools.find(NFT).is_none() {
            return Ok(None);
        }
        let (observed, record) = match (self.look()?, record) {
            (Table::None | Table::Foreign, None) => return Ok(None),
            (Table::Ours(_), None) => return Err(NftablesError::Unrecorded),
            (Table::None | Table::Foreign, Some(record)) => (Observed::default(), record),
            (Table::Ours(observed), Some(record)) => (observed, record),
        };
        Ok(Some(Installed {
            generation: record.generation,
            installed_at: record.installed_at,
            mode: record.mode,
            variant: None,
            attached: Vec::new(),
            chains: observed.states(&record.ruleset),
            fill: observed.fill(),
        }))
    }

    /// The record's word, so that an apply can mend a table that has lost its record.
    fn generation(&self) -> Result<u32, NftablesError> {
        let record: Option<Record<Ruleset>> = self.record.read()?;
        Ok(record.map_or(0, |record| record.generation))
    }

    fn counters(&self) -> Result<Option<Counters>, NftablesError> {
        let is_recorded = self.record.read::<Ruleset>()?.is_some();
        if !is_recorded && self.tools.find(NFT).is_none() {
            return Ok(None);
        }
        Ok(match self.look()? {
            Table::Ours(observed) => Some(observed.counters()),
            // What has been installed and is gone counts nothing, which is not the same as none.
            Table::None | Table::Foreign => is_recorded.then(Counters::default),
        })
    }

    fn preview(
        &self,
        desired: &Desired,
        _known: Option<&Numbers>,
    ) -> Result<Applied, NftablesError> {
        Ok(self.work(desired)?.applied(desired))
    }

    fn apply(
        &mut self,
        desired: &Desired,
        _known: Option<&Numbers>,
    ) -> Result<Applied, NftablesError> {
        let work = self.work(desired)?;
        let left = if work.how == How::Nothing { None } else { self.install(&work)? };
        let left_undone = left.into_iter().collect();
        Ok(Applied { left_undone, ..work.applied(desired) })
    }

    fn remove(&mut self) -> Result<Option<Vec<String>>, NftablesError> {
        let is_recorded = self.record.read::<Ruleset>()?.is_some();
        if !is_recorded && self.tools.find(NFT).is_none() {
            return Ok(None);
        }
        let removed = match self.look()? {
            Table::None | Table::Foreign => None,
            Table::Ours(observed) => {
                let mut script = Script::default();
                script.line(format!("delete table {TABLE}"));
                self.tools.feed(NFT, &["-f", "-"], &script, &Default::default())?;
                let (chains, elements) = (observed.chains(), observed.elements());
                Some(vec![format!("table {TABLE}: {chains} chains, {elements} elements of sets")])
            }
        };
        self.record.remove()?;
        Ok(removed)
    }
}
