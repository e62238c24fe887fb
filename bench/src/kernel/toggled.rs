//! One rule that changes to and fro.

use std::time::{Duration, Instant};

use ringfence_common::abi::policy::action;
use ringfence_dataplane::backend::How;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::host::difference::HostDiff;

use super::{Engine, MeasureError, Seat, returns};
use crate::workload::{Crowd, Place};

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toggle {
    /// The entry of a peer, which allows, denies.
    Verdict,
    /// The entry of a peer, which allows, goes.
    Presence,
}

/// The two differences between a crowd's tables and those in which one entry of peer `number` is
/// other: there and back.
///
/// # Panics
///
/// When there is no such peer.
#[must_use]
pub fn toggles(crowd: &Crowd, ifindex: u32, number: usize, toggle: Toggle) -> [HostDiff; 2] {
    let tables = crowd.host_tables(ifindex);
    let peer = crowd.identity(number);
    let mut other: HostTables = tables.clone();
    match toggle {
        Toggle::Verdict => {
            for (key, entry) in &mut other.policy {
                if key.peer == peer {
                    entry.action = action::DENY;
                }
            }
        }
        Toggle::Presence => other.policy.retain(|key, _| key.peer != peer),
    }
    [HostDiff::of(&tables, &other), HostDiff::of(&other, &tables)]
}

/// An engine whose policy for the first peer changes to and fro, at tc.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Toggled {
    engine: Engine,
    /// There, and back.
    diffs: [HostDiff; 2],
    /// Whether the peer may connect now.
    allows: bool,
    crowd: Crowd,
    /// The port that the peer has used last. Each packet opens a connection, so that nothing has to
    /// be forgotten between two changes: that would empty the processor's caches.
    port: u16,
    ifindex: u32,
}

const PLACE: Place = Place::WorkloadAtTc;

impl Toggled {
    /// Loads the engine with the policy of `crowd`, which is at tc and allows, and changes it to and
    /// fro once.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] as [`Toggled::toggle`].
    pub fn new(seat: &Seat, crowd: &Crowd, toggle: Toggle) -> Result<Self, MeasureError> {
        let ifindex = seat.ifindex();
        let mut engine = Engine::load(&[PLACE.inbound()])?;
        engine.install(&crowd.desired(ifindex))?;
        engine.expect_changes()?;
        let diffs = toggles(crowd, ifindex, 0, toggle);
        let (crowd, port) = (crowd.clone(), 0);
        let mut new = Self { engine, diffs, allows: true, crowd, port, ifindex };
        new.toggle()?;
        new.toggle()?;
        Ok(new)
    }

    /// Changes the peer's entry, and sees that the next packet is decided by it; how long the change
    /// took, and how it was made.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when the next packet is decided by the policy before.
    pub fn toggle(&mut self) -> Result<(Duration, How), MeasureError> {
        let diff = &self.diffs[usize::from(!self.allows)];
        self.allows = !self.allows;
        let begin = Instant::now();
        let how = self.engine.change(diff)?;
        let took = begin.elapsed();
        self.port = self.port.wrapping_add(1);
        if self.port == 0 {
            self.engine.forget()?;
            self.port = 1;
        }
        let first = self.crowd.syn_from(0, self.port);
        let program = self.engine.program(PLACE.inbound())?;
        let measured = program.run(&first, self.ifindex, 1)?;
        if measured.returned != returns(PLACE.inbound(), self.allows) {
            let why = "the packet after a change was decided by the policy before".to_owned();
            return Err(MeasureError::wrong("the engine", why));
        }
        Ok((took, how))
    }

    /// Has the kernel look through its tables of connections, which are larger than a core's caches.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] when they cannot be read.
    pub fn empty_caches(&mut self) -> Result<(), MeasureError> {
        self.engine.forget()
    }
}
