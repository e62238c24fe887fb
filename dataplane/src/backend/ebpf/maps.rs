//! Our maps, typed.

use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use ringfence_common::abi::ABI_VERSION;
use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Selector, flags};
use ringfence_common::abi::event::Counter;
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};
use ringfence_common::abi::identity::AddressEntry;
use ringfence_common::abi::limits;
use ringfence_common::abi::policy::{Endpoint, PolicyEntry, PolicyKey};

use super::slots::Slots;
use super::{EbpfError, Kernel, Pins};
use crate::backend::{Fill, Installed, Mode};

/// The names of all maps of the object.
pub(super) const MAP_NAMES: [&str; 17] = [
    "SELECTOR",
    "CONFIG",
    "ATTACHMENTS",
    "ENDPOINTS",
    "ADDRESSES_V4",
    "ADDRESSES_V6",
    "PREFIXES_V4",
    "PREFIXES_V6",
    "CLASSES",
    "POLICY",
    "WORK",
    "FLOWS",
    "FRAGMENTS",
    "REASON_COUNTERS",
    "RULE_COUNTERS",
    "EVENTS",
    "LOST_EVENTS",
];

/// Our maps, those of one installation.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Maps {
    pub(super) selector: Array<MapData, Selector>,
    pub(super) config: Array<MapData, Config>,
    pub(super) attachments: Slots<HashMap<MapData, AttachmentKey, Attachment>>,
    pub(super) endpoints: Slots<HashMap<MapData, u32, Endpoint>>,
    pub(super) addresses_v4: Slots<HashMap<MapData, [u8; 4], AddressEntry>>,
    pub(super) addresses_v6: Slots<HashMap<MapData, [u8; 16], AddressEntry>>,
    pub(super) prefixes_v4: Slots<LpmTrie<MapData, [u8; 4], u32>>,
    pub(super) prefixes_v6: Slots<LpmTrie<MapData, [u8; 16], u32>>,
    pub(super) classes: super::classes::ClassMap,
    pub(super) policy: Slots<HashMap<MapData, PolicyKey, PolicyEntry>>,
    pub(super) flows: HashMap<MapData, FlowKey, FlowEntry>,
    pub(super) fragments: HashMap<MapData, FragmentKey, FragmentEntry>,
    pub(super) reason_counters: PerCpuArray<MapData, Counter>,
    pub(super) rule_counters: PerCpuHashMap<MapData, u32, Counter>,
    pub(super) events: Option<RingBuf<MapData>>,
    pub(super) lost_events: PerCpuArray<MapData, u64>,
}

impl Maps {
    /// The pinned maps.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when one is missing or of another shape.
    pub fn from_pins(pins: &Pins) -> Result<Self, EbpfError> {
        let folder = pins.maps();
        Self::open(|name| {
            let path = folder.join(name);
            let data = MapData::from_pin(&path).map_err(EbpfError::map(name))?;
            Map::from_map_data(data).map_err(EbpfError::map(name))
        })
    }

    /// The maps of an unpinned object.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when one is missing or of another shape, or they have been taken already.
    pub fn from_kernel(kernel: &mut Kernel) -> Result<Self, EbpfError> {
        Self::open(|name| {
            let missing = || EbpfError::Object(format!("it has no map `{name}`"));
            kernel.take_map(name).ok_or_else(missing)
        })
    }

    fn open(
        mut map: impl FnMut(&'static str) -> Result<Map, EbpfError>,
    ) -> Result<Self, EbpfError> {
        macro_rules! simple {
            ($name:literal) => {
                map($name)?.try_into().map_err(EbpfError::map($name))?
            };
        }
        Ok(Self {
            selector: simple!("SELECTOR"),
            config: simple!("CONFIG"),
            attachments: Slots::new("ATTACHMENTS", map("ATTACHMENTS")?)?,
            endpoints: Slots::new("ENDPOINTS", map("ENDPOINTS")?)?,
            addresses_v4: Slots::new("ADDRESSES_V4", map("ADDRESSES_V4")?)?,
            addresses_v6: Slots::new("ADDRESSES_V6", map("ADDRESSES_V6")?)?,
            prefixes_v4: Slots::new("PREFIXES_V4", map("PREFIXES_V4")?)?,
            prefixes_v6: Slots::new("PREFIXES_V6", map("PREFIXES_V6")?)?,
            classes: super::classes::ClassMap::new(map("CLASSES")?)?,
            policy: Slots::new("POLICY", map("POLICY")?)?,
            flows: simple!("FLOWS"),
            fragments: simple!("FRAGMENTS"),
            reason_counters: simple!("REASON_COUNTERS"),
            rule_counters: simple!("RULE_COUNTERS"),
            events: Some(simple!("EVENTS")),
            lost_events: simple!("LOST_EVENTS"),
        })
    }

    /// Whether the maps have the layout of this program.
    pub(super) fn check_version(&self) -> Result<(), EbpfError> {
        let found = self.current()?.1.abi;
        if found == ABI_VERSION || found == 0 {
            return Ok(());
        }
        Err(EbpfError::OtherVersion { found, expected: ABI_VERSION })
    }

    /// The slot that counts and its configuration; generation 0 if nothing has been installed.
    pub(super) fn current(&self) -> Result<(u32, Config), EbpfError> {
        let selector = self.selector.get(&0, 0).map_err(EbpfError::map("SELECTOR"))?;
        let slot = selector.slot & 1;
        let config = self.config.get(&slot, 0).map_err(EbpfError::map("CONFIG"))?;
        Ok((slot, config))
    }

    /// The configuration that counts; generation 0 if nothing has been installed.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`].
    pub fn config(&self) -> Result<Config, EbpfError> {
        Ok(self.current()?.1)
    }

    /// What is installed, but for the hooks.
    pub(super) fn installed(&self) -> Result<Installed, EbpfError> {
        let (slot, config) = self.current()?;
        let is_audit = config.flags & flags::AUDIT != 0;
        Ok(Installed {
            generation: config.generation,
            installed_at: config.installed_at,
            mode: if is_audit { Mode::Audit } else { Mode::Enforce },
            variant: None,
            attached: Vec::new(),
            chains: Vec::new(),
            fill: self.fill(slot)?,
        })
    }

    fn fill(&self, slot: u32) -> Result<Vec<Fill>, EbpfError> {
        let of = |map: &str, entries: usize, capacity: u32| Fill {
            map: map.to_owned(),
            entries: entries as u64,
            capacity: Some(u64::from(capacity)),
        };
        let flows = self.flows.keys().count();
        let fragments = self.fragments.keys().count();
        Ok(vec![
            of("endpoints", self.endpoints.entries(slot)?.len(), limits::ENDPOINTS),
            of("addresses-v4", self.addresses_v4.entries(slot)?.len(), limits::ADDRESSES),
            of("addresses-v6", self.addresses_v6.entries(slot)?.len(), limits::ADDRESSES),
            of("prefixes-v4", self.prefixes_v4.entries(slot)?.len(), limits::PREFIXES),
            of("prefixes-v6", self.prefixes_v6.entries(slot)?.len(), limits::PREFIXES),
            of("policy", self.policy.entries(slot)?.len(), limits::POLICY_ENTRIES),
            of("flows", flows, limits::FLOWS),
            of("fragments", fragments, limits::FRAGMENTED_PACKETS),
        ])
    }
}
