//! Everything between policy and tables, and who depends on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;
use ringfence_common::abi::limits;

use super::counts::Counts;
use super::ledger::Ledger;
use super::ports::Ports;
use super::prefixes::{BlockId, Blocks, Set};
use super::selections::{SelectionId, Selections};
use super::slots::Slots;
use super::sources::{Sources, Touched};
use super::{PeerId, PolicyId, RuleId, SubjectId, WorkloadId};
use crate::compile::identities::{self, NamedPort};
use crate::compile::numbers::{Numbers, Things};
use crate::compile::precedence::Rule;
use crate::compile::{CompileError, IdentityDescription, number};
use crate::model::{Action, Direction, PolicyName, Protocol, RuleName, Tier, WorkloadName};

/// The change cannot be followed: a number moves from one thing to another, or the tables become
/// larger than the maps. All has to be compiled anew.
#[derive(Debug)]
pub(super) struct Anew;

/// A policy.
#[derive(Debug)]
pub(super) struct PolicyState {
    pub(super) name: PolicyName,
    pub(super) tier: Tier,
    pub(super) priority: u32,
    pub(super) isolates: [bool; 2],
    pub(super) selection: SelectionId,
    /// By direction, in order.
    pub(super) rules: [Vec<RuleId>; 2],
    /// By direction, those about everyone.
    pub(super) everyone: [BTreeSet<RuleId>; 2],
    /// By direction and [`Action`], how many rules there are.
    pub(super) said: [[usize; 4]; 2],
    /// By direction, whether the rules do not all say the same.
    pub(super) several: [bool; 2],
}

impl PolicyState {
    /// Where it stands among the policies.
    pub(super) fn order(&self) -> (Tier, u32, &PolicyName) {
        (self.tier, self.priority, &self.name)
    }

    /// Whether the rules of a direction do not all say the same.
    pub(super) fn says_several(&self, direction: Direction) -> bool {
        let said = &self.said[direction as usize];
        let deciding = [Action::Allow, Action::Deny, Action::Pass];
        deciding.into_iter().filter(|action| said[*action as usize] > 0).count() > 1
    }
}

/// A rule.
#[derive(Debug)]
pub(super) struct RuleState {
    pub(super) compiled: Rule,
    pub(super) direction: Direction,
    pub(super) position: usize,
    pub(super) origin: Option<String>,
    /// What its peers are made of; neither where it is about everyone.
    pub(super) selections: BTreeSet<SelectionId>,
    pub(super) blocks: BTreeSet<BlockId>,
    pub(super) about_everyone: bool,
    /// Its named ports.
    pub(super) named: Vec<(Protocol, String)>,
}

/// A workload.
#[derive(Debug)]
pub(super) struct WorkloadState {
    pub(super) name: WorkloadName,
    pub(super) subject: SubjectId,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) interface: Option<String>,
    pub(super) host: bool,
}

/// What policy can tell apart of a workload.
#[derive(Debug)]
pub(super) struct SubjectState {
    pub(super) description: IdentityDescription,
    pub(super) ports: BTreeSet<NamedPort>,
    /// The identity of its addresses in no block.
    pub(super) base: PeerId,
    pub(super) workloads: BTreeSet<WorkloadId>,
    /// The identities of its addresses.
    pub(super) peers: BTreeSet<PeerId>,
    pub(super) selections: BTreeSet<SelectionId>,
    /// The policies that select it, in order.
    pub(super) selecting: Vec<PolicyId>,
    /// Whether the rest of the state knows of it.
    pub(super) known: bool,
}

/// What policy can tell apart of an address.
#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) subject: Option<SubjectId>,
    pub(super) set: Set,
    pub(super) description: IdentityDescription,
    pub(super) number: u32,
    /// The addresses and prefixes that mean it.
    pub(super) uses: usize,
    /// The rules that name it.
    pub(super) rules: BTreeSet<RuleId>,
    /// Whether it has a number.
    pub(super) numbered: bool,
    /// Whether rules know of it.
    pub(super) meant: bool,
}

