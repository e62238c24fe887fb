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

/// Tables that follow policy and inventory, change by change.
///
/// A change costs what it touches: the entries for the peers of the rules that change, of all
/// subjects that their policy is about. What touches more is a rule about everyone, a policy that
/// changes more than its rules, and a label key or port name that policy reads for the first time
/// or no more: then every workload is described again. Everything is compiled anew only when a
/// number moves because two hashes meet, or the tables may be too large.
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use hashbrown::HashMap;

    use super::*;
    use crate::compile::compile;
    use crate::compile::number::candidate;
    use crate::compile::testing::policy_with_peers;
    use crate::model::{
        IpBlock, Labels, Operator, Peer, Policy, Requirement, Selector, Workload, WorkloadName,
    };

    fn workload(name: &str) -> Workload {
        Workload {
            name: WorkloadName::new("shop", name),
            labels: Labels::new(),
            addresses: Vec::new(),
            ports: Vec::new(),
            interface: None,
            host: false,
        }
    }

    /// Applies a change, which ends as a fresh compile does.
    fn follow(compiler: &mut Compiler, change: Change) -> TablesDiff {
        let before = compiler.tables().clone();
        let update = compiler.change([change]).unwrap();
        let after = compile(&compiler.policy_set()).unwrap();
        assert!(*compiler.tables() == after, "other tables than those of a fresh compile");
        assert_eq!(update.diff, before.diff(&after));
        assert_eq!(update.steps(), before.steps_to(&after).as_deref());
        update.diff
    }

    /// Two endpoints that want one number, in their order.
    fn rivals() -> [String; 2] {
        let mut wanted: HashMap<u32, String> = HashMap::new();
        for number in 0..1_000_000 {
            let name = format!("w{number:07}");
            let first = candidate("endpoint", 0, |hash| {
                hash.text("shop");
                hash.text(&name);
            });
            if let Some(before) = wanted.insert(first, name.clone()) {
                return [before, name];
            }
        }
        panic!("a million names have a million numbers");
    }

    #[test]
    fn a_number_that_moves_to_another_thing_is_followed() {
        let [first, second] = rivals();
        let mut compiler = Compiler::new(PolicySet::default()).unwrap();
        follow(&mut compiler, Change::PutWorkload(workload(&second)));
        let number = *compiler.tables().endpoints.keys().next().unwrap();
        let diff = follow(&mut compiler, Change::PutWorkload(workload(&first)));
        assert_eq!(diff.endpoints.changed[&number].1.name, format!("shop/{first}"));
        assert_eq!(diff.endpoints.added.len(), 1, "the second has another number now\n{diff}");
        follow(&mut compiler, Change::RemoveWorkload(WorkloadName::new("shop", first)));
        assert_eq!(compiler.tables().endpoints[&number].name, format!("shop/{second}"));
    }

    /// A policy for everybody of the shop and 1,100 addresses that no two are a block of.
    fn many_peers() -> Policy {
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + 2 * number));
        let block = |number| IpBlock::new(address(number).into(), Vec::new()).unwrap();
        policy_with_peers((0..1_100).map(|number| Peer::Block(block(number))).collect())
    }

    #[test]
    fn what_does_not_fit_is_refused_as_by_a_fresh_compile_and_changes_nothing() {
        let mut set = PolicySet::default();
        // With a label that a policy reads, each is a subject of its own.
        for number in 0..1_000 {
            let mut one = workload(&format!("w{number}"));
            one.labels.insert("name".to_owned(), format!("w{number}"));
            set.inventory.add_workload(one).unwrap();
        }
        let mut reader = many_peers();
        reader.name.name = "reader".to_owned();
        reader.subjects = Selector::new([Requirement {
            key: "name".to_owned(),
            operator: Operator::In(["w0".to_owned()].into()),
        }]);
        set.policies = vec![reader];
        let mut compiler = Compiler::new(set.clone()).unwrap();
        let mut with = set.clone();
        with.policies.push(many_peers());
        let expected = compile(&with).unwrap_err();
        assert!(matches!(expected, CompileError::DoesNotFit(_)), "{expected}");
        let refused = compiler.change([Change::PutPolicy(many_peers())]).unwrap_err();
        assert_eq!(refused, ChangeError::Compile(expected));
        assert!(compiler.policy_set() == set, "policy and inventory are other ones");
        assert!(*compiler.tables() == compile(&set).unwrap(), "the tables are other ones");
        let mut another = workload("w1");
        another.addresses = vec![IpAddr::V4(Ipv4Addr::new(10, 200, 0, 1))];
        follow(&mut compiler, Change::PutWorkload(another));
    }
}
