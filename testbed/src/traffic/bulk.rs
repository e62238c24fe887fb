//! Bulk: TCP connections that carry as much as they can.
//!
//! The bytes of a connection are a pattern that begins anew after [`PERIOD`] of them. The receiver
//! compares all it gets with it, so what counts is what arrived whole and in order.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::tcp::{PATIENCE, dial, listen};
use super::{Cores, Ends, TrafficError};

/// A prime, so that no size of segments or of reads falls into step with it.
const PERIOD: usize = 65_537;

/// Bytes of one write or read at most.
const CHUNK: usize = PERIOD - 1;

/// The part of the time in which connections find their pace, before anything is measured.
const WARM_UP: f64 = 0.2;

/// What connections carried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bulk {
    /// Bytes that arrived while it was measured.
    pub bytes: u64,
    /// How long that was.
    pub time: Duration,
    /// Bytes that arrived altogether; as many were sent.
    pub total: u64,
}

impl Bulk {
    /// Runs `connections` from the client to the server at the same time, each with a thread on
    /// either side. They are measured for `time`, after a fifth of it to find their pace.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when a connection is refused or breaks, stands still for three seconds, or
    /// carries other bytes than were sent; when nothing arrives while it is measured.
    pub fn run(
        ends: &Ends<'_>,
        cores: Cores,
        connections: usize,
        time: Duration,
    ) -> Result<Self, TrafficError> {
        let pairs = connect(ends, connections)?;
        let (is_over, arrived) = (&AtomicBool::new(false), &AtomicU64::new(0));
        let pattern = &pattern();
        thread::scope(|scope| {
            let mut senders = Vec::new();
            let mut receivers = Vec::new();
            for (client, server) in pairs {
                receivers.push(scope.spawn(move || {
                    Cores::pin(cores.server)?;
                    receive(server, pattern, arrived)
                }));
                senders.push(scope.spawn(move || {
                    Cores::pin(cores.client)?;
                    send(client, pattern, is_over)
                }));
            }
            sleep(time.mul_f64(WARM_UP));
            let (begin, before) = (Instant::now(), arrived.load(Ordering::Relaxed));
            sleep(time);
            let (time, after) = (begin.elapsed(), arrived.load(Ordering::Relaxed));
            is_over.store(true, Ordering::Relaxed);
            let joined = |thread: thread::ScopedJoinHandle<'_, Result<u64, TrafficError>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            // A receiver's error is the sender's cause.
            let total = receivers.into_iter().map(joined).sum::<Result<u64, _>>();
            let sent = senders.into_iter().map(joined).sum::<Result<u64, _>>();
            let (total, sent) = (total?, sent?);
            if total != sent {
                let why = format!("{sent} bytes were sent and {total} arrived");
                return Err(TrafficError::Unexpected(why));
            }
            if after == before {
                let why = "nothing arrived while it was measured".to_owned();
                return Err(TrafficError::Unexpected(why));
            }
            Ok(Self { bytes: after - before, time, total })
        })
    }

    /// Bits a second.
    #[must_use]
    pub fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.time.as_secs_f64()
    }
}

/// Connections, with the client's end first.
fn connect(ends: &Ends<'_>, count: usize) -> Result<Vec<(TcpStream, TcpStream)>, TrafficError> {
    let listener = listen(ends)?;
    let pair = |_| {
        let client = ends
            .client
            .run(|| dial(ends))?
            .map_err(TrafficError::refused(format!("connect to {} from {}", ends.to, ends.from)))?;
        let server = accept(&listener)?;
        for stream in [&client, &server] {
            let timeouts = stream
                .set_read_timeout(Some(PATIENCE))
                .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
            timeouts.map_err(TrafficError::refused("limit how long a connection waits"))?;
        }
        Ok((client, server))
    };
    (0..count).map(pair).collect()
}

/// The next connection; the client has it already.
fn accept(listener: &TcpListener) -> Result<TcpStream, TrafficError> {
    let begin = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let blocking = stream.set_nonblocking(false);
                blocking.map_err(TrafficError::refused("let a connection wait"))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && begin.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(TrafficError::refused("accept a connection")(error)),
        }
    }
}

