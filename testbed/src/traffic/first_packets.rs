//! Requests that are the first packet of a connection each.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Ends, Line, Request, TrafficError, line};

/// Ports below those that the kernel chooses by itself (`net.ipv4.ip_local_port_range`).
const PORTS: RangeInclusive<u16> = 1024..=32_767;

/// How long a socket is listened on for its answer: looking at one that gets none takes time from
/// the others.
const PATIENCE: Duration = Duration::from_millis(200);

/// Descriptors that the rest of the process needs.
const OTHER_DESCRIPTORS: u64 = 256;

/// Source ports that no packet has come from since the filter was set up.
#[derive(Debug)]
pub struct FreshPorts {
    next: u32,
}

impl FreshPorts {
    /// All of them: for a filter that was set up a moment ago.
    #[must_use]
    pub fn all() -> Self {
        Self { next: u32::from(*PORTS.start()) }
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> usize {
        (u32::from(*PORTS.end()) + 1 - self.next) as usize
    }

    /// The next one.
    fn take(&mut self) -> Option<u16> {
        let port = u16::try_from(self.next).ok().filter(|port| PORTS.contains(port))?;
        self.next += 1;
        Some(port)
    }
}

/// Many sockets, each for one request.
#[derive(Debug)]
pub struct FirstPackets {
    begin: Instant,
    fresh: std::vec::IntoIter<UdpSocket>,
    /// Those that wait for their answer, with the time at which they asked.
    asked: VecDeque<(Duration, UdpSocket)>,
    /// Those that nothing is expected from any more. Closing a socket takes time, which would be in
    /// the figures.
    done: Vec<UdpSocket>,
}

impl FirstPackets {
    /// Makes `count` sockets with as many ports of `ports`. The clock starts when they are made.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when there are not so many ports or descriptors.
    pub fn new(
        ends: &Ends<'_>,
        ports: &mut FreshPorts,
        count: usize,
    ) -> Result<Self, TrafficError> {
        if ports.left() < count {
            let why = format!("{count} fresh ports are needed, and {} are left", ports.left());
            return Err(TrafficError::Unexpected(why));
        }
        allow_descriptors(count as u64)?;
        let sockets = std::iter::from_fn(|| ports.take()).take(count);
        let fresh = ends.client_sockets(sockets)?.into_iter();
        Ok(Self { begin: Instant::now(), fresh, asked: VecDeque::new(), done: Vec::new() })
    }
}

impl Line for FirstPackets {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn send(&mut self, request: Request) -> Result<bool, TrafficError> {
        let socket = self.fresh.next().ok_or_else(|| {
            TrafficError::Unexpected("there are more requests than fresh sockets".to_owned())
        })?;
        let is_sent = line::send(&socket, request)?;
        self.asked.push_back((self.now(), socket));
        Ok(is_sent)
    }

    fn receive(&mut self) -> Result<Option<Request>, TrafficError> {
        let now = self.now();
        while let Some((_, socket)) = self.asked.pop_front_if(|(at, _)| *at + PATIENCE < now) {
            self.done.push(socket);
        }
        for at in 0..self.asked.len() {
            if let Some(answer) = line::receive(&self.asked[at].1)? {
                self.done.extend(self.asked.remove(at).map(|(_, socket)| socket));
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

/// Sees to it that the process may have `count` sockets more.
fn allow_descriptors(count: u64) -> Result<(), TrafficError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(TrafficError::refused("ask for the limit of descriptors"))?;
    let needed = count + OTHER_DESCRIPTORS;
    if needed <= soft {
        return Ok(());
    }
    if needed > hard {
        let why = io::Error::other(format!("the limit of this process is {hard}"));
        return Err(TrafficError::refused(format!("have {needed} descriptors"))(why));
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard)
        .map_err(TrafficError::refused("raise the limit of descriptors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let mut ports = FreshPorts::all();
        let all = ports.left();
        let taken: Vec<u16> = std::iter::from_fn(|| ports.take()).collect();
        assert_eq!(taken.len(), all);
        assert!(taken.is_sorted_by(|one, next| one < next));
        assert_eq!((taken[0], taken[all - 1], ports.left()), (1024, 32_767, 0));
    }
}
