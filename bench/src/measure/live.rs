//! Frames that a program sends, without a socket.
//!
//! The kernel runs a program for XDP on frames that it makes (`BPF_F_TEST_XDP_LIVE_FRAMES`), and the
//! program sends each out of an interface. That costs a fraction of what a packet socket does, so
//! more of a core is left for the filter.
//!
//! The kernel hands the same few pages to the program over and over, as whoever had them last has
//! left them. A router changes the Ethernet addresses and the hops that are left, and would drop the
//! frame unseen the next time; so the program writes both anew.
//!
//! They have no UDP checksum, which nobody on the way asks for; a receiver of IPv6 would refuse them.
//!
//! Such frames take the way of XDP over the wire, which is open only where the receiver looks for
//! them: where it has a program for XDP. If it has none, one that lets everything pass is put there
//! for as long as the generator lives, and what that costs is in the figure.

use std::time::Duration;

use aya::programs::{ProgramError, XdpMode};
use nix::errno::Errno;
use ringfence_controls::DRAWN;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::traffic::{Cores, End, Flow, Hop, SHORTEST_PAYLOAD};

use crate::kernel::{Control, Controls, MeasureError};

/// Frames that are sent at least: to know what one takes, and how many more to send.
const FEWEST: u32 = 4_096;

/// How many ports the frames come from, one after the other.
const PORTS: u16 = 4_096;

/// Frames from one address and many ports, sent by a program.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct LiveGenerator {
    controls: Controls,
    near: Namespace,
    frame: Vec<u8>,
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSent {
    /// Frames.
    pub frames: u64,
    /// How long it took, with all that was done with them on the sender's core.
    pub took: Duration,
}

impl LiveGenerator {
    /// One that sends from `near` to `far` over the wire between them, from 4,096 ports in a row: the
    /// flow's own is the first.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    ///
    /// # Panics
    ///
    /// When the flow's port is so high that there are not enough above it, or its addresses are of
    /// different families.
    pub fn open(near: End<'_>, far: End<'_>, flow: Flow) -> Result<Self, MeasureError> {
        let (near_index, far_index) = (near.index()?, far.index()?);
        let mut controls = Controls::load(1)?;
        let opened = in_namespace(far.namespace, || {
            match controls
                .xdp_mut(Control::EmptyXdp)?
                .attach_to_if_index(far_index, XdpMode::Driver)
            {
                Err(error) if !is_taken(&error) => {
                    Err(MeasureError::refused("attach the empty program")(error))
                }
                // A program that is there opens the way as well.
                _ => Ok(()),
            }
        });
        opened?;
        let two_ports = |flow: &Flow| {
            let [a, b] = flow.source.port().to_be_bytes();
            let [c, d] = flow.destination.port().to_be_bytes();
            u32::from_ne_bytes([a, b, c, d])
        };
        let keys: Vec<u32> = flow.ports(PORTS).iter().map(two_ports).cycle().take(DRAWN).collect();
        let ports_offset = if flow.source.is_ipv4() { 14 + 20 } else { 14 + 40 };
        // Nobody makes its checksum anew for each port.
        let frame = flow.frame_without_checksum(Hop::between(near, far)?, SHORTEST_PAYLOAD);
        controls.prepare_routed_flood(ports_offset, &keys, near_index, &frame)?;
        let near = near.namespace.try_clone();
        let near = near.map_err(MeasureError::refused("keep a namespace"))?;
        Ok(Self { controls, near, frame })
    }

    /// Sends for about `time`, and a few thousand frames at least, from `core`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn send(&self, core: usize, time: Duration) -> Result<LiveSent, MeasureError> {
        let first = self.send_frames(core, FEWEST)?;
        let ratio = time.as_secs_f64() / first.took.as_secs_f64() - 1.0;
        // Saturates: a time below that of the first frames is over.
        let rest = (ratio * f64::from(FEWEST)) as u32;
        if rest == 0 {
            return Ok(first);
        }
        let second = self.send_frames(core, rest)?;
        Ok(LiveSent { frames: first.frames + second.frames, took: first.took + second.took })
    }

    /// Sends so many frames from `core`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn send_frames(&self, core: usize, frames: u32) -> Result<LiveSent, MeasureError> {
        in_namespace(&self.near, || {
            Cores::pin(core)?;
            let ns =
                self.controls.program(Control::FloodRoutedXdp)?.run_live(&self.frame, frames)?;
            // The kernel tells whole nanoseconds; a frame takes a hundred at least.
            let took = Duration::from_nanos(ns.max(1)) * frames;
            Ok(LiveSent { frames: u64::from(frames), took })
        })
    }
}

/// Whether there is a program already.
fn is_taken(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else { return false };
    error.io_error.raw_os_error() == Some(Errno::EBUSY as i32)
}

fn in_namespace<T: Send>(
    namespace: &Namespace,
    work: impl FnOnce() -> Result<T, MeasureError> + Send,
) -> Result<T, MeasureError> {
    namespace.run(work).map_err(MeasureError::refused("enter a namespace"))?
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ringfence_testbed::lab::{
        Asked, Case, Contender, Family, INSIDE, Lab, Mismatch, Position, Tracking, Transport,
    };
    use ringfence_testbed::require;
    use ringfence_testbed::traffic::{Ends, Sink};

    use super::*;
    use crate::measure::counters;

    #[test]
    fn each_frame_is_routed_like_the_first() {
        let Some(_granted) = require::kernel() else { return };
        let mut lab = Lab::new().unwrap();
        let core = Cores::two().unwrap().client;
        for family in [Family::V4, Family::V6] {
            let case = Case {
                contender: Contender::None,
                rules: 0,
                position: Position::Last,
                mismatch: Mismatch::Address,
                tracking: Tracking::Stateless,
                family,
            };
            lab.install(Asked { case, transport: Transport::Udp }, Duration::from_secs(60))
                .unwrap();
            let (from, to) = (Lab::source(case), Lab::target(case));
            let ends = Ends { client: lab.client(), from, server: lab.server(), to };
            let mut sink = Sink::new(&ends).unwrap();
            let received = || counters::received(lab.server(), INSIDE).unwrap();
            let before = received();
            let flow = Flow { source: SocketAddr::new(from, 20_000), destination: to };
            let near = End { namespace: lab.client(), interface: INSIDE };
            let far = End { namespace: lab.router(), interface: &lab.uplink().name };
            let live = LiveGenerator::open(near, far, flow).unwrap();
            // More than the hops that a frame has.
            let sent = live.send_frames(core, 10_000).unwrap();
            assert!(sent.frames == 10_000 && sent.took > Duration::ZERO, "{sent:?}");
            // Without a checksum a socket takes datagrams of IPv4 only.
            let taken = if family == Family::V4 { 10_000 } else { 0 };
            assert_eq!(sink.wait_for(taken, Duration::from_secs(5)).unwrap(), taken);
            assert!(received() - before >= 10_000, "{family:?}: {}", received() - before);
        }
    }
}
