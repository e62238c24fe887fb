//! One rule that changes to and fro.

use std::time::{Duration, Instant};

use ringfence_common::abi::policy::action;
use ringfence_dataplane::backend::Desired;

use super::{Engine, MeasureError, Seat, returns};
use crate::workload::{Crowd, Place};

/// An engine whose policy for one peer changes to and fro, at tc.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Toggled {
    engine: Engine,
    /// The peer's entry denies, and allows.
    states: [Desired; 2],
    /// Whether it allows now.
    allows: bool,
    /// The peer's first packet.
    frame: Vec<u8>,
    ifindex: u32,
}

const PLACE: Place = Place::WorkloadAtTc;

impl Toggled {
    /// Loads the engine with the policy of `crowd`, which is at tc and denies, and changes it once
    /// to and fro.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] as [`Toggled::toggle`].
    pub fn new(seat: &Seat, crowd: &Crowd) -> Result<Self, MeasureError> {
        let denying = crowd.desired(seat.ifindex());
        let mut allowing = denying.clone();
        let first = crowd.identity(0);
        for (key, entry) in &mut allowing.tables.policy {
            if key.peer == first {
                entry.action = action::ALLOW;
            }
        }
        let mut engine = Engine::load(&[PLACE.inbound()])?;
        engine.install(&denying)?;
        let states = [denying, allowing];
        let (frame, ifindex) = (crowd.syn(0), seat.ifindex());
        let mut new = Self { engine, states, allows: false, frame, ifindex };
        new.toggle()?;
        new.toggle()?;
        Ok(new)
    }

    /// Changes the peer's entry, and sees that the next packet is decided by it; how long the change
    /// took.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when the next packet is decided by the policy before.
    pub fn toggle(&mut self) -> Result<Duration, MeasureError> {
        self.allows = !self.allows;
        let begin = Instant::now();
        self.engine.change(&self.states[usize::from(self.allows)])?;
        let took = begin.elapsed();
        let program = self.engine.program(PLACE.inbound())?;
        let measured = program.run(&self.frame, self.ifindex, 1)?;
        self.engine.maps().forget_state()?;
        if measured.returned != returns(PLACE.inbound(), self.allows) {
            let why = "the packet after a change was decided by the policy before".to_owned();
            return Err(MeasureError::wrong("the engine", why));
        }
        Ok(took)
    }
}
