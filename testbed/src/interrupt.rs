//! Ctrl-C.

use std::io;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// From now on each SIGINT and each SIGTERM runs `work`, on a thread of its own, instead of ending
/// the process. They also do where whoever started the process had them ignored, as shells do for
/// commands in the background. Call this before any other thread is started.
///
/// # Errors
///
/// When the signals cannot be blocked or the thread not be started.
pub fn on_interrupt(mut work: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Threads started later inherit the mask, so the signals reach the waiting thread alone.
    signals.thread_block()?;
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        // The wait fails only when interrupted by a signal that is not waited for.
        loop {
            if let Ok(signal) = signals.wait() {
                work(signal);
            }
        }
    })?;
    Ok(())
}