/// What a change leaves to be done.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Policies that are new or may have changed what their rules say.
    pub(super) new_policies: BTreeSet<PolicyId>,
    pub(super) policies: BTreeSet<PolicyId>,
    /// Rules without a number.
    pub(super) new_rules: BTreeSet<RuleId>,
    /// Rules whose peers are to be found.
    pub(super) rules: BTreeSet<RuleId>,
    pub(super) workloads: BTreeSet<WorkloadId>,
    pub(super) subjects: BTreeSet<SubjectId>,
    pub(super) peers: BTreeSet<PeerId>,
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) prefixes: BTreeSet<IpNet>,
    pub(super) sides: BTreeMap<(SubjectId, Direction), Touch>,
    /// What has been drawn.
    pub(super) drawn: Vec<(SubjectId, Direction, Touch)>,
}

/// How much of a side is to be drawn again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    All,
    /// The entries for the peers of these numbers.
    Peers(BTreeSet<u32>),
}

/// What is known about a side that has entries.
#[derive(Clone, Debug, Default)]
pub(super) struct SideState {
    /// How many entries of each form there are, by bit of `forms`.
    pub(super) forms: [usize; 8],
    pub(super) entries: usize,
    pub(super) denials: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) policies: Slots<PolicyState>,
    pub(super) policy_ids: HashMap<PolicyName, PolicyId>,
    pub(super) rules: Slots<RuleState>,
    pub(super) rule_numbers: Numbers,
    /// Egress rules about everyone with a port of this name.
    pub(super) everyone_named: BTreeSet<RuleId>,
    pub(super) selections: Selections,
    pub(super) blocks: Blocks,
    pub(super) prefixes: BTreeMap<IpNet, Option<PeerId>>,
    pub(super) ports: Ports,
    pub(super) namespace_keys: Counts<String>,
    pub(super) keys: Counts<String>,
    pub(super) port_names: Counts<(Protocol, String)>,

    pub(super) workloads: Slots<WorkloadState>,
    pub(super) workload_ids: BTreeMap<WorkloadName, WorkloadId>,
    pub(super) endpoint_numbers: Numbers,
    pub(super) addresses: BTreeMap<IpAddr, (WorkloadId, PeerId)>,
    pub(super) subjects: Slots<SubjectState>,
    pub(super) subject_ids: HashMap<(IdentityDescription, BTreeSet<NamedPort>), SubjectId>,
    pub(super) peers: Slots<PeerState>,
    pub(super) peer_ids: HashMap<(Option<SubjectId>, Set), PeerId>,
    pub(super) identity_numbers: Numbers,

    pub(super) sides: HashMap<(SubjectId, Direction), SideState>,
    /// Entries there are, those beyond the limit among them.
    pub(super) entries: usize,
    pub(super) ledger: Ledger,
    pub(super) work: Work,
}

impl State {
    /// What `sources` compile to.
    ///
    /// # Errors
    ///
    /// [`CompileError::DoesNotFit`].
    pub(super) fn of(sources: &Sources) -> Result<Self, CompileError> {
        let mut state = Self::default();
        // With nothing there before, no number moves; and what is too large is told below.
        let followed = state.follow(sources, &sources.everything());
        let exceeded = state.ledger.tables.size_with(state.entries).exceeded();
        if followed.is_err() || !exceeded.is_empty() {
            return Err(CompileError::DoesNotFit(exceeded));
        }
        Ok(state)
    }

    /// Follows a change.
    ///
    /// # Errors
    ///
    /// [`Anew`] if it cannot; the state is of no use then, but for its ledger.
    pub(super) fn follow(&mut self, sources: &Sources, touched: &Touched) -> Result<(), Anew> {
        self.follow_policies(sources, touched);
        self.number_rules()?;
        self.follow_blocks();
        self.follow_workloads(sources, touched)?;
        self.follow_subjects();
        self.follow_peers()?;
        self.write_people();
        self.attach_policies();
        self.resolve_rules();
        self.follow_classes();
        self.draw_sides()?;
        self.policies.reuse();
        self.rules.reuse();
        self.selections.all.reuse();
        self.workloads.reuse();
        self.subjects.reuse();
        self.peers.reuse();
        self.check_size()
    }

    /// Whether all is new.
    pub(super) fn is_new(&self) -> bool {
        self.ledger.before.is_none()
    }

