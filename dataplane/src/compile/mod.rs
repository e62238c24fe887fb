//! Policy and inventory to [`Tables`].
//!
//! ```text
//!  Policy, Inventory ──► reads      label keys and port names that some policy reads
//!                        blocks     address blocks → prefixes that tell addresses apart
//!                        services   ports → classes that tell ports apart
//!                          │
//!                          ▼
//!                        identities workloads, addresses → subjects, identities (number)
//!                        select     selectors → subjects, peers → identities
//!                        precedence rules in the order in which they are asked
//!                          │
//!                          ▼
//!                        resolve    rules × (subject, direction, peer) → what is decided
//!                        entries    what is decided → as few entries as the lookup order needs
//!                          │
//!                          ▼
//!                        Tables     size, diff (in place?), restriction to a host, look-up
//! ```
//!
//! [`compile`] goes this way from nothing. A [`Compiler`] has gone it and follows changes
//! (`incremental`): through the same stages, as far as each change reaches, to the same tables.
//!
//! A pure function: no clock, no randomness, no hash order in the output. The same policy and
//! inventory, in whatever order, give equal tables.

mod blocks;
mod describe;
mod diff;
mod entries;
mod identities;
mod in_place;
mod incremental;
mod look_up;
mod number;
mod numbers;
mod precedence;
mod reads;
mod resolve;
mod select;
mod services;
mod size;
mod tables;
#[cfg(test)]
mod testing;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::limits;
use ringfence_common::abi::policy::{PolicyEntry, PolicyKey};

pub use self::describe::{EntryDescription, ServiceDescription};
pub use self::diff::{MapDiff, TablesDiff};
pub use self::in_place::Hazard;
pub use self::incremental::{Change, ChangeError, Compiler, Update};
pub use self::look_up::{Answers, Sides};
pub use self::precedence::rule_numbers;
pub use self::size::{Map, MapSize, Size, shape_for};
pub use self::tables::{
    EndpointDescription, IdentityDescription, RuleDescription, Subject, Tables,
};

use self::blocks::Blocks;
use self::entries::{Entry, Side, form};
use self::identities::Identities;
use self::precedence::Rules;
use self::reads::Reads;
use self::select::Index;
use self::services::Classes;
use crate::model::{Direction, Policy, PolicySet, Tier, WorkloadName};

/// Why policy and inventory cannot become tables. Nothing has been changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Two workloads say `host: true`; there is one host.
    #[error("workloads `{first}` and `{second}` both claim to be the host")]
    TwoHosts {
        /// The first by name.
        first: WorkloadName,
        /// The second by name.
        second: WorkloadName,
    },
    /// The tables are larger than the maps (semantics 17).
    #[error("the policy does not fit: {}", size::list(.0))]
    DoesNotFit(
        /// The maps that are too small, at least one.
        Vec<MapSize>,
    ),
}

/// Compiles `set` for all its workloads, wherever they run; [`Tables::for_host`] takes from the
/// result what concerns one host.
///
/// # Errors
///
/// [`CompileError::TwoHosts`], or [`CompileError::DoesNotFit`] with all maps that the tables
/// exceed.
pub fn compile(set: &PolicySet) -> Result<Tables, CompileError> {
    let mut policies: Vec<&Policy> = set.policies.iter().collect();
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    let reads = Reads::of(&policies);
    let blocks = Blocks::of(&policies);
    let identities = Identities::of(&set.inventory, &reads, &blocks)?;
    let classes = Classes::of(&policies, &named_numbers(&identities));
    let mut index = Index::new(&identities, &blocks);
    let rules = Rules::of(&policies, &identities, &mut index);
    let selecting = selecting(&policies, &identities, &mut index);
    drop(index);

    let mut drawn = Drawn {
        subjects: identities.subjects.iter().map(|s| (s.number, Subject::default())).collect(),
        ..Drawn::default()
    };
    for (subject, selecting) in selecting.iter().enumerate() {
        for direction in [Direction::Ingress, Direction::Egress] {
            let side = side(&policies, &rules, &identities, subject, selecting, direction);
            let entries = side.entries(&classes, |peer| identities.peers[peer].number, None);
            if !side.is_open(&entries) {
                drawn.add(identities.subjects[subject].number, &side, &entries);
            }
        }
    }
    let Drawn { policy, count, subjects } = drawn;
    let tables = Tables {
        classes: classes.boundaries(),
        subjects,
        policy,
        rules: rules.described,
        identities: identities.described,
        addresses: identities.addresses,
        prefixes: identities.prefixes,
        endpoints: identities.endpoints,
    };
    let exceeded = tables.size_with(count).exceeded();
    if exceeded.is_empty() { Ok(tables) } else { Err(CompileError::DoesNotFit(exceeded)) }
}

/// The entries of all sides: at most as many as fit, but all are counted.
#[derive(Default)]
struct Drawn {
    policy: BTreeMap<PolicyKey, PolicyEntry>,
    /// How many there are, those that are left out among them.
    count: usize,
    /// Subject number → its forms.
    subjects: BTreeMap<u32, Subject>,
}

impl Drawn {
    fn add(&mut self, subject: u32, side: &Side<'_>, entries: &[Entry]) {
        let used = entries.iter().fold(0, |used, (peer, service, _)| used | form(*peer, *service));
        let forms = self.subjects.entry(subject).or_default();
        forms.set(side.direction, used, side.is_isolated());
        self.count += entries.len();
        for (peer, service, entry) in entries {
            if self.policy.len() < limits::POLICY_ENTRIES as usize {
                let key = PolicyKey { subject, peer: *peer, service: *service };
                self.policy.insert(key, *entry);
            }
        }
    }
}

/// The numbers that the named ports of policy stand for.
fn named_numbers(identities: &Identities) -> BTreeSet<(crate::model::Protocol, u16)> {
    let ports = identities.subjects.iter().flat_map(|subject| &subject.ports);
    ports.map(|port| (port.protocol, port.number)).collect()
}

/// By subject, the positions of the policies that select it.
fn selecting<'a>(
    policies: &[&'a Policy],
    identities: &Identities,
    index: &mut Index<'a>,
) -> Vec<Vec<usize>> {
    let mut selecting = vec![Vec::new(); identities.subjects.len()];
    for (position, policy) in policies.iter().enumerate() {
        for subject in index.subjects(&policy.subject_namespaces, &policy.subjects) {
            selecting[*subject].push(position);
        }
    }
    selecting
}

/// One direction of a subject that the policies at `selecting` select.
fn side<'a>(
    policies: &[&Policy],
    rules: &'a Rules,
    identities: &'a Identities,
    subject: usize,
    selecting: &[usize],
    direction: Direction,
) -> Side<'a> {
    let mut isolated = [false; Tier::ALL.len()];
    let mut positions: Vec<usize> = Vec::new();
    for position in selecting {
        let policy = policies[*position];
        isolated[policy.tier as usize] |= policy.isolates(direction);
        positions.extend(&rules.of_policy[direction as usize][*position]);
    }
    positions.sort_unstable();
    let rules = positions.into_iter().map(|position| &rules.list[position]).collect();
    Side { direction, ports: &identities.subjects[subject].ports, rules, isolated }
}
