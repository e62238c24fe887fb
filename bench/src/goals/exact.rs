//! What can be counted: sizes, calls, memory. The same on every machine with this kernel, whatever
//! else it does.

use std::fmt::Write as _;

use aya::maps::MapData;
use ringfence_common::abi::config::Hook;
use serde::Serialize;

use super::calls::ways;
use super::decisions::short;
use crate::kernel::{Engine, MeasureError, Seat, memory_with_inner};
use crate::workload::{Crowd, Entry, Family, Place};

/// Everything that can be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exact {
    /// The programs.
    pub programs: Vec<ProgramSize>,
    /// Ways of packets through them.
    pub ways: Vec<WaySize>,
    /// Memory of the maps, at a number of addresses and as many policy entries.
    pub maps: Vec<MapSize>,
}

/// A program, with all its functions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramSize {
    /// Its name.
    pub name: String,
    /// Instructions as the verifier has left them, eight bytes each.
    pub translated_instructions: u32,
    /// Bytes of machine code.
    pub jited_bytes: u32,
    /// Instructions that the verifier has looked at, on all ways.
    pub verified_instructions: u32,
}

/// A way through a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaySize {
    /// The packet.
    pub packet: String,
    /// Translated instructions of the blocks that are run.
    pub instructions: usize,
    /// Calls of the kernel in them.
    pub calls: usize,
}

/// A map, the maps in it among its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapSize {
    /// Its name.
    pub map: String,
    /// Addresses, and policy entries.
    pub entries: usize,
    /// What the kernel says that it takes.
    pub bytes: u64,
}

/// Addresses and policy entries of the maps whose memory is told.
const ENTRIES: [usize; 3] = [1, 10_000, 1_000_000];

/// Counts.
///
/// # Errors
///
/// [`MeasureError`], when the kernel refuses.
pub fn exact() -> Result<Exact, MeasureError> {
    let seat = Seat::take()?;
    let hooks = [Hook::Xdp, Hook::TcIngress, Hook::TcEgress];
    let mut engine = Engine::load(&hooks)?;
    let mut programs = Vec::new();
    for hook in hooks {
        let info = engine.program(hook)?.info()?;
        programs.push(ProgramSize {
            name: engine.name(hook)?,
            translated_instructions: info.size_translated().unwrap_or_default() / 8,
            jited_bytes: info.size_jitted(),
            verified_instructions: info.verified_instruction_count().unwrap_or_default(),
        });
    }
    let mut all = Vec::new();
    for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        for (packet, way) in ways(&seat, family)? {
            let (instructions, calls) = (way.contents.instructions, way.contents.calls);
            all.push(WaySize { packet: format!("{name} {packet}"), instructions, calls });
        }
    }
    let mut maps = Vec::new();
    for entries in ENTRIES {
        let crowd = Crowd::new(Place::HostAtXdp, Family::V4, Entry::Deny, entries);
        engine.maps()?.start_again()?;
        engine.install(&crowd.desired(seat.ifindex()))?;
        for (map, info) in engine.map_infos()? {
            let refused = MeasureError::refused(format!("ask for the memory of `{map}`"));
            let bytes = memory_with_inner(&map, MapData::from_id(info.id()).map_err(refused)?)?;
            maps.push(MapSize { map, entries, bytes });
        }
    }
    Ok(Exact { programs, ways: all, maps })
}

impl Exact {
    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("program                 translated     JITed  verified\n");
        for size in &self.programs {
            let (name, translated) = (&size.name, size.translated_instructions);
            let (jited, verified) = (size.jited_bytes, size.verified_instructions);
            let _ = writeln!(text, "{name:22} {translated:>6} insns {jited:>7} B {verified:>9}");
        }
        text.push_str("\nway                                                   run  calls\n");
        for WaySize { packet, instructions, calls } in &self.ways {
            let _ = writeln!(text, "{packet:48} {instructions:>5} insns {calls:>3}");
        }
        text.push_str("\nmap              KiB at");
        for entries in ENTRIES {
            let _ = write!(text, " {:>10}", short(entries));
        }
        text.push('\n');
        let mut totals = [0; ENTRIES.len()];
        let first = self.maps.iter().filter(|size| size.entries == ENTRIES[0]);
        for MapSize { map, .. } in first {
            let _ = write!(text, "{map:22}");
            for (total, entries) in totals.iter_mut().zip(ENTRIES) {
                let of = |size: &&MapSize| size.map == *map && size.entries == entries;
                let bytes = self.maps.iter().find(of).map_or(0, |size| size.bytes);
                *total += bytes;
                let _ = write!(text, " {:>10}", bytes.div_ceil(1_024));
            }
            text.push('\n');
        }
        let _ = write!(text, "{:22}", "all");
        for total in totals {
            let _ = write!(text, " {:>10}", total.div_ceil(1_024));
        }
        text.push('\n');
        text
    }
}
