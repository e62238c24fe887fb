//! Our maps, typed.

use std::path::PathBuf;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use ringfence_common::abi::ABI_VERSION;
use ringfence_common::abi::config::{Config, Selector, flags};
use ringfence_common::abi::event::Counter;
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey};
use ringfence_common::abi::limits;
use ringfence_common::abi::table::Layout;

use super::classes::ClassMap;
use super::expedite::{self, Expedited};
use super::generations::{Generations, UNFINISHED};
use super::rules::Rules;
use super::steps::Steps;
use super::table::Table;
use super::table::formats::{AddressesV4, AddressesV6, Attachments, Endpoints, Policy};
use super::tries::Tries;
use super::{EbpfError, Kernel, Pins};
use crate::backend::{Fill, Installed, Mode};

/// The names of the maps that outlive a process: all of the object but the desk.
pub(super) const MAP_NAMES: [&str; 22] = [
    "SELECTOR",
    "GENERATIONS",
    "ATTACHMENTS",
    "ENDPOINTS",
    "ADDRESSES_V4",
    "ADDRESSES_V6",
    "PREFIXES_V4",
    "PREFIXES_V6",
    "CLASSES",
    "POLICY",
    "RULES",
    "FLOWS",
    "HALF_OPEN",
    "CACHE",
    "WINDOWS",
    "PRESENCE",
    "CLOCK",
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
    pub(super) generations: Generations,
    pub(super) attachments: Table<Attachments, 4>,
    pub(super) endpoints: Table<Endpoints, 2>,
    pub(super) addresses_v4: Table<AddressesV4, 2>,
    pub(super) addresses_v6: Table<AddressesV6, 4>,
    pub(super) prefixes_v4: Tries<[u8; 4]>,
    pub(super) prefixes_v6: Tries<[u8; 16]>,
    pub(super) classes: ClassMap,
    pub(super) policy: Table<Policy, 2>,
    pub(super) rules: Rules,
    pub(super) flows: HashMap<MapData, FlowKey, FlowEntry>,
    pub(super) half_open: HashMap<MapData, FlowKey, FlowEntry>,
    pub(super) fragments: HashMap<MapData, FragmentKey, FragmentEntry>,
    pub(super) reason_counters: PerCpuArray<MapData, Counter>,
    pub(super) events: Option<RingBuf<MapData>>,
    pub(super) lost_events: PerCpuArray<MapData, u64>,
    pub(super) steps: Steps,
    /// See [`Expedited`].
    mark: PathBuf,
}

