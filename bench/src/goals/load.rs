//! G12: a compiled policy loaded whole.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ringfence_dataplane::backend::Desired;
use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::iptables::{self, Layout};

use super::decisions::short;
use super::tools::Tools;
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{MeasureError, Packets, Seat, Station, Subject};
use crate::rounds::Rounds;
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G12];

/// Entries, the limit in milliseconds, and rounds.
const SIZES: [(usize, f64, usize); 2] = [(10_000, 7.0, 7), (100_000, 60.0, 3)];

/// How much faster than the tools.
const AGAINST: [(&str, f64); 2] = [("iptables-restore", 80.0), ("an nft set", 10.0)];

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    let seat = Seat::take()?;
    let tools = Tools::new()?;
    let mut rows = Vec::new();
    for (entries, limit, rounds) in SIZES {
        progress.begin(&format!("loading {} entries beside the tools", short(entries)));
        let place = Place::WorkloadAtTc;
        let crowd = Crowd::new(place, Family::V4, Entry::Deny, entries);
        let addresses: Vec<Ipv4Addr> =
            crowd.peers().filter_map(|(address, _)| v4(address)).collect();
        let text = iptables_text(&crowd.desired(seat.ifindex()))?;
        let mut station = Station::new(&seat, place, crowd)?;
        let mut done = 0;
        let rounds = Rounds::take(rounds, 4, |number| {
            done += 1;
            progress.step(done, 4 * (rounds + 1));
            let took = match number {
                0 => load(&mut station)?,
                1 => tools.load_iptables(&text)?,
                2 => tools.load_nft(&addresses)?,
                _ => tools.load_ipset(&addresses)?,
            };
            Ok::<_, MeasureError>(took.as_secs_f64() * 1_000.0)
        })?;
        let [own, ipset] = [0, 3].map(|at| rounds.median(|values| values[at]));
        let case = format!("{} entries", short(entries));
        let each = own * 1e6 / entries as f64;
        let reading = format!("{each:.0} ns an entry; ipset restore {ipset:.0} ms");
        rows.push(
            Row::new(Goal::G12, &case, (Bound::AtMost, limit), own, "ms")
                .with("reading", reading)
                .with("entries", entries)
                .with("ipset_ms", ipset),
        );
        for (number, (name, limit)) in AGAINST.into_iter().enumerate() {
            let other = rounds.median(|values| values[number + 1]);
            let ratio = rounds.median(|values| values[number + 1] / values[0]);
            rows.push(
                Row::new(
                    Goal::G12,
                    format!("{case}, against {name}"),
                    (Bound::AtLeast, limit),
                    ratio,
                    "×",
                )
                .with("reading", format!("{own:.1} ms, {name} {other:.0} ms"))
                .with("entries", entries)
                .with("engine_ms", own)
                .with("tool_ms", other),
            );
        }
    }
    Ok(rows)
}

/// Loads the policy anew into the engine, which then has to deny what it denies.
fn load(station: &mut Station) -> Result<Duration, MeasureError> {
    let desired = station.desired();
    station.engine().maps()?.start_again()?;
    let begin = Instant::now();
    station.engine().install(&desired)?;
    let took = begin.elapsed();
    station.measure_alone(Subject::Engine, Packets::First, 1)?;
    Ok(took)
}

/// The rules of a state as the engine prints them for iptables-restore.
fn iptables_text(desired: &Desired) -> Result<String, MeasureError> {
    let ruleset = iptables::ruleset(&Plan::of(desired), iptables::Family::V4, Layout::Structured);
    let ruleset = ruleset.map_err(MeasureError::refused("print rules for iptables"))?;
    Ok(ruleset.script().to_string())
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