/// Twice the pattern, so that any [`CHUNK`] that begins in the first is in one piece.
fn pattern() -> Vec<u8> {
    // The middle byte of a square: neighbours differ, and so do distances.
    let byte = |index: usize| ((index * index) >> 8) as u8;
    (0..2 * PERIOD).map(|index| byte(index % PERIOD)).collect()
}

/// Sends until it is over; how many bytes.
fn send(mut stream: TcpStream, pattern: &[u8], is_over: &AtomicBool) -> Result<u64, TrafficError> {
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        let at = sent as usize % PERIOD;
        let written = stream.write(&pattern[at..at + CHUNK]);
        sent += written.map_err(TrafficError::refused("send on a connection"))? as u64;
    }
    stream.shutdown(Shutdown::Write).map_err(TrafficError::refused("end a connection"))?;
    Ok(sent)
}

/// Receives until the end; how many bytes.
fn receive(
    mut stream: TcpStream,
    pattern: &[u8],
    arrived: &AtomicU64,
) -> Result<u64, TrafficError> {
    let mut chunk = vec![0; CHUNK];
    let mut received = 0;
    loop {
        let read = stream.read(&mut chunk);
        let length = read.map_err(TrafficError::refused("receive on a connection"))?;
        if length == 0 {
            return Ok(received);
        }
        let at = received as usize % PERIOD;
        if chunk[..length] != pattern[at..at + length] {
            let why = format!("what arrived after {received} bytes is not what was sent");
            return Err(TrafficError::Unexpected(why));
        }
        received += length as u64;
        arrived.fetch_add(length as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::require;
    use crate::traffic::wire::Wire;

    #[test]
    fn what_connections_carry_is_counted_and_looked_at() {
        let Some(_granted) = require::privileged() else { return };
        let (wire, cores) = (Wire::new(), Cores::two().unwrap());
        for (is_v4, connections) in [(true, 1), (false, 3)] {
            let bulk = Bulk::run(&wire.ends(is_v4), cores, connections, Duration::from_millis(50))
                .unwrap();
            assert!(bulk.total >= bulk.bytes && bulk.bytes > 0, "{bulk:?}");
            assert!(bulk.time >= Duration::from_millis(50), "{bulk:?}");
            let bits = bulk.bits_per_second() * bulk.time.as_secs_f64();
            assert!((bits - 8.0 * bulk.bytes as f64).abs() < 1.0);
        }
    }

    #[test]
    fn nothing_is_carried_where_nobody_is() {
        let Some(_granted) = require::privileged() else { return };
        let wire = Wire::new();
        let mut ends = wire.ends(true);
        // Not an address of the client's.
        ends.from = "10.0.0.3".parse().unwrap();
        let run = Bulk::run(&ends, Cores::two().unwrap(), 1, Duration::from_millis(10));
        assert!(matches!(run, Err(TrafficError::Refused { .. })), "{run:?}");
    }

    /// What a receiver says of these bytes.
    fn received(bytes: Vec<u8>) -> Result<u64, TrafficError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let sending = thread::spawn(move || client.write_all(&bytes));
        let received = receive(server, &pattern(), &AtomicU64::new(0));
        // A receiver that has seen enough closes before everything was sent.
        let _ = sending.join().unwrap();
        received
    }

    #[test]
    fn a_receiver_notices_what_was_not_sent() {
        let pattern = pattern();
        let good: Vec<u8> = pattern[..PERIOD].repeat(3);
        assert_eq!(received(good.clone()).unwrap(), 3 * PERIOD as u64);
        let mut changed = good.clone();
        changed[PERIOD + 7] ^= 1;
        let mut shifted = good.clone();
        shifted.remove(2 * PERIOD - 1);
        for bad in [changed, shifted] {
            assert!(matches!(received(bad), Err(TrafficError::Unexpected(_))));
        }
    }
}
