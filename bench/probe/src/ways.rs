//! The ways of packets through the programs, counted so that chance has no part in it.
//!
//! Each load of policy draws a seed, by which entries get their places in the tables; a packet whose
//! entries are in the second of two places has a longer way. So the policy is loaded many times, the
//! packets of several peers take their ways, and the shortest counts: the one on which every entry
//! was found at the first look.
//!
//! A packet that opens a connection has a longer way, too, where there has been one of its kind
//! before, even if that is forgotten. So such ways are followed in programs that have seen none, and
//! each peer only once.

use ringfence_bench::kernel::{Contents, Engine, Marked, MeasureError, Seat, Way, returns};
use ringfence_bench::workload::{Crowd, Entry, Family, Place};
use ringfence_common::abi::config::Hook;

/// Policy entries.
const ENTRIES: usize = 200;

/// Loads of policy, and peers whose packets are followed in each. With as few as one shortest way in
/// sixteen, one run in ten thousand finds none.
const LOADS: usize = 40;
const PEERS: usize = 4;
/// The peer of the first packet after a load, which fills what is remembered of the place.
const FIRST: usize = ENTRIES - 1;
const _: () = assert!(LOADS * PEERS < ENTRIES);

/// A packet that takes its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// First, and denied by an entry.
    Denied,
    /// First, and allowed by an entry: its connection is remembered.
    New,
    /// Of a connection that is known.
    Established,
}

impl Passage {
    /// All, with what they are called.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Denied, "denied first packet"),
        (Self::New, "allowed first packet"),
        (Self::Established, "established"),
    ];
}

/// The engine at one place, with programs that tell which way packets take.
pub struct Ways {
    engine: Engine,
    inbound: Marked,
    outbound: Marked,
    place: Place,
    ifindex: u32,
}

impl Ways {
    /// Loads the programs.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] when the kernel refuses.
    pub fn new(seat: &Seat, place: Place) -> Result<Self, MeasureError> {
        Self::load(seat.ifindex(), place)
    }

    fn load(ifindex: u32, place: Place) -> Result<Self, MeasureError> {
        let engine = Engine::load(&[place.inbound(), place.outbound()])?;
        let inbound = Marked::load(&engine, place.inbound())?;
        let outbound = Marked::load(&engine, place.outbound())?;
        Ok(Self { engine, inbound, outbound, place, ifindex })
    }

    /// What is on the shortest way of such a packet.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when one is decided otherwise; else as [`Ways::new`].
    pub fn shortest(&mut self, family: Family, passage: Passage) -> Result<Contents, MeasureError> {
        let entry = if passage == Passage::Denied { Entry::Deny } else { Entry::Allow };
        let crowd = Crowd::new(self.place, family, entry, ENTRIES);
        let desired = crowd.desired(self.ifindex);
        if passage == Passage::New {
            *self = Self::load(self.ifindex, self.place)?;
        }
        let mut shortest: Option<Contents> = None;
        for load in 0..LOADS {
            self.engine.maps()?.start_again()?;
            self.engine.install(&desired)?;
            self.engine.forget()?;
            self.followed(&crowd, passage, FIRST)?;
            for peer in 0..PEERS {
                let way = self.followed(&crowd, passage, PEERS * load + peer)?;
                let is_shorter = |known: &Contents| {
                    (way.calls, way.instructions) < (known.calls, known.instructions)
                };
                if shortest.as_ref().is_none_or(is_shorter) {
                    shortest = Some(way);
                }
            }
        }
        shortest.ok_or_else(|| MeasureError::wrong("following packets", "there was none"))
    }

    /// The way of a packet of one peer.
    fn followed(
        &self,
        crowd: &Crowd,
        passage: Passage,
        peer: usize,
    ) -> Result<Contents, MeasureError> {
        if passage != Passage::Established {
            return self.inbound(&crowd.syn(peer), passage != Passage::Denied);
        }
        self.inbound(&crowd.syn(peer), true)?;
        let answer = self.outbound.way(&crowd.answer(peer), self.ifindex)?;
        check(&answer, self.place.outbound(), true)?;
        // The second one finds what the first has remembered.
        self.inbound(&crowd.acknowledgement(peer), true)?;
        self.inbound(&crowd.acknowledgement(peer), true)
    }

    fn inbound(&self, frame: &[u8], passes: bool) -> Result<Contents, MeasureError> {
        let way = self.inbound.way(frame, self.ifindex)?;
        check(&way, self.place.inbound(), passes)?;
        Ok(way.contents)
    }
}

/// That a packet that was seen at `hook` has passed, or has not.
fn check(way: &Way, hook: Hook, passes: bool) -> Result<(), MeasureError> {
    if way.returned == returns(hook, passes) {
        return Ok(());
    }
    let why = format!("a packet at {hook:?} gave {}", way.returned);
    Err(MeasureError::wrong("the program with marks", why))
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::require;

    use super::*;

    #[test]
    fn the_shortest_way_is_the_same_whatever_seeds_are_drawn() {
        let Some(_granted) = require::kernel() else { return };
        let seat = Seat::take().unwrap();
        let mut ways = Ways::new(&seat, Place::WorkloadAtTc).unwrap();
        let mut twice = |passage| {
            let way = ways.shortest(Family::V4, passage).unwrap();
            assert_eq!(ways.shortest(Family::V4, passage).unwrap(), way, "{passage:?}");
            way
        };
        let [denied, new, established] =
            [Passage::Denied, Passage::New, Passage::Established].map(&mut twice);
        // A new connection is written to a map; the others need no call of the kernel.
        assert_eq!((denied.calls, established.calls), (0, 0));
        assert!(new.calls > 0 && new.instructions > denied.instructions);
        assert!(established.instructions < denied.instructions);
    }
}
