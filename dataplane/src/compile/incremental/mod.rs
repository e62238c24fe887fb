//! Tables that follow policy, change by change.
//!
//! # Goals
//!
//! 1. After every change the tables are those of a fresh [`compile`](super::compile), and the
//!    difference is that between two of these, hazards and steps included.
//! 2. A change costs what it touches, however much else there is.
//! 3. A change that is refused leaves everything as it was.
//!
//! # Design
//!
//! The stages are those of a fresh compile, and each keeps its result together with who needs it
//! ([`state`]): a rule knows its selectors and blocks, these know their rules; an identity knows the
//! rules that name it, a subject the policies that select it. A change goes through the stages once
//! (2), in this order, and each stage looks only at what the ones before it left to be done:
//!
//! 1. [`sources`]: policy and inventory; what cannot be is refused here (3).
//! 2. [`rules`]: what rules and selectors need, by count: blocks, ports, label keys, port names.
//! 3. [`prefixes`]: who is in which block, within the blocks that came or went.
//! 4. [`people`]: workloads to subjects, addresses and prefixes to identities.
//! 5. [`rules`] again: whom new rules are about.
//! 6. [`ports`]: classes that begin or end within a range of some rule touch that rule.
//! 7. [`sides`]: a rule that came, went or changed touches, of all sides that its policy is about,
//!    the entries for its peers. Those are drawn again, by the code that draws a whole side.
//! 8. [`outcome`]: the tables note what was there before ([`ledger`]), and so their difference is
//!    made from what was written.
//!
//! What goes and comes back within one change has not changed: nothing that has lost its last user
//! is forgotten before the stage that needs it has seen all of the change.
//!
//! # What costs more
//!
//! - A label key or the name of a port that policy reads for the first time or no more: every
//!   workload is described again; what is not told apart otherwise by it stays.
//! - A rule about everyone, a policy that changes more than its rules, isolation, and rules that no
//!   longer say all the same: all entries of the sides that the policy is about.
//! - A boundary of ports: the boundaries of its protocol are copied, since the difference holds
//!   them; there are 65,535 at most.
//! - A rule that comes or goes before others of its policy: rules are called by their position, so
//!   those after it are renamed, and their entries change.
//!
//! Compiled anew is what cannot be followed: a number that moves from one thing to another because
//! the hashes of two things meet ([`super::numbers`]), and tables that may be too large for the
//! maps. A refused change that was too large costs two fresh compiles.

mod counts;
mod ledger;
mod outcome;
mod people;
mod ports;
mod prefixes;
mod rules;
mod selections;
mod sides;
mod slots;
mod sources;
mod state;

use std::fmt;

pub use self::sources::Change;
use self::sources::{Sources, Touched};
use self::state::State;
use super::{CompileError, Tables, TablesDiff};
use crate::model::{Direction, InventoryError, PolicyName, PolicySet};

/// Position of a policy among those that there are.
type PolicyId = usize;
/// Position of a rule.
type RuleId = usize;
/// Position of a workload.
type WorkloadId = usize;
/// Position of a subject.
type SubjectId = usize;
/// Position of an identity.
type PeerId = super::identities::PeerIndex;

/// Why a change was refused. Nothing has been changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no policy of that name.
    #[error("there is no policy `{0}`")]
    NoSuchPolicy(PolicyName),
    /// The policy has fewer rules.
    #[error("policy `{policy}` has {rules} rules for {direction:?}, fewer than asked for")]
    NoSuchRules {
        /// The policy.
        policy: PolicyName,
        /// Of which direction.
        direction: Direction,
        /// How many there are.
        rules: usize,
    },
    /// The workload cannot join the inventory.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// Policy and inventory cannot become tables.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// What a change has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What [`Tables::diff`] says about the tables before and after.
    pub diff: TablesDiff,
    /// The steps where the difference itself is not safe.
    detour: Option<Vec<TablesDiff>>,
}

impl Update {
    /// What [`Tables::steps_to`] says: the differences that lead to the new tables, each
    /// [`TablesDiff::safe_in_place`]; `None` if a new generation has to take over.
    #[must_use]
    pub fn steps(&self) -> Option<&[TablesDiff]> {
        if self.diff.safe_in_place() {
            return Some(std::slice::from_ref(&self.diff));
        }
        self.detour.as_deref()
    }
}

/// Tables that follow policy and inventory, change by change. See the module's text for what a
/// change costs.
pub struct Compiler {
    sources: Sources,
    state: State,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policies, tables) = (self.sources.policies.len(), self.tables());
        f.debug_struct("Compiler")
            .field("policies", &policies)
            .field("endpoints", &tables.endpoints.len())
            .field("entries", &tables.policy.len())
            .finish_non_exhaustive()
    }
}

impl Compiler {
    /// Compiles `set`.
    ///
    /// # Errors
    ///
    /// As [`compile`](super::compile).
    pub fn new(set: PolicySet) -> Result<Self, CompileError> {
        let sources = Sources::of(set);
        sources.one_host()?;
        let mut state = State::of(&sources)?;
        state.start();
        Ok(Self { sources, state })
    }

    /// The tables of the policy set as it is now.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.state.ledger.tables
    }

    /// The policy set as it is now.
    #[must_use]
    pub fn policy_set(&self) -> PolicySet {
        PolicySet {
            policies: self.sources.policies.values().cloned().collect(),
            inventory: self.sources.inventory.clone(),
        }
    }

    /// Applies `changes` one after another, as one change of the tables: all of them or none.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; policy, inventory and tables are as before then.
    pub fn change(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Update, ChangeError> {
        let (mut touched, mut undo) = (Touched::default(), Vec::new());
        let applied = changes.into_iter().try_for_each(|change| {
            undo.extend(self.sources.apply(change, &mut touched)?);
            Ok(())
        });
        let applied = applied.and_then(|()| self.sources.one_host().map_err(ChangeError::from));
        if let Err(error) = applied {
            self.sources.revert(undo);
            return Err(error);
        }
        if self.state.follow(&self.sources, &touched).is_ok() {
            return Ok(self.state.outcome());
        }
        self.compile_anew(undo)
    }

    /// Compiles everything, after a change that could not be followed; `undo` takes it back.
    fn compile_anew(&mut self, undo: Vec<Change>) -> Result<Update, ChangeError> {
        let before = std::mem::take(&mut self.state).ledger.take_back();
        let (state, update) = match State::of(&self.sources) {
            Ok(state) => {
                let after = &state.ledger.tables;
                let diff = before.diff(after);
                let detour = if diff.safe_in_place() { None } else { before.steps_to(after) };
                (state, Ok(Update { diff, detour }))
            }
            Err(error) => {
                self.sources.revert(undo);
                let state = State::of(&self.sources).expect("it fitted before the change");
                (state, Err(error.into()))
            }
        };
        self.state = state;
        self.state.start();
        update
    }
}
