//! Verdict events from the ring buffer.

use aya::maps::{MapData, RingBuf};
use ringfence_common::abi::event::Event;
use zerocopy::FromBytes as _;

use super::Maps;

/// The stream of events. There is one ring buffer: two readers share its events.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Events {
    ring: RingBuf<MapData>,
}

impl Maps {
    /// The events of these maps; they can be taken once.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take().map(|ring| Events { ring })
    }
}

impl Events {
    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            let item = self.ring.next()?;
            // Whatever is not as long as an event was not written by programs of this layout.
            if let Ok(event) = Event::read_from_bytes(&item) {
                return Some(event);
            }
        }
    }
}
