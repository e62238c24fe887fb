//! Which cores a thread may use, and keeping it on some of them.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread.
pub const THIS_THREAD: Pid = Pid::from_raw(0);

/// The cores that `thread` may use, ascending.
///
/// # Errors
///
/// The kernel's, for instance where there is no such thread.
pub fn allowed(thread: Pid) -> nix::Result<Vec<usize>> {
    let set = sched_getaffinity(thread)?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

/// Keeps the calling thread on `cores`, and those that it starts from now on.
///
/// # Errors
///
/// The kernel's, for instance where there is no such core or the thread may not use it.
pub fn keep_on(cores: &[usize]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|core| set.set(*core))?;
    sched_setaffinity(THIS_THREAD, &set)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_and_those_that_it_starts_stay_where_they_are_kept() {
        let last = *allowed(THIS_THREAD).unwrap().last().unwrap();
        let inside = thread::spawn(move || {
            keep_on(&[last]).unwrap();
            thread::spawn(|| allowed(THIS_THREAD).unwrap()).join().unwrap()
        });
        assert_eq!(inside.join().unwrap(), [last]);
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        let refused = thread::spawn(|| keep_on(&[CpuSet::count() - 1])).join().unwrap();
        assert_eq!(refused, Err(nix::Error::EINVAL));
    }
}
