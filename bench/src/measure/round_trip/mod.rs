//! The time from a request to its answer.
//!
//! Goals: (a) a figure is the way's, and no scheduler's wake-up; (b) slow answers do not hide the
//! requests behind them; (c) the loads of different filters are comparable.
//!
//! Design. Client and server spin on sockets that do not block, each on a core of its own (a).
//! Requests have their times before the run begins, and an answer's time counts from the time at
//! which its request was to be sent; what is never sent or answered is lost (b; see
//! [`ringfence_testbed::traffic::open_loop`]). A load is a share of what this filter can do,
//! measured beforehand with a window of requests under way, and with more requests than that can do;
//! for an idle way it is a low rate that is the same for all, but a tenth of what a filter can do at
//! most (c).
//!
//! What the figures are of:
//!
//! - Requests are one flow that is answered. For whatever tracks connections it is established
//!   when the measurement begins; rules without a memory are asked about each packet, one way and
//!   the other.
//! - [`RoundTrips::first_packets`] is the time of a connection's first packet and its answer: each
//!   request has a source port of its own, which nothing has come from since the filter was set up.
//! - A veth hands packets to the receiver in the sender's own time. So without steering there is no
//!   queue that could fill: at 120 % the client is held up, falls behind its schedule for as long as
//!   the run lasts, and the figures grow with the duration.
//! - With receive steering a core of its own does everything between the two sockets, and one thread
//!   on the other core is client and server by turns. A queue forms before the router, up to the
//!   kernel's limit of `net.core.netdev_max_backlog` packets, and what does not fit is lost. That is
//!   so where the router is slower than the two ends. Where it is not, 120 % is more than the ends
//!   can do, and the figures grow with the duration as they do without steering.
//!   The router's core sleeps while it has nothing to do, and what waking it takes is in the figures
//!   of the lower loads, as it is where packets come from a network.
//!
//! Not done: more than one client, and payloads of other lengths.

mod latencies;
mod load;

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ringfence_testbed::traffic::{
    Cores, Echo, Ends, FirstPackets, FreshPorts, Line, OneFlow, Schedule, Served, TrafficError,
    Window, closed_loop, open_loop,
};

pub use self::latencies::Latencies;
pub use self::load::Load;
use super::{Fate, Setting};
use crate::kernel::MeasureError;
use crate::record::Sample;

/// Requests that may be under way when it is found what a filter can do: from what hardly ever
/// waits to what still fits any queue on the way. Each is tried twice: what disturbs a run only ever
/// makes it slower.
const WINDOWS: [usize; 6] = [16, 64, 256, 16, 64, 256];

/// Requests before those that count: one at a time, for so long.
const WARMING_UP: Duration = Duration::from_millis(5);

/// Measures round trips between two ends.
#[derive(Debug)]
pub struct RoundTrips<'a> {
    /// The ends. The server's port must be free.
    pub ends: &'a Ends<'a>,
    /// The cores on which the two ends spin; one that they share if it is the same.
    pub cores: Cores,
    /// What has to become of the requests.
    pub fate: Fate,
    /// How long a run takes.
    pub duration: Duration,
    /// How long after that late requests are still sent, and how long again answers are waited for.
    pub patience: Duration,
}

