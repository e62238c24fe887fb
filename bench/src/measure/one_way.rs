//! Datagrams from the client to a server that only counts them.

use std::net::UdpSocket;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringfence_testbed::lab::Tracking;
use ringfence_testbed::traffic::{Departures, Ends, Request, Sink};

use super::Fate;
use crate::kernel::MeasureError;

/// How long packets may be under way: a filter in user space has them for a while.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// How long a packet that was to be denied is waited for.
const LATE: Duration = Duration::from_millis(2);

/// What is sent: the bytes that fill the shortest Ethernet frame with IPv4 and UDP.
const PAYLOAD: [u8; Request::LENGTH] = [0x55; Request::LENGTH];

/// One flow, with everything counted that leaves and arrives.
#[derive(Debug)]
pub(super) struct OneWay {
    pub(super) socket: UdpSocket,
    pub(super) fate: Fate,
    is_answered: bool,
    pub(super) sink: Sink,
    departures: Departures,
}

/// The counts before something was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    left: u64,
    arrived: u64,
}

impl OneWay {
    /// Makes it, and opens the flow as [`OneWay::begin`] does; with [`Tracking::Established`] the
    /// server answers the first packet.
    pub(super) fn open(
        ends: &Ends<'_>,
        fate: Fate,
        tracking: Tracking,
    ) -> Result<Self, MeasureError> {
        let is_answered = tracking == Tracking::Established;
        if is_answered && fate == Fate::Denied {
            let why = "a flow that is denied is never established";
            return Err(MeasureError::Missing(why.to_owned()));
        }
        let socket = ends.client_socket(0)?;
        let (sink, departures) = (Sink::new(ends)?, Departures::of(ends.client)?);
        let mut made = Self { socket, fate, is_answered, sink, departures };
        made.begin()?;
        Ok(made)
    }

    /// Sends one packet, which has to fare as its fate is, and has it answered if the flow shall be
    /// established: also one that was so some time ago.
    pub(super) fn begin(&mut self) -> Result<(), MeasureError> {
        let before = self.counts()?;
        self.send()?;
        self.check(before, 1)?;
        if self.is_answered { self.answer() } else { Ok(()) }
    }

    /// Sends one packet.
    pub(super) fn send(&self) -> Result<(), MeasureError> {
        match self.socket.send(&PAYLOAD) {
            Ok(_) => Ok(()),
            Err(error) => Err(MeasureError::refused("send a packet")(error)),
        }
    }

    /// The counts now.
    pub(super) fn counts(&mut self) -> Result<Counts, MeasureError> {
        Ok(Counts { left: self.departures.count()?, arrived: self.sink.arrived()? })
    }

    /// Whether, of `sent` packets since `before`, all left the client and as many have arrived as
    /// have to.
    pub(super) fn check(&mut self, before: Counts, sent: u64) -> Result<(), MeasureError> {
        let expected = self.fate.arrivals(sent);
        let arrived = match self.fate {
            Fate::Arrives => self.sink.wait_for(before.arrived + expected, UNDER_WAY)?,
            Fate::Denied => self.sink.wait_for(before.arrived + 1, LATE)?,
        };
        let arrived = arrived - before.arrived;
        if arrived != expected {
            let why = format!("of {sent} packets {arrived} arrived, not {expected}");
            return Err(MeasureError::wrong("the way to the server", why));
        }
        // Neighbours may be asked for their addresses meanwhile.
        let left = self.departures.count()? - before.left;
        if left < sent {
            let why = format!("of {sent} packets only {left} left");
            return Err(MeasureError::wrong("the client", why));
        }
        Ok(())
    }

    /// Lets the server answer, and takes that answer.
    fn answer(&self) -> Result<(), MeasureError> {
        let client = self.socket.local_addr();
        self.sink.answer(client.map_err(MeasureError::refused("ask for a socket's address"))?)?;
        let begin = Instant::now();
        while self.socket.recv(&mut [0; Request::LENGTH]).is_err() {
            if begin.elapsed() > UNDER_WAY {
                return Err(MeasureError::wrong("the way back", "the server's answer got lost"));
            }
            sleep(Duration::from_micros(100));
        }
        Ok(())
    }
}
