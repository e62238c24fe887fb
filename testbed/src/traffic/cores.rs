//! Which thread runs on which core.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::TrafficError;

/// The cores of a measurement with two threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Where requests are sent.
    pub client: usize,
    /// Where they are answered.
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

    /// The cores that the calling thread may use, in order.
    ///
    /// # Errors
    ///
    /// [`TrafficError::Refused`].
    pub fn allowed() -> Result<Vec<usize>, TrafficError> {
        let set = sched_getaffinity(Pid::from_raw(0))
            .map_err(TrafficError::refused("ask for the cores of this thread"))?;
        Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
    }

    /// Keeps the calling thread, and those that it starts from now on, on one core.
    ///
    /// # Errors
    ///
    /// [`TrafficError::Refused`] when it may not use that core.
    pub fn pin(core: usize) -> Result<(), TrafficError> {
        let mut one = CpuSet::new();
        one.set(core)
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &one))
            .map_err(TrafficError::refused(format!("stay on core {core}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_core() {
        let last = *Cores::allowed().unwrap().last().unwrap();
        let pinned = std::thread::spawn(move || {
            Cores::pin(last).unwrap();
            (Cores::allowed().unwrap(), Cores::two())
        });
        let (allowed, two) = pinned.join().unwrap();
        assert_eq!(allowed, [last]);
        assert!(matches!(two, Err(TrafficError::TooFewCores { needed: 2, allowed: 1 })));
    }
}
