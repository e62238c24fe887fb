//! The first packet that obeys.
//!
//! While policy changes, the client sends one packet after the other, as fast as it goes, and looks
//! after each what has arrived. A packet's time is when its sending is over: where the kernel filters it
//! has been decided by then. A packet that arrives
//! though it was denied before obeys the new policy; where the new policy denies, the first packet
//! that obeys is the one after the last that arrives. The figure is as fine as the time from one
//! packet to the next.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Scene;
use super::policies::newcomer;
use crate::kernel::MeasureError;
use crate::measure::contender::Call;

/// Packets before a change, which all have to obey the old policy.
const BEFORE: u64 = 50;

/// Packets after a change that all have to obey the new one.
const AFTER: u64 = 50;

/// How long after a change the first packet may obey.
const PATIENCE: Duration = Duration::from_secs(2);

/// Packets whose times are known.
const KNOWN: usize = 1 << 16;

/// Makes `change` while the client sends packets, which are to be let in afterwards or not, and were
/// not or were before; how long after its beginning the first packet obeyed.
///
/// # Errors
///
/// What `change` says; [`MeasureError::Wrong`] when packets obey too early, or never.
pub fn watch(
    scene: &Scene,
    is_let_in: bool,
    change: impl FnOnce() -> Result<Call, MeasureError>,
) -> Result<Duration, MeasureError> {
    let socket = scene.socket(newcomer(0))?;
    let (is_ready, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            scene.stay_with_client()?;
            Stream::new(scene, &socket).watch(is_let_in, &is_ready, &is_over)
        });
        while !is_ready.load(Ordering::Acquire) && !watching.is_finished() {
            thread::sleep(Duration::from_micros(100));
        }
        let changed = change();
        is_over.store(true, Ordering::Release);
        let seen = watching.join();
        let Call { began, .. } = changed?;
        let seen = seen.map_err(|_| MeasureError::wrong("the client", "it panicked"))??;
        // A filter in user space may have been given the packet before the change.
        if began.saturating_duration_since(seen) > scene.given_before() {
            return Err(MeasureError::wrong("a packet", "it obeyed before the change"));
        }
        Ok(seen.saturating_duration_since(began))
    })
}

/// Numbered packets, and what has arrived of them.
struct Stream<'s> {
    scene: &'s Scene,
    socket: &'s UdpSocket,
    kind: u64,
    /// When packets were sent, by number.
    times: Vec<Instant>,
    next: u64,
    arrived: u64,
    /// When the first that has arrived was sent.
    first: Option<Instant>,
    last: Option<u64>,
    /// When the one after the last that has arrived was sent.
    after_last: Option<Instant>,
}

impl<'s> Stream<'s> {
    fn new(scene: &'s Scene, socket: &'s UdpSocket) -> Self {
        let times = vec![Instant::now(); KNOWN];
        let (first, last, after_last) = (None, None, None);
        let kind = scene.new_kind();
        Self { scene, socket, kind, times, next: 0, arrived: 0, first, last, after_last }
    }

    /// Sends until the change is over and some packets more have obeyed; when the first that
    /// obeyed was sent.
    fn watch(
        mut self,
        is_let_in: bool,
        is_ready: &AtomicBool,
        is_over: &AtomicBool,
    ) -> Result<Instant, MeasureError> {
        let begin = Instant::now();
        while self.next < BEFORE || self.arrived < BEFORE && !is_let_in {
            self.step()?;
            if is_let_in && self.arrived > 0 || begin.elapsed() > PATIENCE {
                let why = "packets before a change do not obey the policy before";
                return Err(MeasureError::wrong("the filter", why));
            }
        }
        is_ready.store(true, Ordering::Release);
        while !is_over.load(Ordering::Acquire) {
            self.step()?;
        }
        let over = Instant::now();
        match is_let_in {
            true => self.see_them_arrive(over),
            false => self.see_none_arrive(over),
        }
    }

    fn see_them_arrive(mut self, over: Instant) -> Result<Instant, MeasureError> {
        let wanted = self.arrived + AFTER;
        while self.arrived < wanted {
            self.step()?;
            if over.elapsed() > PATIENCE {
                return Err(never("no packet is let in"));
            }
        }
        self.first.ok_or_else(|| never("no packet is let in"))
    }

    fn see_none_arrive(mut self, over: Instant) -> Result<Instant, MeasureError> {
        let (mut arrived, mut since, mut sent) = (self.arrived, Instant::now(), self.next);
        while self.next < sent + AFTER || since.elapsed() < self.scene.under_way() {
            self.step()?;
            if self.arrived != arrived {
                (arrived, since, sent) = (self.arrived, Instant::now(), self.next);
            }
            if over.elapsed() > PATIENCE {
                return Err(never("packets are let in still"));
            }
        }
        self.after_last.ok_or_else(|| never("packets are let in still"))
    }

    /// Sends one packet, and takes those that have arrived.
    fn step(&mut self) -> Result<(), MeasureError> {
        let number = self.next;
        self.scene.send(self.socket, self.kind, number)?;
        let now = Instant::now();
        self.times[number as usize % KNOWN] = now;
        if self.last.is_some_and(|last| last + 1 == number) {
            self.after_last = Some(now);
        }
        self.next += 1;
        let before = self.arrived;
        loop {
            while let Some((kind, arrived)) = self.scene.receive()? {
                if kind == self.kind && arrived < self.next {
                    self.take(arrived);
                }
            }
            if self.arrived > before || now.elapsed() >= self.scene.pace() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, number: u64) {
        self.arrived += 1;
        self.first.get_or_insert(self.times[number as usize % KNOWN]);
        if self.last.is_none_or(|last| last < number) {
            self.last = Some(number);
            let is_sent = number + 1 < self.next;
            self.after_last = is_sent.then(|| self.times[(number + 1) as usize % KNOWN]);
        }
    }
}

fn never(what: &str) -> MeasureError {
    MeasureError::wrong("the filter", format!("{what} {PATIENCE:?} after the change"))
}
