//! Flows and fragments.

use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, flow_flags};
use ringfence_common::abi::limits;
use ringfence_common::decide::State;

use super::bounded::{Bounded, Worth};

/// What the filter remembers, with the kernel maps' limits.
pub struct Memory {
    pub flows: Bounded<FlowKey, FlowEntry>,
    pub fragments: Bounded<FragmentKey, FragmentEntry>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            flows: Bounded::new(limits::FLOWS as usize),
            fragments: Bounded::new(limits::FRAGMENTED_PACKETS as usize),
        }
    }
}

impl Worth for FlowEntry {
    fn worth(&self) -> (bool, u32) {
        (self.flags & flow_flags::CONFIRMED != 0, self.last_seen)
    }
}

impl Worth for FragmentEntry {
    fn worth(&self) -> (bool, u32) {
        (false, self.first_seen)
    }
}

impl State for Memory {
    fn with_flow<R>(
        &mut self,
        key: &FlowKey,
        change: impl FnOnce(&mut FlowEntry) -> R,
    ) -> Option<R> {
        self.flows.get_mut(key).map(change)
    }

    fn put_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> bool {
        self.flows.insert(*key, *entry);
        true
    }

    fn remove_flow(&mut self, key: &FlowKey) {
        self.flows.remove(key);
    }

    fn with_fragments<R>(
        &mut self,
        key: &FragmentKey,
        change: impl FnOnce(&mut FragmentEntry) -> R,
    ) -> Option<R> {
        self.fragments.get_mut(key).map(change)
    }

    fn put_fragments(&mut self, key: &FragmentKey, entry: &FragmentEntry) -> bool {
        self.fragments.insert(*key, *entry);
        true
    }

    fn remove_fragments(&mut self, key: &FragmentKey) {
        self.fragments.remove(key);
    }
}
