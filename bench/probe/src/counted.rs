//! Figures that are the same however often and wherever on a machine they are taken.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::PROTOCOL;
use ringfence_bench::goals::{Exact, Machine, WaySize, exact_at};
use ringfence_bench::kernel::{Keys, Marked, MeasureError, Seat, Station, returns};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};

/// All that can be counted of the programs in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Where it was counted.
    pub machine: Machine,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// What is counted.
    pub kind: Kind,
    /// Of what.
    pub of: String,
    /// How many.
    pub value: u64,
    /// What it is the sum of, where that is known.
    pub parts: BTreeMap<String, u64>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Calls of the kernel on a packet's way.
    HelperCalls,
    /// Translated instructions on a packet's way.
    PathInstructions,
    /// Translated instructions of a program.
    TranslatedInstructions,
    /// Machine code of a program.
    JitedBytes,
    /// Instructions that the verifier has looked at.
    VerifiedInstructions,
    /// Memory of all maps.
    MapBytes,
}

/// Addresses and policy entries at which the memory of the maps is told.
const ENTRIES: [usize; 2] = [1, 10_000];

/// Counts.
///
/// # Errors
///
/// [`MeasureError::Missing`] where programs cannot be loaded; [`MeasureError`] when the kernel
/// refuses.
pub fn counted() -> Result<Counted, MeasureError> {
    let machine = Machine::this();
    let exact = exact_at(&ENTRIES)?;
    let mut figures = programs(&exact);
    for way in exact.ways.iter().chain(&first_of_connections()?) {
        let figure = |kind, value: usize| figure(kind, &way.packet, value as u64);
        figures.push(figure(Kind::HelperCalls, way.calls));
        figures.push(figure(Kind::PathInstructions, way.instructions));
    }
    figures.extend(ENTRIES.map(|entries| maps(&exact, entries)));
    Ok(Counted { protocol: PROTOCOL, machine, figures })
}

fn figure(kind: Kind, of: &str, value: u64) -> Figure {
    Figure { kind, of: of.to_owned(), value, parts: BTreeMap::new() }
}

fn programs(exact: &Exact) -> Vec<Figure> {
    let figures = exact.programs.iter().flat_map(|program| {
        [
            (Kind::TranslatedInstructions, u64::from(program.translated_instructions)),
            (Kind::JitedBytes, u64::from(program.jited_bytes)),
            (Kind::VerifiedInstructions, u64::from(program.verified_instructions)),
        ]
        .map(|(kind, value)| figure(kind, &program.name, value))
    });
    figures.collect()
}

fn maps(exact: &Exact, entries: usize) -> Figure {
    let of_size = exact.maps.iter().filter(|size| size.entries == entries);
    let parts: BTreeMap<String, u64> = of_size.map(|size| (size.map.clone(), size.bytes)).collect();
    let value = parts.values().sum();
    Figure { kind: Kind::MapBytes, of: format!("all maps, {entries} entries"), value, parts }
}

/// The ways of first packets that policy lets pass: the decision, and what remembers it.
fn first_of_connections() -> Result<Vec<WaySize>, MeasureError> {
    let seat = Seat::take()?;
    let mut ways = Vec::new();
    for (place, at) in [(Place::HostAtXdp, "XDP"), (Place::WorkloadAtTc, "tc")] {
        for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
            let crowd = Crowd::new(place, family, Entry::Allow, 100);
            let (known, new) = (crowd.syn(0), crowd.syn(1));
            let mut station = Station::new(&seat, place, crowd)?;
            station.establish(Keys::Hot)?;
            let marked = Marked::load(station.engine(), place.inbound())?;
            // The first packet of all fills caches of what is the same for all.
            marked.way(&known, seat.ifindex())?;
            let way = marked.way(&new, seat.ifindex())?;
            if way.returned != returns(place.inbound(), true) {
                let why = format!("an allowed first packet gave {}", way.returned);
                return Err(MeasureError::wrong("the program with marks", why));
            }
            ways.push(WaySize {
                packet: format!("{name} allowed first packet, {at}"),
                instructions: way.contents.instructions,
                calls: way.contents.calls,
            });
        }
    }
    Ok(ways)
}
