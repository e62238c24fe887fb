//! Which processor does what.
//!
//! A measurement keeps its work on one processor and everything else away from it, as far as a
//! process can: what the kernel and others do there it cannot know.

use std::fs;
use std::io;

use nix::unistd::Pid;

use super::LabError;
use crate::affinity;

/// The processors that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Where the measured work is done: the last one, since others' work tends to be on the first.
    pub measured: usize,
    /// The rest, ascending; none on a machine with one processor.
    pub others: Vec<usize>,
}

impl Cores {
    /// Those that the calling thread may use, and the threads that it has started. Ask before
    /// anything is pinned.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`].
    pub fn of_this_process() -> Result<Self, LabError> {
        let refused = || LabError::refused::<nix::Error>("say which processors may be used");
        // The main thread's, whichever thread asks.
        let mut others = affinity::allowed(Pid::this()).map_err(refused())?;
        let measured = others.pop().ok_or(nix::Error::ENODEV).map_err(refused())?;
        Ok(Self { measured, others })
    }

    /// The first of the others; the measured one where it is the only one.
    #[must_use]
    pub fn other(&self) -> usize {
        self.others.first().copied().unwrap_or(self.measured)
    }
}

/// Keeps the calling thread on `core`, and those that it starts from now on.
///
/// # Errors
///
/// [`LabError::Refused`], for instance where there is no such processor.
pub fn pin_to(core: usize) -> Result<(), LabError> {
    pin_to_any(&[core])
}

/// Keeps the calling thread on `cores`, and those that it starts from now on.
///
/// # Errors
///
/// [`LabError::Refused`], for instance where there is no such processor.
pub fn pin_to_any(cores: &[usize]) -> Result<(), LabError> {
    let refused = LabError::refused(format!("keep a thread on the processors {cores:?}"));
    affinity::keep_on(cores).map_err(refused)
}

/// Has `core` work on what arrives on `interface` of the calling thread's host, whoever sent it;
/// nothing leaves it to the sender's processor, as it is by default (Receive Packet Steering, Linux
/// `Documentation/networking/scaling.rst`).
pub(super) fn steer(interface: &str, core: Option<usize>) -> io::Result<()> {
    let mask = core.map_or_else(|| "0".to_owned(), mask);
    for queue in fs::read_dir(format!("/sys/class/net/{interface}/queues"))? {
        let queue = queue?;
        if queue.file_name().to_string_lossy().starts_with("rx-") {
            fs::write(queue.path().join("rps_cpus"), &mask)?;
        }
    }
    Ok(())
}

/// A mask with one processor as the kernel reads them: words of 32 bits in hexadecimal, the first
/// one last, commas between them.
fn mask(core: usize) -> String {
    let rest = ",00000000".repeat(core / 32);
    format!("{:x}{rest}", 1_u32 << (core % 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_words_of_32_bits() {
        assert_eq!(mask(0), "1");
        assert_eq!(mask(5), "20");
        assert_eq!(mask(31), "80000000");
        assert_eq!(mask(32), "1,00000000");
        assert_eq!(mask(65), "2,00000000,00000000");
    }

    #[test]
    fn the_measured_processor_is_none_of_the_others() {
        let cores = Cores::of_this_process().unwrap();
        assert!(!cores.others.contains(&cores.measured));
        assert!(cores.others.contains(&cores.other()) || cores.others.is_empty());
    }

    #[test]
    fn a_processor_that_is_not_there_is_an_error() {
        let refused = std::thread::spawn(|| pin_to(1_000_000)).join().unwrap();
        let said = refused.unwrap_err().said();
        assert!(said.contains("keep a thread on the processors"), "{said}");
    }
}
