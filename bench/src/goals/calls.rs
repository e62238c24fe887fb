//! G2: what lies on the way of an IPv4 packet.

use std::collections::BTreeSet;

use super::decisions::short;
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{Keys, Marked, MeasureError, Seat, Station, Way, returns};
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G2];

const ENTRIES: usize = 10_000;

/// Instructions on a way, at most.
const INSTRUCTIONS: f64 = 600.0;

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    progress.begin("following packets");
    let ways = ways(&Seat::take()?, Family::V4)?;
    let mut rows = Vec::new();
    for (case, way) in ways {
        let calls = way.contents.calls;
        let instructions = way.contents.instructions;
        rows.push(
            Row::new(
                Goal::G2,
                format!("calls, {case}"),
                (Bound::AtMost, 0.0),
                calls as f64,
                "calls",
            )
            .with("reading", "places that call the kernel, as the verifier left them")
            .with("entries", ENTRIES),
        );
        let (bound, case) = ((Bound::AtMost, INSTRUCTIONS), format!("instructions, {case}"));
        rows.push(
            Row::new(Goal::G2, case, bound, instructions as f64, "insns")
                .with("reading", "translated instructions of the blocks that were run")
                .with("entries", ENTRIES),
        );
    }
    Ok(rows)
}

/// The ways of packets that are decided often: refused first packets, and packets of connections
/// that are known, at both places.
pub fn ways(seat: &Seat, family: Family) -> Result<Vec<(String, Way)>, MeasureError> {
    let mut ways = Vec::new();
    for place in [Place::HostAtXdp, Place::WorkloadAtTc] {
        for entry in [Entry::Deny, Entry::Allow] {
            let crowd = Crowd::new(place, family, entry, ENTRIES);
            let (first, later) = (crowd.syn(0), crowd.acknowledgement(0));
            let mut station = Station::new(seat, place, crowd)?;
            let marked = Marked::load(station.engine(), place.inbound())?;
            let (name, frame, passes) = match entry {
                Entry::Deny => ("denied first packet", first, false),
                Entry::Allow => {
                    station.establish(Keys::Hot)?;
                    ("established", later, true)
                }
            };
            // The first time it is looked up, the second time it is known.
            marked.way(&frame, seat.ifindex())?;
            let way = marked.way(&frame, seat.ifindex())?;
            if way.returned != returns(place.inbound(), passes) {
                let why = format!("a packet that is {name} gave {}", way.returned);
                return Err(MeasureError::wrong("the program with marks", why));
            }
            let hook = if place == Place::HostAtXdp { "XDP" } else { "tc" };
            ways.push((format!("{name}, {hook}, {} entries", short(ENTRIES)), way));
        }
    }
    Ok(ways)
}
