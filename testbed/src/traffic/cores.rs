//! Which thread runs on which core.

use std::panic;
use std::thread;

use super::TrafficError;
use crate::affinity;

/// The cores of a measurement with two threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Where requests are sent.
    pub client: usize,
    /// Where they are answered; the client's own where one thread does both by turns.
    pub server: usize,
}

impl Cores {
    /// The client on the last core that the process may use, the server on the one before: others'
    /// work tends to be on the first.
    ///
    /// # Errors
    ///
    /// [`TrafficError::TooFewCores`] with only one; [`TrafficError::Refused`].
    pub fn two() -> Result<Self, TrafficError> {
        let allowed = Self::allowed()?;
        match allowed.as_slice() {
            [.., server, client] => Ok(Self { client: *client, server: *server }),
            _ => Err(TrafficError::TooFewCores { needed: 2, allowed: allowed.len() }),
        }
    }

    /// Both ends on the client's core: the server's is free for what is between them.
    #[must_use]
    pub fn together(self) -> Self {
        Self { server: self.client, ..self }
    }

    /// The cores that the calling thread may use, in order.
    ///
    /// # Errors
    ///
    /// [`TrafficError::Refused`].
    pub fn allowed() -> Result<Vec<usize>, TrafficError> {
        let refused = TrafficError::refused("ask for the cores of this thread");
        affinity::allowed(affinity::THIS_THREAD).map_err(refused)
    }

    /// Keeps the calling thread, and those that it starts from now on, on one core.
    ///
    /// # Errors
    ///
    /// [`TrafficError::Refused`] when it may not use that core.
    pub fn pin(core: usize) -> Result<(), TrafficError> {
        let refused = TrafficError::refused(format!("stay on core {core}"));
        affinity::keep_on(&[core]).map_err(refused)
    }

    /// Runs `work` on a thread that stays on `core`, and waits for it. A panic of `work` goes on in
    /// the caller.
    ///
    /// # Errors
    ///
    /// That of `work`; [`TrafficError::Refused`] when there is no such thread.
    pub fn run_on<T: Send, E: From<TrafficError> + Send>(
        core: usize,
        work: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<T, E> {
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .name(format!("core {core}"))
                .spawn_scoped(scope, || {
                    Self::pin(core)?;
                    work()
                })
                .map_err(TrafficError::refused("start a thread"))?;
            thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_core() {
        let last = *Cores::allowed().unwrap().last().unwrap();
        let (allowed, two) =
            Cores::run_on(last, || Ok::<_, TrafficError>((Cores::allowed()?, Cores::two())))
                .unwrap();
        assert_eq!(allowed, [last]);
        assert!(matches!(two, Err(TrafficError::TooFewCores { needed: 2, allowed: 1 })));
    }
}