impl RoundTrips<'_> {
    /// The requests a second that are answered: the most of some runs with a window of requests under
    /// way, or what is answered where requests come at their own times and are too many, if that is
    /// less. The runs take the duration and a sixth of it.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when no request is answered, or an answer is none;
    /// [`MeasureError::Missing`] with only one core; [`MeasureError::Refused`].
    pub fn saturation(&self) -> Result<f64, MeasureError> {
        let duration = self.duration / WINDOWS.len() as u32;
        let mut most = 0.0_f64;
        for requests in WINDOWS {
            let window = Window { requests, duration, patience: self.patience };
            let flow = || self.one_flow();
            let exchange = self.with_server(flow, |line| Ok(closed_loop(line, window, mark())?))?;
            most = most.max(exchange.per_second());
        }
        let silent =
            || MeasureError::wrong("the way to the server and back", "no request was answered");
        if most == 0.0 {
            return Err(silent());
        }
        // Requests that have their times keep the ends busier than a window does.
        let flow = || self.one_flow();
        let trips = Self { duration, ..*self };
        let paced = self.with_server(flow, |line| {
            trips.measure(line, Load::Over.per_second(most)).map(|latencies| latencies.outcome())
        })?;
        match paced.answered {
            0 => Err(silent()),
            _ => Ok(most.min(paced.answered_per_second())),
        }
    }

    /// The times of requests of one flow, `per_second` a second.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when an answer is none, or comes although requests have to be
    /// denied, or when before the run none comes that has to;
    /// [`MeasureError::Missing`] with only one core; [`MeasureError::Refused`].
    pub fn at_rate(&self, per_second: f64) -> Result<Latencies, MeasureError> {
        let flow = || self.one_flow();
        self.with_server(flow, |line| {
            self.warm_up(line)?;
            self.measure(line, per_second)
        })
    }

    /// The times of requests each of which opens a connection, `per_second` a second, with as many
    /// of `ports` as it has requests.
    ///
    /// # Errors
    ///
    /// As [`RoundTrips::at_rate`]; [`MeasureError::Wrong`] also when there are too few ports.
    pub fn first_packets(
        &self,
        per_second: f64,
        ports: &mut FreshPorts,
    ) -> Result<Latencies, MeasureError> {
        // Neighbours are asked for before, by another flow.
        self.with_server(|| self.one_flow(), |line| self.warm_up(line))?;
        let requests = self.schedule(per_second).requests() as usize;
        let open = || FirstPackets::new(self.ends, ports, requests);
        self.with_server(open, |line| self.measure(line, per_second))
    }

    /// The samples of every load of [`Load::ALL`], named by `setting` and `steered`, and the most
    /// requests a second that they are shares of. Where the caller has steered the router's work to
    /// the server's core, both ends are on the client's.
    ///
    /// # Errors
    ///
    /// As [`RoundTrips::at_rate`].
    pub fn at_loads(
        &self,
        setting: &Setting,
        steered: bool,
    ) -> Result<(f64, Vec<Sample>), MeasureError> {
        let cores = if steered { self.cores.together() } else { self.cores };
        let trips = Self { cores, ..*self };
        let saturation = trips.saturation()?;
        let mut samples = Vec::new();
        for load in Load::ALL {
            let variant = load.variant(steered).to_owned();
            let setting = Setting { variant, ..setting.clone() };
            let latencies = trips.at_rate(load.per_second(saturation))?;
            samples.extend(latencies.samples(&setting));
        }
        Ok((saturation, samples))
    }

    /// Runs `work` on the client's core, on the line that `open` makes, while the server answers.
    fn with_server<L: Line, T: Send>(
        &self,
        open: impl FnOnce() -> Result<L, TrafficError> + Send,
        work: impl FnOnce(&mut Served<L>) -> Result<T, MeasureError> + Send,
    ) -> Result<T, MeasureError> {
        let Cores { client, server } = self.cores;
        if client == server {
            return Cores::run_on(client, || work(&mut Served::here(open()?, self.ends)?));
        }
        let echo = Echo::start(self.ends, server)?;
        let done = Cores::run_on(client, || work(&mut Served::elsewhere(open()?)));
        // What stopped the server is why no answers came.
        echo.finish()?;
        done
    }

    fn one_flow(&self) -> Result<OneFlow, TrafficError> {
        Ok(OneFlow::new(self.ends.client_socket(0)?))
    }

    /// Exchanges a few requests, which has to go as the fate of all is.
    fn warm_up(&self, line: &mut impl Line) -> Result<(), MeasureError> {
        // Longer than any queue, or as long as one that nobody expects may take.
        let patience = Duration::from_millis(match self.fate {
            Fate::Arrives => 1_000,
            Fate::Denied => 100,
        });
        let window = Window { requests: 1, duration: WARMING_UP, patience };
        let answered = closed_loop(line, window, mark())?.answered;
        match self.fate {
            Fate::Arrives if answered == 0 => {
                Err(MeasureError::wrong("the way to the server", "no request was answered"))
            }
            Fate::Denied if answered > 0 => {
                Err(MeasureError::wrong("the filter", "a request was answered"))
            }
            Fate::Arrives | Fate::Denied => Ok(()),
        }
    }

    fn measure(&self, line: &mut impl Line, per_second: f64) -> Result<Latencies, MeasureError> {
        let schedule = self.schedule(per_second);
        let mut latencies = Latencies::new(schedule)?;
        let outcome = open_loop(line, schedule, mark(), |time| latencies.note(time))?;
        latencies.finish(outcome);
        if self.fate == Fate::Denied && outcome.answered > 0 {
            let why = format!("{} requests were answered", outcome.answered);
            return Err(MeasureError::wrong("the filter", why));
        }
        Ok(latencies)
    }

    fn schedule(&self, per_second: f64) -> Schedule {
        let Self { duration, patience, .. } = *self;
        Schedule { per_second, duration, patience }
    }
}

/// What tells the requests of a run from those of the runs before.
fn mark() -> u16 {
    static RUNS: AtomicU16 = AtomicU16::new(0);
    RUNS.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
