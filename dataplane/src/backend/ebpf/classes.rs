//! The class map: port → class, in blocks of ports.
//!
//! A new set of classes is a new inner map; putting it in place is one pointer, so every port
//! changes its class at once.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{Array, ArrayOfMaps, Map, MapData};
use ringfence_common::abi::policy::{
    BLOCK_PORTS, BLOCKS, CLASSED_PROTOCOLS, ClassBlock, class_table,
};

use super::EbpfError;
use super::steps::Steps;
use super::table::is_missing;

const NAME: &str = "CLASSES";

/// Protocol → first ports of its classes after class 0.
pub(super) type Boundaries = BTreeMap<u8, BTreeSet<u16>>;

/// The class map with its two slots.
pub(super) struct ClassMap {
    outer: ArrayOfMaps<MapData, Array<MapData, ClassBlock>>,
}

impl ClassMap {
    pub(super) fn new(map: Map) -> Result<Self, EbpfError> {
        let outer = ArrayOfMaps::try_from(map).map_err(EbpfError::map(NAME))?;
        Ok(Self { outer })
    }

    /// Puts new classes into `slot`. The kernel returns when no packet uses the ones before.
    pub(super) fn fill(
        &mut self,
        slot: u32,
        boundaries: &Boundaries,
        steps: &Steps,
    ) -> Result<(), EbpfError> {
        let error = EbpfError::map(NAME);
        let blocks = BLOCKS * u32::try_from(CLASSED_PROTOCOLS.len()).unwrap_or(u32::MAX);
        let mut inner = Array::<MapData, ClassBlock>::create(blocks, 0).map_err(&error)?;
        for (protocol, starts) in boundaries {
            let Some(table) = class_table(*protocol) else { continue };
            let classes = classes(starts);
            for (block, ports) in (table * BLOCKS..).zip(classes.as_chunks::<BLOCK_PORTS>().0) {
                inner.set(block, *ports, 0).map_err(&error)?;
            }
        }
        steps.take()?;
        self.outer.set(slot, &inner, 0).map_err(&error)
    }

    /// The classes in `slot`.
    pub(super) fn read(&self, slot: u32) -> Result<Boundaries, EbpfError> {
        let error = EbpfError::map(NAME);
        let inner = match self.outer.get(&slot, 0) {
            Ok(inner) => inner,
            Err(missing) if is_missing(&missing) => return Ok(Boundaries::new()),
            Err(other) => return Err(error(other)),
        };
        let mut boundaries = Boundaries::new();
        for protocol in CLASSED_PROTOCOLS {
            let Some(table) = class_table(protocol) else { continue };
            let mut starts = BTreeSet::new();
            let mut class = 0;
            for block in table * BLOCKS..(table + 1) * BLOCKS {
                for port in inner.get(&block, 0).map_err(&error)? {
                    if port != class {
                        class = port;
                        starts.insert(class);
                    }
                }
            }
            if !starts.is_empty() {
                boundaries.insert(protocol, starts);
            }
        }
        Ok(boundaries)
    }
}

/// The class of every port: the first port of the interval it lies in.
fn classes(starts: &BTreeSet<u16>) -> Vec<u16> {
    let mut class = 0;
    let class_of = |port| {
        if starts.contains(&port) {
            class = port;
        }
        class
    };
    (0..=u16::MAX).map(class_of).collect()
}
