//! Steps that can be seen from outside, counted, so that tests can end a change after any of them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::EbpfError;

/// The steps of one set of maps: stores into their memory, and calls of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    left: Arc<AtomicU64>,
}

impl Steps {
    /// As many as there may be.
    pub(super) fn unlimited() -> Self {
        Self { left: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Lets so many succeed and no more.
    pub(super) fn limit(&self, steps: u64) {
        self.left.store(steps, Relaxed);
    }

    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }

    /// Before each step.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Stopped`] when none is left.
    pub(super) fn take(&self) -> Result<(), EbpfError> {
        let taken = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        taken.map(drop).map_err(|_| EbpfError::Stopped)
    }
}
