//! How many a second: packets without loss, packets denied, bits, connections; and what a packet
//! costs all cores.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_testbed::lab::{Contender, INSIDE};
use ringfence_testbed::traffic::{Cores, End, Ends, Flow, Generator, Hop, SHORTEST_PAYLOAD, Sink};

use super::bench::Bench;
use crate::kernel::MeasureError;
use crate::measure::cpu::Paced;
use crate::measure::drop::{Sender, Watch};
use crate::measure::live::LiveGenerator;
use crate::measure::loss_free::{LossFree, Search};
use crate::measure::{Fate, connect, drop, loss_free, stream};
use crate::record::{Measurement, Sample, variant};

/// The first source port of generated packets, and how many there are.
const PORTS: (u16, u16) = (20_000, 64);

/// Connections at the same time, in turns.
const STREAMS: [usize; 2] = [1, 4];

/// Packets a second while processor time is counted: what the slowest contender still carries
/// without loss is asked for first.
const PACED: f64 = 50_000.0;

/// Of what a contender carries without loss, so much is asked while processor time is counted.
const PACED_SHARE: f64 = 0.5;

/// How long processor time is counted: the clock has steps of 10 ms.
const PACED_FOR: Duration = Duration::from_secs(1);

/// A round of it is repeated, so often at most, where others took more than this share of all cores
/// before and after it.
const CALM: f64 = 0.05;
const REPEATS: usize = 3;

/// How close a search for a rate comes.
const RESOLUTION: f64 = 0.02;

/// The highest rate without loss, with the router's work on the sender's core and on another.
///
/// # Errors
///
/// [`MeasureError`] when packets fare otherwise than they have to.
pub fn loss_free(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    let mut samples = Vec::new();
    let core = Cores::two()?;
    for (variant, steered) in [("", None), (variant::STEERED, Some(core.server))] {
        steer(bench, steered)?;
        let setting = bench.setting(Measurement::LossFree, variant, 1);
        samples.extend(search(bench)?.samples(&setting));
    }
    steer(bench, None)?;
    Ok(samples)
}

fn search(bench: &mut Bench<'_>) -> Result<LossFree, MeasureError> {
    let [own, _] = bench.pair.ends(&bench.case);
    let mut generator = generator(bench, &own)?;
    let mut sink = Sink::new(&own)?;
    let search = Search { trial: bench.effort.trial, resolution: RESOLUTION, ..Search::default() };
    loss_free::measure(&mut generator, &mut sink, Cores::two()?.client, &search)
}

/// Packets denied, sent by a socket and by a program.
///
/// # Errors
///
/// As [`loss_free`]; [`MeasureError::Missing`] for the filter in user space.
pub fn drop(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    if bench.case.contender == Contender::Userspace {
        // What it has denied and what its queue has lost look the same from outside.
        let why = "the filter in user space works on another core, and its count is not read";
        return Err(MeasureError::Missing(why.to_owned()));
    }
    let mut samples = Vec::new();
    let [own, _] = bench.pair.ends(&bench.case);
    let (uplink, core) = (bench.pair.own.uplink().name.clone(), Cores::two()?.client);
    let mut generator = generator(bench, &own)?;
    let mut sink = Sink::new(&own)?;
    let [near, far] = [
        End { namespace: own.client, interface: INSIDE },
        End { namespace: bench.pair.own.router(), interface: &uplink },
    ];
    for round in 1..=bench.effort.rate_rounds {
        let sender = Sender::Packets(&mut generator);
        let setting = bench.setting(Measurement::Drop, sender.variant(), round);
        let watch = Watch { router: far, sink: &mut sink, denials: None };
        let dropped = drop::measure(sender, watch, core, bench.effort.rate)?;
        samples.extend(dropped.samples(&setting));
    }
    let live = LiveGenerator::open(near, far, flow(&own))?;
    for round in 1..=bench.effort.rate_rounds {
        let sender = Sender::Live(&live);
        let setting = bench.setting(Measurement::Drop, sender.variant(), round);
        let watch = Watch { router: far, sink: &mut sink, denials: None };
        let dropped = drop::measure(sender, watch, core, bench.effort.rate)?;
        samples.extend(dropped.samples(&setting));
    }
    Ok(samples)
}

/// Bits a second of one TCP connection and of several.
///
/// # Errors
///
/// As [`loss_free`].
pub fn stream(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    let mut samples = Vec::new();
    for connections in STREAMS {
        for round in 1..=bench.effort.rate_rounds {
            let variant = stream::variant(connections);
            let setting = bench.setting(Measurement::Stream, &variant, round);
            let [own, _] = bench.pair.ends(&bench.case);
            let measured = stream::measure(&own, Cores::two()?, connections, bench.effort.rate)?;
            samples.extend(measured.samples(&setting));
        }
    }
    Ok(samples)
}

/// Connections a second.
///
/// # Errors
///
/// As [`loss_free`].
pub fn connect(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    let mut samples = Vec::new();
    for round in 1..=bench.effort.rate_rounds {
        let setting = bench.setting(Measurement::Connect, "", round);
        let [own, _] = bench.pair.ends(&bench.case);
        let measured = connect::measure(&own, Cores::two()?, bench.effort.rate, u64::MAX)?;
        samples.extend(measured.samples(&setting));
    }
    Ok(samples)
}

/// Processor time of a packet.
///
/// # Errors
///
/// As [`loss_free`].
pub fn cpu(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    let rate = PACED.min(PACED_SHARE * search(bench)?.per_second);
    let [own, _] = bench.pair.ends(&bench.case);
    let (fate, tracking) = (Fate::of(&bench.case), bench.case.tracking);
    let core = Cores::two()?.client;
    let mut paced = Paced::new(&own, core, fate, tracking, rate, PACED_FOR)?;
    let mut samples = Vec::new();
    for round in 1..=bench.effort.rate_rounds {
        let setting = bench.setting(Measurement::Cpu, "", round);
        let mut spent = paced.round()?;
        for _ in 0..REPEATS {
            if spent.elsewhere <= CALM {
                break;
            }
            spent = paced.round()?;
        }
        samples.extend(spent.samples(&setting));
    }
    Ok(samples)
}

fn steer(bench: &mut Bench<'_>, core: Option<usize>) -> Result<(), MeasureError> {
    let steered = bench.pair.own.steer(core);
    steered.map_err(MeasureError::refused("steer what the router receives"))
}

/// Packets of many ports from the client to the router.
fn generator(bench: &Bench<'_>, ends: &Ends<'_>) -> Result<Generator, MeasureError> {
    let near = End { namespace: ends.client, interface: INSIDE };
    let far = End { namespace: bench.pair.own.router(), interface: &bench.pair.own.uplink().name };
    let hop = Hop::between(near, far)?;
    let flows = flow(ends).ports(PORTS.1);
    let frames = flows.iter().map(|flow| flow.frame(hop, SHORTEST_PAYLOAD)).collect();
    Ok(Generator::open(near, frames)?)
}

fn flow(ends: &Ends<'_>) -> Flow {
    Flow { source: SocketAddr::new(ends.from, PORTS.0), destination: ends.to }
}
