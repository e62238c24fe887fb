//! Packets of two senders, sent steadily and counted where they arrive.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::MeasureError;
use crate::measure::scene::{STRANGER, Scene, peer};

/// Time from one packet of a sender to its next.
pub const PERIOD: Duration = Duration::from_micros(200);

/// Flows of each sender, which take turns.
const FLOWS: usize = 64;

/// Packets of each sender before the first change.
const BEFORE: u64 = 20;

/// How long the last packets may be under way.
const LAST: Duration = Duration::from_millis(100);

/// What was sent, and what has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets that are let in.
    pub allowed: u64,
    /// How many of them have arrived.
    pub arrived: u64,
    /// Packets that are not let in.
    pub denied: u64,
    /// How many of them have arrived nevertheless.
    pub let_through: u64,
}

impl Count {
    /// Packets that are let in and have not arrived.
    pub fn lost(&self) -> u64 {
        self.allowed.saturating_sub(self.arrived)
    }
}

/// Senders that are ready.
pub struct Flood<'s> {
    scene: &'s Scene,
    allowed: Sender,
    denied: Sender,
}

struct Sender {
    kind: u64,
    flows: Vec<UdpSocket>,
}

impl<'s> Flood<'s> {
    pub fn new(scene: &'s Scene) -> Result<Self, MeasureError> {
        let sender = |from: Ipv4Addr| {
            let flows = (0..FLOWS).map(|_| scene.socket(from)).collect::<Result<_, _>>()?;
            Ok::<_, MeasureError>(Sender { kind: scene.new_kind(), flows })
        };
        let (allowed, denied) = (sender(peer(scene.rules() / 2))?, sender(STRANGER)?);
        Ok(Self { scene, allowed, denied })
    }

    /// Sends while `work` is done, and some packets before and after; what became of them, and what
    /// the work gave.
    ///
    /// # Errors
    ///
    /// What `work` says; [`MeasureError`] when packets cannot be sent.
    pub fn during<T>(
        &self,
        work: impl FnOnce() -> Result<T, MeasureError>,
    ) -> Result<(Count, T), MeasureError> {
        let (is_ready, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                self.scene.stay_with_client()?;
                self.send(&is_ready, &is_over)
            });
            while !is_ready.load(Ordering::Acquire) && !sending.is_finished() {
                thread::sleep(Duration::from_micros(100));
            }
            let worked = work();
            is_over.store(true, Ordering::Release);
            let count = sending.join();
            let worked = worked?;
            let count = count.map_err(|_| MeasureError::wrong("the client", "it panicked"))??;
            Ok((count, worked))
        })
    }

    fn send(&self, is_ready: &AtomicBool, is_over: &AtomicBool) -> Result<Count, MeasureError> {
        let mut count = Count::default();
        let mut due = Instant::now();
        while !is_over.load(Ordering::Acquire) || count.allowed < BEFORE {
            let flow = count.allowed as usize % FLOWS;
            for Sender { kind, flows } in [&self.allowed, &self.denied] {
                self.scene.send(&flows[flow], *kind, count.allowed)?;
            }
            count.allowed += 1;
            count.denied += 1;
            if count.allowed == BEFORE {
                is_ready.store(true, Ordering::Release);
            }
            // A late packet is not made up for: no bursts.
            due = (due + PERIOD).max(Instant::now());
            self.take(&mut count)?;
            while Instant::now() < due {
                std::hint::spin_loop();
            }
        }
        let sent = Instant::now();
        while sent.elapsed() < LAST && count.lost() > 0 || sent.elapsed() < self.scene.under_way() {
            self.take(&mut count)?;
        }
        Ok(count)
    }

    /// Counts what has arrived.
    fn take(&self, count: &mut Count) -> Result<(), MeasureError> {
        while let Some((kind, _)) = self.scene.receive()? {
            if kind == self.allowed.kind {
                count.arrived += 1;
            } else if kind == self.denied.kind {
                count.let_through += 1;
            }
        }
        Ok(())
    }
}
