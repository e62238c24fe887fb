//! G13: changes under load.
//!
//! A client and a server on two hosts send a message to and fro over one connection, as fast as it
//! goes. Beside them somebody wakes a thousand times a second; in every second stretch of time he
//! changes the policy of another peer, in the others he changes nothing. What the round trips take
//! in the ones is compared with the others, so that his waking alone does not count.
//! All stretches together may lose no packet: no segment is sent again, and the engine, which has
//! nobody else to deny anything, denies nothing.
//!
//! Not shown here: that no packet meets a mixture of two policies, which takes policies that a
//! mixture of would be seen (safety P1); the tests of the backend do that.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringfence_dataplane::backend::host::difference::HostDiff;

use super::wire::{NAME, Wire};
use super::{Bound, Goal, Progress, Row};
use crate::kernel::{Engine, MeasureError, Toggle, toggles};
use crate::rounds::median;
use crate::workload::{Crowd, Entry, Family, Place};

/// The goals of this part.
pub const GOALS: &[Goal] = &[Goal::G13];

/// Entries of the policy.
const ENTRIES: usize = 10_000;

/// Time from one change to the next.
const PERIOD: Duration = Duration::from_millis(1);

/// How long a stretch is, and how many pairs of them there are.
const STRETCH: Duration = Duration::from_millis(1_000);
const PAIRS: usize = 9;

/// What is sent to and fro, in bytes.
const MESSAGE: usize = 64;

const PLACE: Place = Place::HostAtXdp;

/// Measures.
pub fn measure(_: &BTreeSet<Goal>, progress: &dyn Progress) -> Result<Vec<Row>, MeasureError> {
    progress.begin("loading 10K entries");
    let crowd = Crowd::new(PLACE, Family::V4, Entry::Allow, ENTRIES);
    let wire = Wire::new()?;
    wire.address(crowd.peer(0), crowd.endpoint())?;
    let diffs = toggles(&crowd, wire.far_index, ENTRIES - 1, Toggle::Verdict);
    let mut engine = Engine::load(&[PLACE.inbound(), PLACE.outbound()])?;
    engine.install(&crowd.desired(wire.far_index))?;
    engine.expect_changes()?;
    wire.at_far(|| engine.attach(NAME, wire.far_index))?;
    let mut connection = connect(&wire, SocketAddr::new(crowd.endpoint(), crowd.port()))?;
    stretch(&mut connection, &mut engine, Some(&diffs))?;

    let (denied, sent_again) = (engine.denied()?, wire.sent_again()?);
    let (mut ratios, mut rates, mut tails) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    progress.begin("changing policy under load");
    for pair in 0..PAIRS {
        progress.step(pair, PAIRS);
        let mut trips = [Vec::new(), Vec::new()];
        // The order changes from pair to pair.
        for changes in [pair % 2 == 1, pair % 2 == 0] {
            let diffs = changes.then_some(&diffs);
            let (taken, rate) = stretch(&mut connection, &mut engine, diffs)?;
            trips[usize::from(changes)] = taken;
            if changes {
                rates.push(rate);
            }
        }
        let [calm, busy] = trips.map(|trips| percentile(trips, 0.99));
        ratios.push(busy / calm);
        tails[0].push(calm);
        tails[1].push(busy);
    }
    let lost = wire.sent_again()? - sent_again + (engine.denied()? - denied);
    let [calm, busy] = tails.map(median);
    let rate = median(rates);
    Ok(vec![
        Row::new(Goal::G13, "changes a second", (Bound::AtLeast, 990.0), rate, "/s")
            .with("reading", "1,000 asked for, each one entry of 10K"),
        Row::new(Goal::G13, "packets lost or denied", (Bound::AtMost, 0.0), lost as f64, "packets")
            .with("reading", "segments sent again, and denials"),
        Row::new(Goal::G13, "round trips, p99", (Bound::AtMost, 1.1), median(ratios), "×")
            .with("reading", format!("{busy:.1} µs, without changes {calm:.1} µs"))
            .with("changing_us", busy)
            .with("calm_us", calm),
    ])
}

/// A connection from the near end to a server at the far end that sends everything back.
fn connect(wire: &Wire, server: SocketAddr) -> Result<TcpStream, MeasureError> {
    let refused = || MeasureError::refused("connect over the wire");
    let listener = wire.at_far(|| TcpListener::bind(server).map_err(refused()))?;
    let accepting = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = [0; MESSAGE];
        // The client's end of the connection ends this.
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message)?;
        }
        Ok(())
    });
    drop(accepting);
    let connection = wire.at_near(|| {
        TcpStream::connect_timeout(&server, Duration::from_secs(5)).map_err(refused())
    })?;
    connection.set_nodelay(true).map_err(refused())?;
    connection.set_read_timeout(Some(Duration::from_secs(5))).map_err(refused())?;
    Ok(connection)
}

/// Sends messages to and fro until `is_over`; what each round trip took, in microseconds.
fn round_trips(connection: &mut TcpStream, is_over: &AtomicBool) -> Result<Vec<f64>, MeasureError> {
    let mut message = [7; MESSAGE];
    let mut trips = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let gone =
            connection.write_all(&message).and_then(|()| connection.read_exact(&mut message));
        gone.map_err(MeasureError::refused("send a message to and fro"))?;
        trips.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(trips)
}

/// Round trips while somebody wakes a thousand times a second and, with `diffs`, changes policy; and
/// how often a second he did.
fn stretch(
    connection: &mut TcpStream,
    engine: &mut Engine,
    diffs: Option<&[HostDiff; 2]>,
) -> Result<(Vec<f64>, f64), MeasureError> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let is_over = &is_over;
        let trips = scope.spawn(move || round_trips(connection, is_over));
        let begin = Instant::now();
        let (mut wakes, mut changed) = (0, Ok(()));
        // Every stretch begins with the same policy, so changes come in pairs.
        while changed.is_ok() && (begin.elapsed() < STRETCH || wakes % 2 == 1) {
            if let Some(diffs) = diffs {
                changed = engine.change(&diffs[wakes % 2]).map(|_| ());
            }
            wakes += 1;
            let due = PERIOD * u32::try_from(wakes).unwrap_or(u32::MAX);
            thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        let rate = wakes as f64 / begin.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        let died = |_| MeasureError::wrong("the client", "it panicked");
        let trips = trips.join().map_err(died)??;
        changed?;
        Ok((trips, rate))
    })
}

/// A quantile of what is not empty.
fn percentile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * quantile) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        let values = || (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(values(), 0.99), 100.0);
        assert_eq!(percentile(values(), 0.5), 51.0);
        assert!(percentile(Vec::new(), 0.5).is_nan());
    }
}
