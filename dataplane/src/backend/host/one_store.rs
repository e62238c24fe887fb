//! Changes that one store makes visible.
//!
//! # Goals
//!
//! 1. A packet meets the old tables or the new ones, and never a mixture (safety P1).
//! 2. The process may end after any store: what packets meet then is exactly the old or exactly the
//!    new (P2).
//! 3. Changing one rule costs a few entries, not a copy of everything.
//! 4. Whatever the argument below does not cover goes through a generation of its own.
//!
//! # Argument
//!
//! Of the entries that change, those that no packet can meet in the old tables ([`Reach`]) are
//! changed before, and those that no packet can meet in the new tables after. If one entry is left,
//! and it changes by one aligned store, that store is the moment at which old becomes new: before
//! it a packet meets what it met in the old tables, after it what it meets in the new ones (1, 2).
//! What the process leaves when it ends on the way is met by nobody, and goes with the next change.
//!
//! What is changed before does not change what can be met: addresses, prefixes, ports and hooks are
//! not among it (hooks that are new aside, which nobody has attached yet), and endpoints only where
//! nothing leads to them. What is changed after may still be looked for by packets that have read
//! the visible entry before it changed. So those are waited for first; until then it stays.
//!
//! A packet that is under way at that moment reads the visible entry at most once, or it does not
//! matter:
//!
//! - *An address or a prefix.* The source's meaning is looked up once, the destination's once, and
//!   no address has both roles in a packet that policy is asked about. Only addresses that no
//!   endpoint has are known by prefixes, and of a packet's two ends one is an endpoint.
//! - *Forms or subject of an endpoint* that shares its interface, or is the host. Each side reads its endpoint once and asks with the copy; the
//!   two sides are different endpoints.
//! - *A policy entry.* Two sides with the same subject may both read it, the first before and the
//!   second after. A packet passes if each side it asks lets it through, and each answer depends
//!   on this one entry being the old or the new, so the mixture lies between old and new: where
//!   both agree, it agrees with them.
//!
//! # Not done
//!
//! - Ports that change their class: both sides look the class up, so that the egress of the old and
//!   the ingress of the new classes could make a verdict that is neither's.
//! - An endpoint that moves to another interface: a packet asks for it several times.
//! - Prefixes that lie in a trie.
//! - Hooks that check something else. The one endpoint behind an interface and its address stand at
//!   the hooks as well ([`Station`]), the host and its address at those of uplinks, so a change of
//!   these is more than one store.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::config::{AttachmentKey, flags};
use ringfence_common::abi::identity::AddressEntry;
use ringfence_common::abi::policy::{Endpoint, PolicyEntry, PolicyKey};
use ringfence_common::abi::table::Station;

use super::HostTables;
use super::difference::{Change, HostDiff};
use super::reach::Reach;

/// A change of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// A hook that nobody has attached.
    Attachment(AttachmentKey, Option<Station>),
    /// An endpoint.
    Endpoint(u32, Option<Endpoint>),
    /// A single address.
    Address(IpAddr, Option<AddressEntry>),
    /// A prefix.
    Prefix(IpNet, Option<u32>),
    /// A policy entry.
    Policy(PolicyKey, Option<PolicyEntry>),
}

impl Store {
    /// Makes the change in `tables`.
    pub fn apply_to(&self, tables: &mut HostTables) {
        fn apply<Key: Ord, Value>(map: &mut BTreeMap<Key, Value>, key: Key, new: Option<Value>) {
            match new {
                Some(value) => _ = map.insert(key, value),
                None => _ = map.remove(&key),
            }
        }
        match *self {
            Self::Attachment(key, new) => {
                apply(&mut tables.attachments, key, new.map(|station| station.attachment));
            }
            Self::Endpoint(number, new) => apply(&mut tables.endpoints, number, new),
            Self::Address(address, new) => apply(&mut tables.addresses, address, new),
            Self::Prefix(prefix, new) => apply(&mut tables.prefixes, prefix, new),
            Self::Policy(key, new) => apply(&mut tables.policy, key, new),
        }
    }
}

/// A change that one store makes visible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneStore {
    /// What no packet can meet yet, in any order.
    pub before: Vec<Store>,
    /// What makes the difference; nothing where there is none to be seen.
    pub visible: Option<Store>,
    /// What no packet can meet any more once those under way are through, in any order.
    pub after: Vec<Store>,
}

impl OneStore {
    /// How many entries change.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.before.len() + usize::from(self.visible.is_some()) + self.after.len()
    }

    fn add(&mut self, store: Store, met: Met) -> bool {
        match met {
            Met { before: false, .. } => self.before.push(store),
            Met { after: false, .. } => self.after.push(store),
            _ => return self.visible.replace(store).is_none(),
        }
        true
    }
}

/// Whether packets can meet an entry before and after the change.
#[derive(Clone, Copy, Debug)]
struct Met {
    before: bool,
    after: bool,
}

/// How `diff` can be made visible by one store; nothing where it cannot. `reach` is what packets
/// can meet before, and afterwards what they can meet then, whatever the answer is. `config_flags`
/// are those of the configuration that stays.
pub fn plan(reach: &mut Reach, diff: &HostDiff, config_flags: u32) -> Option<OneStore> {
    let policy_before: Vec<bool> = diff.policy.keys().map(|key| reach.policy(key)).collect();
    let ends_before: Vec<bool> = diff.endpoints.keys().map(|it| reach.endpoint(*it)).collect();
    reach.follow(diff);
    if !diff.classes.is_empty() {
        return None;
    }
    let mut plan = OneStore::default();
    let mut fits = true;
    for (key, change) in &diff.attachments {
        let Change { old: None, new: Some(new) } = change else { return None };
        plan.before.push(Store::Attachment(*key, Some(*new)));
    }
    for ((number, change), before) in diff.endpoints.iter().zip(ends_before) {
        let met = Met { before, after: reach.endpoint(*number) };
        fits &= !(met.before && met.after) || is_one_word(change);
        fits &= plan.add(Store::Endpoint(*number, change.new), met);
    }
    let always = Met { before: true, after: true };
    for (address, change) in &diff.addresses {
        fits &= plan.add(Store::Address(*address, change.new), always);
    }
    for (prefix, change) in &diff.prefixes {
        fits &= config_flags & trie_of(prefix) == 0
            && plan.add(Store::Prefix(*prefix, change.new), always);
    }
    for ((key, change), before) in diff.policy.iter().zip(policy_before) {
        let met = Met { before, after: reach.policy(key) };
        fits &= plan.add(Store::Policy(*key, change.new), met);
        if !fits {
            return None;
        }
    }
    fits.then_some(plan)
}

/// The flag that says that such prefixes lie in a trie.
#[must_use]
pub const fn trie_of(prefix: &IpNet) -> u32 {
    match prefix {
        IpNet::V4(_) => flags::TRIE_V4,
        IpNet::V6(_) => flags::TRIE_V6,
    }
}

/// Whether an endpoint changes by one store: its forms lie in one word, its subject in another.
fn is_one_word(change: &Change<Endpoint>) -> bool {
    let (Some(old), Some(new)) = (change.old, change.new) else { return true };
    let forms = |it: &Endpoint| (it.ingress_forms, it.egress_forms);
    old.ifindex == new.ifindex && (old.subject == new.subject || forms(&old) == forms(&new))
}