    fn check_size(&self) -> Result<(), Anew> {
        let tables = &self.ledger.tables;
        // Both families together; only near the limits are they counted.
        let is_small = tables.addresses.len() <= limits::ADDRESSES as usize
            && tables.prefixes.len() <= limits::PREFIXES as usize
            && tables.endpoints.len() <= limits::ENDPOINTS as usize
            && self.entries <= limits::POLICY_ENTRIES as usize;
        if self.is_new() || is_small || tables.size_with(self.entries).exceeded().is_empty() {
            return Ok(());
        }
        Err(Anew)
    }

    /// Says that a side is to be drawn again.
    pub(super) fn touch(&mut self, subject: SubjectId, direction: Direction) {
        self.work.sides.insert((subject, direction), Touch::All);
    }

    /// Says that all sides that a policy is about are to be drawn again.
    pub(super) fn touch_policy(&mut self, policy: PolicyId, direction: Direction) {
        let selection = &self.selections.all[self.policies[policy].selection];
        for subject in &selection.subjects {
            self.work.sides.insert((*subject, direction), Touch::All);
        }
    }

    /// Says that what a rule decides is to be drawn again, for all peers that it is about.
    pub(super) fn touch_rule(&mut self, id: RuleId) {
        let rule = &self.rules[id];
        if rule.about_everyone {
            return self.touch_policy(rule.compiled.policy, rule.direction);
        }
        let peers = rule.compiled.peers.iter().flatten();
        let number = |peer: &PeerId| self.peers[*peer].number;
        let selection = &self.selections.all[self.policies[rule.compiled.policy].selection];
        for subject in &selection.subjects {
            touch(&mut self.work, (*subject, rule.direction), peers.clone().map(number));
        }
    }

    /// Says that what a rule decides for one peer is to be drawn again.
    pub(super) fn touch_peer(&mut self, id: RuleId, number: u32) {
        let rule = &self.rules[id];
        let selection = &self.selections.all[self.policies[rule.compiled.policy].selection];
        for subject in &selection.subjects {
            touch(&mut self.work, (*subject, rule.direction), [number]);
        }
    }
}

fn touch(work: &mut Work, side: (SubjectId, Direction), numbers: impl IntoIterator<Item = u32>) {
    let touched = work.sides.entry(side).or_insert_with(|| Touch::Peers(BTreeSet::new()));
    if let Touch::Peers(touched) = touched {
        touched.extend(numbers);
    }
}

/// Rules with their policies, as things with numbers.
pub(super) struct RuleThings<'a>(
    pub(super) &'a Slots<PolicyState>,
    pub(super) &'a Slots<RuleState>,
);

impl RuleThings<'_> {
    /// What a rule is called.
    pub(super) fn name(&self, rule: RuleId) -> RuleName {
        let rule = &self.1[rule];
        let policy = self.0[rule.compiled.policy].name.clone();
        RuleName { policy, direction: rule.direction, index: rule.position }
    }
}

impl Things for RuleThings<'_> {
    fn candidate(&self, thing: RuleId, salt: u32) -> u32 {
        let name = self.name(thing).to_string();
        number::candidate("rule", salt, |hash| hash.text(&name))
    }

    fn is_before(&self, one: RuleId, other: RuleId) -> bool {
        self.name(one) < self.name(other)
    }
}

/// Identities as things with numbers.
impl Things for Slots<PeerState> {
    fn candidate(&self, thing: PeerId, salt: u32) -> u32 {
        number::candidate("identity", salt, |hash| {
            identities::feed(&self[thing].description, hash);
        })
    }

    fn is_before(&self, one: PeerId, other: PeerId) -> bool {
        self[one].description < self[other].description
    }
}

/// Endpoints as things with numbers.
impl Things for Slots<WorkloadState> {
    fn candidate(&self, thing: WorkloadId, salt: u32) -> u32 {
        let name = &self[thing].name;
        number::candidate("endpoint", salt, |hash| {
            hash.text(&name.namespace);
            hash.text(&name.name);
        })
    }

    fn is_before(&self, one: WorkloadId, other: WorkloadId) -> bool {
        self[one].name < self[other].name
    }
}
