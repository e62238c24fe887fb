//! Frames as fast as one core sends them, or at a given rate.
//!
//! Goals: (a) the generator is much cheaper than what is measured; (b) it is known exactly how many
//! frames were sent, and how many the first queue on their way did not take; (c) a rate is a number
//! of frames with a time for each, so that whatever delays the generator makes nothing easier.
//!
//! Design. A packet socket takes [`BATCH`] prepared frames by one call of `sendmmsg`, and nothing is
//! looked at between them (a). The call ends early at a frame that was not taken; that one counts as
//! refused and is not sent again (b). At a rate, frame *i* is due *i* / rate after the beginning. The
//! generator spins until one is due, then sends all that are, at most [`BATCH`] at once: what was
//! delayed follows at full speed (c).
//!
//! Not done: rates beyond what one core sends. [`Sent::offered`] then is less than was asked for.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    LinkAddr, MsgFlags, MultiHeaders, SockaddrLike, bind, sendmmsg, setsockopt, sockopt,
};
use socket2::{Domain, Socket, Type};

use super::{End, TrafficError};

/// Frames of one system call.
pub const BATCH: usize = 64;

/// What may be under way, in bytes: more than any queue between two namespaces holds, since a socket
/// that waits for its own frames would hide that a queue is full.
const BUFFER_BYTES: usize = 64 << 20;

/// Prepared frames, which go out of one interface over and over.
#[derive(Debug)]
pub struct Generator {
    socket: Socket,
    frames: Vec<Vec<u8>>,
    /// The frame that is next.
    next: usize,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// So many frames.
    pub frames: u64,
    /// At so many a second, or as fast as it goes.
    pub per_second: Option<f64>,
    /// Until then; what has not been sent by then never is.
    pub at_most: Duration,
}

impl Plan {
    /// As fast as it goes, for so long.
    #[must_use]
    pub fn full_speed(time: Duration) -> Self {
        Self { frames: u64::MAX, per_second: None, at_most: time }
    }

    /// At a rate, for so long: rate × time frames, rounded. If the generator cannot keep up it ends
    /// after twice the time.
    #[must_use]
    pub fn at_rate(per_second: f64, time: Duration) -> Self {
        let frames = (per_second * time.as_secs_f64()).round() as u64;
        Self { frames, per_second: Some(per_second), at_most: 2 * time }
    }

    /// How many frames are due after `elapsed`.
    fn due(&self, elapsed: Duration) -> u64 {
        match self.per_second {
            // The first one is due at once.
            Some(rate) => self.frames.min(1 + (rate * elapsed.as_secs_f64()) as u64),
            None => self.frames,
        }
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Frames that the first queue took.
    pub taken: u64,
    /// Frames that it did not take.
    pub refused: u64,
    /// From the first frame until the last was sent.
    pub took: Duration,
}

impl Sent {
    /// All frames, taken or not.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.taken + self.refused
    }

    /// Frames a second, taken or not.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.offered() as f64 / self.took.as_secs_f64()
    }
}

impl Generator {
    /// One that sends `frames` out of an interface.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] without frames, without the interface, or when the kernel refuses.
    pub fn open(from: End<'_>, frames: Vec<Vec<u8>>) -> Result<Self, TrafficError> {
        if frames.is_empty() {
            return Err(TrafficError::Unexpected("there is no frame to send".to_owned()));
        }
        let index = from.index()?;
        let refused = format!("open a packet socket on `{}`", from.interface);
        let socket = from.namespace.run(|| open(index))?.map_err(TrafficError::refused(refused))?;
        Ok(Self { socket, frames, next: 0 })
    }

    /// Sends from the calling thread, which is kept busy until it is done. Frames go on where they
    /// ended the last time.
    ///
    /// # Errors
    ///
    /// [`TrafficError::Refused`] when the kernel refuses for another reason than a full queue.
    pub fn send(&mut self, plan: Plan) -> Result<Sent, TrafficError> {
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        let (mut taken, mut refused) = (0, 0);
        let begin = Instant::now();
        let mut took = Duration::ZERO;
        while taken + refused < plan.frames && took < plan.at_most {
            let missing = plan.due(took).saturating_sub(taken + refused);
            if missing > 0 {
                let rest = &slices[self.next..];
                let batch = &rest[..rest.len().min(BATCH).min(missing as usize)];
                let sent = send_batch(self.socket.as_raw_fd(), &mut headers, batch)
                    .map_err(TrafficError::refused("send frames"))?;
                let is_refused = sent < batch.len();
                taken += sent as u64;
                refused += u64::from(is_refused);
                self.next = (self.next + sent + usize::from(is_refused)) % slices.len();
            }
            took = begin.elapsed();
        }
        Ok(Sent { taken, refused, took })
    }
}

