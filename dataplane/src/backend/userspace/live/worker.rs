//! One thread: takes frames from its sockets, decides, sends.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::poll::{PollFd, PollFlags, poll};
use ringfence_common::abi::config::Hook;
use ringfence_common::decide::{Desk, Outcome, Place};
use ringfence_common::packet::PacketRead as _;
use ringfence_common::verdict::Verdict;

use super::batch::{Batch, FRAMES, Frame};
use super::counters::{NotSent, Tally, Way};
use super::socket::Socket;
use super::tables::{inside_set, outside_set};
use super::{LiveError, Port, Wire};
use crate::backend::clock;
use crate::backend::userspace::{Generation, SharedFilter};

/// Milliseconds after which a thread looks whether its interfaces are still there.
const LOOK_MS: u16 = 500;

/// What one thread counts: for each wire, both ways.
pub(super) type Tallies = Arc<Mutex<Vec<[Tally; 2]>>>;

/// One thread's share of every wire.
pub(super) struct Worker {
    pub wires: Arc<[Wire]>,
    /// For each wire the socket inside and the socket outside.
    pub sockets: Vec<[Socket; 2]>,
    pub filter: Arc<SharedFilter>,
    pub tallies: Tallies,
    /// Ends when the thread shall end.
    pub stop: UnixStream,
}

impl Worker {
    /// Forwards until it is told to stop. What sockets have lost is counted when it ends, however it
    /// ends.
    ///
    /// # Errors
    ///
    /// [`LiveError`] when an interface is gone or the kernel refuses to wait.
    pub fn run(&self) -> Result<(), LiveError> {
        let end = self.forward_until_stopped();
        self.count_lost();
        end
    }

    fn forward_until_stopped(&self) -> Result<(), LiveError> {
        let mut batch = Batch::new();
        let mut desk = Desk::new();
        let ends = self.sockets.iter().flat_map(|both| both.iter());
        let mut waiting: Vec<PollFd<'_>> =
            ends.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        waiting.push(PollFd::new(self.stop.as_fd(), PollFlags::POLLIN));
        let mut looked = Instant::now();
        loop {
            match poll(&mut waiting, LOOK_MS) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(source) => return Err(LiveError::Wait(source.into())),
            }
            let is_ready = |one: &PollFd<'_>| one.any().unwrap_or(true);
            if waiting.last().is_some_and(is_ready) {
                return Ok(());
            }
            for (number, _) in waiting.iter().enumerate().filter(|(_, one)| is_ready(one)) {
                let way = Way::ALL[number % 2];
                self.forward(number / 2, way, &mut batch, &mut desk)?;
            }
            // An interface that was down when it was taken away makes no socket ready.
            if looked.elapsed() >= Duration::from_millis(LOOK_MS.into()) {
                self.wires.iter().try_for_each(Wire::still_there)?;
                looked = Instant::now();
            }
        }
    }

    /// Moves one batch of frames from one end of a wire to the other.
    fn forward(
        &self,
        number: usize,
        way: Way,
        batch: &mut Batch,
        desk: &mut Desk,
    ) -> Result<(), LiveError> {
        let [inside, outside] = &self.sockets[number];
        let (from, to) = match way {
            Way::Out => (inside, outside),
            Way::In => (outside, inside),
        };
        let received = batch.receive(from);
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = &mut tallies[number][way as usize];
        let received = match received {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            // The interface is down: it may come up again. One that is gone does not.
            Err(Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV) => {
                return self.wires[number].port(way).still_there();
            }
            Err(_) => {
                tally.unreadable();
                return Ok(());
            }
        };
        // Taken after the frames: what arrives after a change of tables is decided by the new ones.
        let generation = self.filter.generation();
        let now = clock::now().map_err(|source| LiveError::Wait(source.into()))?;
        let mut passes = [false; FRAMES];
        for (index, passes) in passes.iter_mut().enumerate().take(received) {
            match batch.frame(index) {
                Some(frame) => {
                    let length = frame.length();
                    let asked = Asked { number, way, generation: &generation, now };
                    let outcome = self.decide(&asked, &frame, desk);
                    tally.decided(&outcome, length);
                    *passes = outcome.decision.passes();
                    if *passes && !frame.has_fitting_offload() {
                        *passes = false;
                        tally.not_sent(NotSent::Offload);
                    }
                }
                None => tally.cut(),
            }
        }
        batch.send(to, &passes, |cause| tally.not_sent(cause));
        Ok(())
    }

    /// What becomes of the frame. What comes from outside is seen twice, as on a host: where it
    /// arrives and where it leaves; the first denial wins, one that audit mode lets pass too.
    fn decide(&self, asked: &Asked<'_>, frame: &Frame<'_>, desk: &mut Desk) -> Outcome {
        let wire = &self.wires[asked.number];
        let mut at = |set, port: &Port, hook| {
            let place = Place::new(port.index, hook, asked.now);
            self.filter.decide(asked.generation, set, frame, &place, desk)
        };
        match asked.way {
            Way::Out => at(inside_set(asked.number), &wire.inside, Hook::TcIngress),
            Way::In => {
                let arriving = at(outside_set(asked.number), &wire.outside, Hook::TcIngress);
                if !arriving.decision.passes() {
                    return arriving;
                }
                let leaving = at(inside_set(asked.number), &wire.inside, Hook::TcEgress);
                let audited = arriving.decision.verdict == Verdict::Audit;
                if audited && leaving.decision.passes() { arriving } else { leaving }
            }
        }
    }

    fn count_lost(&self) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for (sockets, ways) in self.sockets.iter().zip(tallies.iter_mut()) {
            for (socket, tally) in sockets.iter().zip(ways) {
                tally.lost(socket.lost());
            }
        }
    }
}

/// Where a frame is, and by what it is decided.
struct Asked<'a> {
    number: usize,
    way: Way,
    generation: &'a Generation,
    now: u32,
}

impl Wire {
    /// Where frames of that way arrive.
    fn port(&self, way: Way) -> &Port {
        match way {
            Way::Out => &self.inside,
            Way::In => &self.outside,
        }
    }

    fn still_there(&self) -> Result<(), LiveError> {
        Way::ALL.into_iter().try_for_each(|way| self.port(way).still_there())
    }
}

impl Port {
    /// By its number, which nobody else gets: another interface may get its name, and it another
    /// name.
    fn still_there(&self) -> Result<(), LiveError> {
        match if_indextoname(self.index) {
            // nix takes libc's null for success, with an empty name.
            Ok(name) if !name.is_empty() => Ok(()),
            _ => Err(LiveError::Gone { interface: self.name.clone() }),
        }
    }
}
