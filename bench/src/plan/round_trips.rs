//! Round trips, with a filter and without, in turns.

use std::time::Duration;

use ringfence_testbed::lab::{Case, Tracking};
use ringfence_testbed::traffic::{Cores, Ends, FreshPorts};

use super::bench::Bench;
use super::pair::Pair;
use crate::kernel::MeasureError;
use crate::measure::Fate;
use crate::measure::round_trip::{Load, RoundTrips};
use crate::record::{Measurement, Sample, statistic, variant};

/// How long late requests are still sent, and answers waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Connections a second of which the first packet is measured.
const FIRST_PACKETS: f64 = 2_000.0;

/// Round trips on an idle way: percentiles, and how much longer the half of them takes than without
/// a filter.
///
/// # Errors
///
/// [`MeasureError`] when requests do not fare as they have to.
pub fn unloaded(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    let case = answered(bench.case);
    let idle = bench.effort.idle;
    let [own, without] = bench.pair.ends(&case);
    let (own, without) = (trips(&own, bench, idle)?, trips(&without, bench, idle)?);
    let rate = Load::Unloaded.per_second(own.saturation()?);
    let mut samples = Vec::new();
    for round in 1..=bench.effort.idle_rounds {
        let mut setting = bench.setting(Measurement::RoundTrip, variant::UNLOADED, round);
        setting.case = case;
        if Pair::is_single(&case) {
            samples.extend(own.at_rate(rate)?.samples(&setting));
            continue;
        }
        let (with, bare) = if round % 2 == 0 {
            let with = own.at_rate(rate)?;
            (with, without.at_rate(rate)?)
        } else {
            let bare = without.at_rate(rate)?;
            (own.at_rate(rate)?, bare)
        };
        if let (Some(with), Some(bare)) = (with.percentile_ns(50.0), bare.percentile_ns(50.0)) {
            samples.push(setting.sample(statistic::ADDED_P50, with as f64 - bare as f64));
            samples.push(setting.sample(statistic::RATIO_P50, with as f64 / bare as f64));
        }
        samples.extend(with.samples(&setting));
    }
    Ok(samples)
}

/// Round trips at every load; `is_steered` where the router works on the server's core.
///
/// # Errors
///
/// As [`unloaded`].
pub fn loaded(bench: &mut Bench<'_>, is_steered: bool) -> Result<Vec<Sample>, MeasureError> {
    let case = answered(bench.case);
    let cores = Cores::two()?;
    let steer = |bench: &mut Bench<'_>, core| {
        let steered = bench.pair.own.steer(core);
        steered.map_err(MeasureError::refused("steer what the router receives"))
    };
    steer(bench, is_steered.then_some(cores.server))?;
    let measured = (|| {
        let [own, _] = bench.pair.ends(&case);
        let mut setting = bench.setting(Measurement::RoundTrip, "", 1);
        setting.case = case;
        let (_, samples) =
            trips(&own, bench, bench.effort.loaded)?.at_loads(&setting, is_steered)?;
        Ok(samples)
    })();
    steer(bench, None)?;
    measured
}

/// Round trips of which each request is a connection's first packet.
///
/// # Errors
///
/// As [`unloaded`].
pub fn first_packets(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    let [own, _] = bench.pair.ends(&bench.case);
    let mut ports = FreshPorts::all();
    let mut samples = Vec::new();
    for round in 1..=bench.effort.idle_rounds {
        let setting = bench.setting(Measurement::RoundTrip, variant::FIRST_PACKET, round);
        let latencies =
            trips(&own, bench, bench.effort.idle)?.first_packets(FIRST_PACKETS, &mut ports)?;
        samples.extend(latencies.samples(&setting));
    }
    Ok(samples)
}

fn trips<'a>(
    ends: &'a Ends<'a>,
    bench: &Bench<'_>,
    duration: Duration,
) -> Result<RoundTrips<'a>, MeasureError> {
    Ok(RoundTrips {
        ends,
        cores: Cores::two()?,
        fate: Fate::of(&bench.case),
        duration,
        patience: PATIENCE,
    })
}

/// Requests of one flow that are answered are a known connection for whoever knows connections.
fn answered(case: Case) -> Case {
    match case.tracking {
        Tracking::New => Case { tracking: Tracking::Established, ..case },
        Tracking::Stateless | Tracking::Established => case,
    }
}
