//! Verdict events from the ring buffer.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ringfence_common::abi::event::Event;
use zerocopy::FromBytes as _;

use super::{EbpfError, Maps};

/// Longest single wait; a caller's longer one is made of several.
const SLICE: Duration = Duration::from_secs(1);

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

    /// The next event, or nothing after `timeout`.
    ///
    /// # Errors
    ///
    /// [`EbpfError::File`] when the ring buffer cannot be waited for.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Event>, EbpfError> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(event) = self.try_next() {
                return Ok(Some(event));
            }
            let left = until.saturating_duration_since(Instant::now()).min(SLICE);
            if left.is_zero() {
                return Ok(None);
            }
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, wait) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => {
                    let path = "the ring buffer".as_ref();
                    return Err(EbpfError::file("wait for", path)(error.into()));
                }
            }
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
