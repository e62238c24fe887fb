//! The class map: port → class, one array of all ports for each protocol.
//!
//! A new set of classes is a new inner map; putting it in place is one pointer, so every port
//! changes its class at once.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{Array, ArrayOfMaps, Map, MapData, MapError};
use ringfence_common::abi::policy::{CLASSED_PROTOCOLS, class_table};

use super::EbpfError;
use super::maps::Classes;

const NAME: &str = "CLASSES";

/// Protocol → first ports of its classes after class 0.
pub(super) type Boundaries = BTreeMap<u8, BTreeSet<u16>>;

/// The class map with its two slots.
pub(super) struct ClassMap {
    outer: ArrayOfMaps<MapData, Array<MapData, Classes>>,
}

impl ClassMap {
    pub(super) fn new(map: Map) -> Result<Self, EbpfError> {
        let outer = ArrayOfMaps::try_from(map).map_err(EbpfError::map(NAME))?;
        Ok(Self { outer })
    }

    /// Puts new classes into `slot`. The kernel returns when no packet uses the ones before.
    pub(super) fn fill(&mut self, slot: u32, boundaries: &Boundaries) -> Result<(), EbpfError> {
        let error = EbpfError::map(NAME);
        let count = u32::try_from(CLASSED_PROTOCOLS.len()).unwrap_or(u32::MAX);
        let mut inner = Array::<MapData, Classes>::create(count, 0).map_err(&error)?;
        let mut classes: Box<Classes> = Box::new([0; 65_536]);
        for protocol in CLASSED_PROTOCOLS {
            let (Some(table), Some(starts)) = (class_table(protocol), boundaries.get(&protocol))
            else {
                continue;
            };
            let mut class = 0;
            for (port, of_port) in (0..=u16::MAX).zip(classes.iter_mut()) {
                if starts.contains(&port) {
                    class = port;
                }
                *of_port = class;
            }
            inner.set(table, *classes, 0).map_err(&error)?;
        }
        self.outer.set(slot, &inner, 0).map_err(&error)
    }

    /// The classes in `slot`.
    pub(super) fn read(&self, slot: u32) -> Result<Boundaries, EbpfError> {
        let error = EbpfError::map(NAME);
        let inner = match self.outer.get(&slot, 0) {
            Ok(inner) => inner,
            Err(MapError::KeyNotFound) => return Ok(Boundaries::new()),
            Err(other) => return Err(error(other)),
        };
        let mut boundaries = Boundaries::new();
        for protocol in CLASSED_PROTOCOLS {
            let Some(table) = class_table(protocol) else { continue };
            let classes = Box::new(inner.get(&table, 0).map_err(&error)?);
            let starts: BTreeSet<u16> =
                classes.iter().copied().filter(|class| *class != 0).collect();
            if !starts.is_empty() {
                boundaries.insert(protocol, starts);
            }
        }
        Ok(boundaries)
    }
}
