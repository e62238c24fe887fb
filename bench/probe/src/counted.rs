//! Figures that are the same however often they are taken on a machine.

use std::collections::BTreeMap;

use aya::maps::MapData;
use ringfence_bench::goals::Machine;
use ringfence_bench::kernel::{Engine, MeasureError, Seat, memory_with_inner};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};
use ringfence_common::abi::config::Hook;
use serde::Serialize;

use crate::PROTOCOL;
use crate::ways::{Passage, Ways};

/// All that can be counted of the programs in the kernel.
#[derive(Debug, Serialize)]
pub struct Counted {
    /// [`PROTOCOL`].
    protocol: u32,
    /// Where it was counted.
    machine: Machine,
    figures: Vec<Figure>,
}

/// A figure.
#[derive(Debug, Serialize)]
struct Figure {
    kind: Kind,
    /// Of what.
    of: String,
    value: u64,
    /// What it is the sum of, where that is known.
    parts: BTreeMap<String, u64>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
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
    let seat = Seat::take()?;
    let mut engine = Engine::load(&[Hook::Xdp, Hook::TcIngress, Hook::TcEgress])?;
    let mut figures = programs(&engine)?;
    for entries in ENTRIES {
        figures.push(maps(&mut engine, &seat, entries)?);
    }
    drop(engine);
    for (place, at) in [(Place::HostAtXdp, "XDP"), (Place::WorkloadAtTc, "tc")] {
        let mut ways = Ways::new(&seat, place)?;
        for (family, ip) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
            for (passage, packet) in Passage::ALL {
                let way = ways.shortest(family, passage)?;
                let name = format!("{ip} {packet}, {at}");
                figures.push(figure(Kind::HelperCalls, &name, way.calls as u64));
                figures.push(figure(Kind::PathInstructions, &name, way.instructions as u64));
            }
        }
    }
    Ok(Counted { protocol: PROTOCOL, machine, figures })
}

fn figure(kind: Kind, of: &str, value: u64) -> Figure {
    Figure { kind, of: of.to_owned(), value, parts: BTreeMap::new() }
}

fn programs(engine: &Engine) -> Result<Vec<Figure>, MeasureError> {
    let mut figures = Vec::new();
    for hook in [Hook::Xdp, Hook::TcIngress, Hook::TcEgress] {
        let (name, info) = (engine.name(hook)?, engine.program(hook)?.info()?);
        let untold = || MeasureError::wrong(&name, "the kernel does not tell its size");
        let translated = info.size_translated().ok_or_else(untold)? / 8;
        let verified = info.verified_instruction_count().ok_or_else(untold)?;
        figures.push(figure(Kind::TranslatedInstructions, &name, translated.into()));
        figures.push(figure(Kind::JitedBytes, &name, info.size_jitted().into()));
        figures.push(figure(Kind::VerifiedInstructions, &name, verified.into()));
    }
    Ok(figures)
}

fn maps(engine: &mut Engine, seat: &Seat, entries: usize) -> Result<Figure, MeasureError> {
    let crowd = Crowd::new(Place::HostAtXdp, Family::V4, Entry::Deny, entries);
    engine.maps()?.start_again()?;
    engine.install(&crowd.desired(seat.ifindex()))?;
    let mut parts = BTreeMap::new();
    for (name, info) in engine.map_infos()? {
        let opened = MapData::from_id(info.id());
        let data = opened.map_err(MeasureError::refused(format!("open the map `{name}`")))?;
        let bytes = memory_with_inner(&name, data)?;
        parts.insert(name, bytes);
    }
    let value = parts.values().sum();
    Ok(Figure { kind: Kind::MapBytes, of: format!("all maps, {entries} entries"), value, parts })
}
