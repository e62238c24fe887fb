//! Short waits.
//!
//! The kernel waits for a grace period of RCU after each hook that is attached or detached and after
//! each map that is put into an array of maps, about ten milliseconds, for hooks under a lock that
//! lets only one wait at a time: with a thousand interfaces that is half a minute. Its setting
//! `/sys/kernel/rcu_expedited` (Documentation/RCU) makes the waits a few ten microseconds; it is on
//! only while we wait, and a mark, beside our pins where there are any, lets the next run switch it
//! off where this one was killed. Where the setting cannot be written, the work takes longer and
//! does the same.

use std::fs;
use std::path::{Path, PathBuf};

use super::Pins;

const SETTING: &str = "/sys/kernel/rcu_expedited";

/// Hooks from which on it is worth it.
const MANY: usize = 16;

/// Grace periods are short while this lives.
#[derive(Debug)]
pub(super) struct Expedited {
    mark: PathBuf,
}

impl Expedited {
    /// Makes grace periods short if `hooks` are many, and nobody has done so already.
    pub(super) fn for_hooks(pins: &Pins, hooks: usize) -> Option<Self> {
        let mark = mark(pins);
        if hooks < MANY {
            recover(&mark);
            return None;
        }
        Self::begin(mark)
    }

    /// Makes grace periods short, if nobody has done so already.
    pub(super) fn begin(mark: PathBuf) -> Option<Self> {
        recover(&mark);
        let is_off = fs::read_to_string(SETTING).is_ok_and(|setting| setting.trim() == "0");
        if !is_off || fs::create_dir(&mark).is_err() {
            return None;
        }
        if fs::write(SETTING, "1").is_err() {
            // Not ours to write: nothing was changed.
            let _ = fs::remove_dir(&mark);
            return None;
        }
        Some(Self { mark })
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        // We have switched it on. Another run may have taken our mark for one that was left, so the
        // mark is not asked.
        let _ = fs::write(SETTING, "0");
        let _ = fs::remove_dir(&self.mark);
    }
}

/// Switches the setting off if the mark says that we have switched it on.
fn recover(mark: &Path) {
    if mark.is_dir() && fs::write(SETTING, "0").is_ok() {
        // Without the mark the setting is somebody else's.
        let _ = fs::remove_dir(mark);
    }
}

/// The mark beside pins.
pub(super) fn mark(pins: &Pins) -> PathBuf {
    pins.root().join("rcu-expedited")
}

/// The mark of maps without pins, which end with the process.
pub(super) fn mark_without_pins() -> PathBuf {
    PathBuf::from("/run/ringfence-rcu-expedited")
}
