//! The maps behind the traits of [`ringfence_common::decide`].

use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook, flags};
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, family};
use ringfence_common::abi::identity::{AddressBytes, AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{
    BLOCK_PORTS, BLOCKS, Endpoint, PolicyEntry, PolicyKey, class_table,
};
use ringfence_common::abi::table::{self, Layout, chunks};
use ringfence_common::decide::{State, Tables};
use ringfence_common::table::{address_v4, address_v6, halves, narrow};

use aya_ebpf::btf_maps::lpm_trie::Key;

use crate::maps;

/// `BPF_ANY`: add or replace.
const ANY: u64 = 0;

/// The tables of the generation that counts, chosen once per packet.
pub struct KernelTables {
    slot: u32,
    /// The selector's epoch.
    pub epoch: u32,
}

impl KernelTables {
    #[inline(always)]
    pub fn select() -> Self {
        // The selector always exists; zero is what it holds before the first apply.
        match maps::SELECTOR.get(0) {
            Some(selector) => Self { slot: selector.slot & 1, epoch: selector.epoch },
            None => Self { slot: 0, epoch: 0 },
        }
    }

    #[inline(always)]
    fn layout(&self) -> Option<&'static Layout> {
        maps::LAYOUT.get(self.slot)
    }
}

/// A function that finds a bucket of the table `$map` in the slot that counts.
macro_rules! buckets {
    ($map:ident, $tables:expr) => {{
        let first = $tables.slot * chunks::$map;
        move |chunk: u32, bucket: u32| maps::$map.get(first + chunk)?.get(bucket)
    }};
}

impl Tables for KernelTables {
    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        maps::CONFIG.get(self.slot)
    }

    #[inline(always)]
    fn attachment(&self, ifindex: u32, hook: Hook) -> Option<Attachment> {
        let key = table::attachment_key(&AttachmentKey { ifindex, hook: hook as u32 });
        let shape = &self.layout()?.attachments;
        let slot = narrow(shape, &key, &table::ATTACHMENT_KEY, buckets!(ATTACHMENTS, self));
        (slot[0] != 0).then_some(table::attachment(slot))
    }

    #[inline(always)]
    fn address(&self, config: &Config, of_family: u8, address: &AddressBytes) -> AddressEntry {
        let known = if of_family == family::V4 {
            self.address_v4(config, address)
        } else {
            self.address_v6(config, address)
        };
        known.unwrap_or(AddressEntry { identity: identity::WORLD, endpoint: endpoint::NONE })
    }

    #[inline(always)]
    fn endpoint(&self, number: u32) -> Option<Endpoint> {
        let (key, shape) = (table::endpoint_key(number), &self.layout()?.endpoints);
        let slot = narrow(shape, &key, &table::ENDPOINT_KEY, buckets!(ENDPOINTS, self));
        (slot[0] != 0).then_some(table::endpoint(slot))
    }

    #[inline(always)]
    fn class(&self, protocol: u8, port: u16) -> u16 {
        let Some(table) = class_table(protocol) else { return 0 };
        let Some(classes) = maps::CLASSES.get(self.slot) else { return 0 };
        let port = port as usize;
        let block = table * BLOCKS + (port / BLOCK_PORTS) as u32;
        classes.get(block).map_or(0, |ports| ports[port % BLOCK_PORTS])
    }

    #[inline(always)]
    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        let (key, shape) = (table::policy_key(key), &self.layout()?.policy);
        let slot = narrow(shape, &key, &table::POLICY_KEY, buckets!(POLICY, self));
        (slot[0] != 0).then_some(table::policy_entry(slot).unpack())
    }
}

impl KernelTables {
    #[inline(always)]
    fn address_v4(&self, config: &Config, address: &AddressBytes) -> Option<AddressEntry> {
        let [.., a, b, c, d] = *address;
        let number = u32::from_be_bytes([a, b, c, d]);
        let found = address_v4(self.layout()?, number, buckets!(ADDRESSES_V4, self));
        if found.is_some() || config.flags & flags::TRIE_V4 == 0 {
            return found;
        }
        maps::PREFIXES_V4.get(self.slot)?.get(&Key::new(32, [a, b, c, d])).map(outside)
    }

    #[inline(always)]
    fn address_v6(&self, config: &Config, address: &AddressBytes) -> Option<AddressEntry> {
        let halves = halves(address);
        let found = address_v6(self.layout()?, halves, buckets!(ADDRESSES_V6, self));
        if found.is_some() || config.flags & flags::TRIE_V6 == 0 {
            return found;
        }
        maps::PREFIXES_V6.get(self.slot)?.get(&Key::new(128, *address)).map(outside)
    }
}

/// An address that only a prefix knows.
#[inline(always)]
fn outside(identity: &u32) -> AddressEntry {
    AddressEntry { identity: *identity, endpoint: endpoint::NONE }
}

/// Flows and fragments.
pub struct KernelState;

impl State for KernelState {
    #[inline(always)]
    fn with_flow<R>(
        &mut self,
        key: &FlowKey,
        change: impl FnOnce(&mut FlowEntry) -> R,
    ) -> Option<R> {
        let entry = maps::FLOWS.get_ptr_mut(key)?;
        // SAFETY: the pointer stays valid for the program's run. Another CPU may write the same
        // entry: every field is an aligned integer, and `track` takes each value it can see.
        Some(change(unsafe { &mut *entry }))
    }

    #[inline(always)]
    fn put_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> bool {
        maps::FLOWS.insert(key, entry, ANY).is_ok()
    }

    #[inline(always)]
    fn remove_flow(&mut self, key: &FlowKey) {
        // It may have been evicted meanwhile: then there is nothing to remove.
        let _ = maps::FLOWS.remove(key);
    }

    #[inline(always)]
    fn with_fragments<R>(
        &mut self,
        key: &FragmentKey,
        change: impl FnOnce(&mut FragmentEntry) -> R,
    ) -> Option<R> {
        let entry = maps::FRAGMENTS.get_ptr_mut(key)?;
        // SAFETY: as in `with_flow`.
        Some(change(unsafe { &mut *entry }))
    }

    #[inline(always)]
    fn put_fragments(&mut self, key: &FragmentKey, entry: &FragmentEntry) -> bool {
        maps::FRAGMENTS.insert(key, entry, ANY).is_ok()
    }

    #[inline(always)]
    fn remove_fragments(&mut self, key: &FragmentKey) {
        // As in `remove_flow`.
        let _ = maps::FRAGMENTS.remove(key);
    }
}