/// How many of the frames were taken before the first that was not.
fn send_batch<'a>(
    socket: RawFd,
    headers: &'a mut MultiHeaders<()>,
    batch: &'a [[IoSlice<'a>; 1]],
) -> Result<usize, Errno> {
    // None needs an address: the socket is bound to its interface.
    let addresses: [Option<()>; BATCH] = [None; BATCH];
    match sendmmsg(socket, headers, batch, addresses, [], MsgFlags::empty()) {
        Ok(sent) => Ok(sent.count()),
        Err(Errno::ENOBUFS) => Ok(0),
        Err(errno) => Err(errno),
    }
}

/// A packet socket of the calling thread's namespace that sends out of one interface and receives
/// nothing.
fn open(index: u32) -> Result<Socket, std::io::Error> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    setsockopt(&socket, sockopt::SndBufForce, &BUFFER_BYTES)?;
    bind(socket.as_raw_fd(), &address(index))?;
    Ok(socket)
}

/// The address of an interface, of no protocol: it receives nothing.
#[expect(unsafe_code, reason = "nix makes link addresses from the kernel's structure only")]
fn address(index: u32) -> LinkAddr {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        // An interface's number is an `int` everywhere else in the kernel.
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: it points to an address of the family that it names, and all of it is valid.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    address.expect("family and length are those of a link address")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Namespace;
    use crate::require;
    use crate::traffic::wire::{self, Wire};
    use crate::traffic::{SHORTEST_PAYLOAD, Sink};
    use crate::veth::Netlink;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn burst(frames: u64) -> Plan {
        Plan { frames, per_second: None, at_most: PATIENCE }
    }

    #[test]
    fn a_plan_has_rate_times_time_frames_each_with_its_time() {
        let plan = Plan::at_rate(1_000.0, Duration::from_millis(250));
        assert_eq!((plan.frames, plan.at_most), (250, Duration::from_millis(500)));
        let due = |ms| plan.due(Duration::from_millis(ms));
        assert_eq!([0, 1, 100, 249, 400].map(due), [1, 2, 101, 250, 250]);
        let full = Plan::full_speed(Duration::from_millis(3));
        assert_eq!((full.due(Duration::ZERO), full.at_most), (u64::MAX, Duration::from_millis(3)));
    }

    #[test]
    fn each_frame_arrives_and_each_flow_has_its_turn() {
        let Some(_granted) = require::privileged() else { return };
        let wire = Wire::new();
        for is_v4 in [true, false] {
            let ends = wire.ends(is_v4);
            let mut sink = Sink::new(&ends).unwrap();
            // The flow in the middle is for another port.
            let mut flows = Wire::flow(&ends).ports(100);
            flows[50].destination.set_port(ends.to.port() + 1);
            let frames = flows.iter().map(|flow| flow.frame(wire.hop, SHORTEST_PAYLOAD)).collect();
            let mut generator = Generator::open(wire.near(), frames).unwrap();
            // After 50 frames it is the next one's turn.
            for (frames, arrived) in [(50, 50), (1, 50), (949, 990)] {
                let sent = generator.send(burst(frames)).unwrap();
                assert_eq!((sent.taken, sent.refused, sent.offered()), (frames, 0, frames));
                assert_eq!(sink.wait_for(arrived, PATIENCE).unwrap(), arrived);
            }
            let sent = generator.send(Plan::at_rate(20_000.0, Duration::from_millis(50))).unwrap();
            assert_eq!(sent.offered(), 1_000);
            assert!(sent.took >= Duration::from_micros(999 * 50), "{sent:?}");
            assert_eq!(sink.wait_for(1_980, PATIENCE).unwrap(), 1_980);
        }
    }

    #[test]
    fn what_a_wire_without_an_end_does_not_take_is_refused() {
        let Some(_granted) = require::privileged() else { return };
        let wire = Wire::new();
        let ends = wire.ends(true);
        let frame = Wire::flow(&ends).frame(wire.hop, SHORTEST_PAYLOAD);
        let mut sink = Sink::new(&ends).unwrap();
        let mut generator = Generator::open(wire.near(), vec![frame]).unwrap();
        wire.far.run(|| Netlink::open().unwrap().set_down(wire::NAME).unwrap()).unwrap();
        let sent = generator.send(burst(200)).unwrap();
        assert_eq!((sent.taken, sent.refused), (0, 200));
        assert_eq!(sink.arrived().unwrap(), 0);
    }

    #[test]
    fn there_is_no_generator_without_a_frame_or_an_interface() {
        let Some(_granted) = require::privileged() else { return };
        let namespace = Namespace::new().unwrap();
        let end = |interface| End { namespace: &namespace, interface };
        let opened = Generator::open(end("lo"), Vec::new());
        assert!(matches!(opened, Err(TrafficError::Unexpected(_))), "{opened:?}");
        let opened = Generator::open(end("absent"), vec![vec![0; 60]]);
        assert!(matches!(opened, Err(TrafficError::Refused { .. })), "{opened:?}");
    }
}