impl Maps {
    /// The pinned maps.
    ///
    /// # Errors
    ///
    /// [`EbpfError`] when one is missing or of another shape.
    pub fn from_pins(pins: &Pins) -> Result<Self, EbpfError> {
        let folder = pins.maps();
        Self::open(expedite::mark(pins), |name| {
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
        Self::open(expedite::mark_without_pins(), |name| {
            let missing = || EbpfError::Object(format!("it has no map `{name}`"));
            kernel.take_map(name).ok_or_else(missing)
        })
    }

    fn open(
        mark: PathBuf,
        mut map: impl FnMut(&'static str) -> Result<Map, EbpfError>,
    ) -> Result<Self, EbpfError> {
        macro_rules! simple {
            ($name:literal) => {
                map($name)?.try_into().map_err(EbpfError::map($name))?
            };
        }
        let steps = Steps::unlimited();
        Ok(Self {
            selector: simple!("SELECTOR"),
            generations: Generations::new(map("GENERATIONS")?)?,
            attachments: Table::new(map("ATTACHMENTS")?, steps.clone()),
            endpoints: Table::new(map("ENDPOINTS")?, steps.clone()),
            addresses_v4: Table::new(map("ADDRESSES_V4")?, steps.clone()),
            addresses_v6: Table::new(map("ADDRESSES_V6")?, steps.clone()),
            prefixes_v4: Tries::new("PREFIXES_V4", map("PREFIXES_V4")?)?,
            prefixes_v6: Tries::new("PREFIXES_V6", map("PREFIXES_V6")?)?,
            classes: ClassMap::new(map("CLASSES")?)?,
            policy: Table::new(map("POLICY")?, steps.clone()),
            rules: Rules::new(&map("RULES")?, map("RULE_COUNTERS")?)?,
            flows: simple!("FLOWS"),
            half_open: simple!("HALF_OPEN"),
            fragments: simple!("FRAGMENTS"),
            reason_counters: simple!("REASON_COUNTERS"),
            events: Some(simple!("EVENTS")),
            lost_events: simple!("LOST_EVENTS"),
            steps,
            mark,
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
        let slot = self.selector()?.slot & 1;
        Ok((slot, self.generations.config(slot)))
    }

    /// The selector.
    pub(super) fn selector(&self) -> Result<Selector, EbpfError> {
        self.selector.get(&0, 0).map_err(EbpfError::map("SELECTOR"))
    }

    /// Makes `selector` count.
    pub(super) fn select(&mut self, selector: Selector) -> Result<(), EbpfError> {
        self.steps.take()?;
        self.selector.set(0, selector, 0).map_err(EbpfError::map("SELECTOR"))
    }

    /// Makes `config` the configuration in `slot`. If it takes a mark of unfinished changes away, that
    /// happens after everything else, the number of the generation included.
    pub(super) fn put_config(&mut self, slot: u32, config: Config) -> Result<(), EbpfError> {
        self.steps.take()?;
        let mark = self.generations.config(slot).flags & UNFINISHED;
        let marked = Config { flags: config.flags | mark, ..config };
        self.generations.put_config(slot, marked);
        if marked != config {
            self.steps.take()?;
            self.generations.put_config(slot, config);
        }
        Ok(())
    }

    /// Makes `layout` that of `slot`, at which no packet looks.
    pub(super) fn put_layout(&mut self, slot: u32, layout: Layout) -> Result<(), EbpfError> {
        self.steps.take()?;
        self.generations.put_layout(slot, layout);
        Ok(())
    }

    /// Makes waits for packets short for as long as the value lives, if that is permitted.
    pub(super) fn short_waits(&self) -> Option<Expedited> {
        Expedited::begin(self.mark.clone())
    }

    /// Lets a change take so many steps (stores into tables and calls of the kernel that change
    /// something) and then fail, as if the process had ended there. For tests.
    pub fn stop_after(&mut self, steps: u64) {
        self.steps.limit(steps);
    }

    /// How many steps [`Maps::stop_after`] has left.
    #[must_use]
    pub fn steps_left(&self) -> u64 {
        self.steps.left()
    }

    /// The layout of `slot`.
    pub(super) fn layout_of(&self, slot: u32) -> Layout {
        self.generations.get(slot).layout
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
        let tables = self.read(slot)?;
        let v4 = tables.addresses.keys().filter(|address| address.is_ipv4()).count();
        let nets_v4 = tables.prefixes.keys().filter(|prefix| prefix.addr().is_ipv4()).count();
        Ok(vec![
            of("endpoints", tables.endpoints.len(), limits::ENDPOINTS),
            of("addresses-v4", v4, limits::ADDRESSES),
            of("addresses-v6", tables.addresses.len() - v4, limits::ADDRESSES),
            of("prefixes-v4", nets_v4, limits::PREFIXES),
            of("prefixes-v6", tables.prefixes.len() - nets_v4, limits::PREFIXES),
            of("policy", tables.policy.len(), limits::POLICY_ENTRIES),
            of("flows", self.flows.keys().count(), limits::FLOWS),
            of("half-open-flows", self.half_open.keys().count(), limits::HALF_OPEN_FLOWS),
            of("fragments", self.fragments.keys().count(), limits::FRAGMENTED_PACKETS),
        ])
    }
}
