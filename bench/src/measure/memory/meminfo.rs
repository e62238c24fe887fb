//! What the kernel has given itself.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::kernel::MeasureError;

/// The parts of `/proc/meminfo` in which rules are: small pieces, large ones, and those that each
/// CPU has of its own.
const PARTS: [&str; 3] = ["SUnreclaim:", "VmallocUsed:", "Percpu:"];

/// Two readings that differ by no more than this are the same.
const ALIKE: u64 = 32 << 10;

/// How long to wait between two readings, and how many there are at most. What rules have left is
/// freed later than the tool ends: after a grace period, or by a worker.
const PAUSE: Duration = Duration::from_millis(50);
const READINGS: usize = 20;

/// Bytes, once they change no more.
///
/// # Errors
///
/// [`MeasureError::Refused`] when they cannot be read.
pub fn settled() -> Result<u64, MeasureError> {
    let mut last = now()?;
    for _ in 0..READINGS {
        sleep(PAUSE);
        let next = now()?;
        if next.abs_diff(last) <= ALIKE {
            return Ok(next);
        }
        last = next;
    }
    // Somebody else is busy; the rounds will differ and show it.
    Ok(last)
}

fn now() -> Result<u64, MeasureError> {
    // Each CPU keeps what it has counted last to itself; reading this makes them tell. Where that is
    // not permitted the reading is the coarser for it.
    let _ = fs::read("/proc/sys/vm/stat_refresh");
    let path = "/proc/meminfo";
    let text = fs::read_to_string(path).map_err(MeasureError::refused(format!("read `{path}`")))?;
    sum(&text).ok_or_else(|| MeasureError::wrong(path, format!("it has not all of {PARTS:?}")))
}

/// The sum of the parts, which are told in KiB.
fn sum(text: &str) -> Option<u64> {
    let part = |name: &&str| {
        let value = text.lines().find_map(|line| line.strip_prefix(*name))?;
        value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    PARTS.iter().map(part).sum::<Option<u64>>().map(|kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_found_by_name_and_added() {
        let text = "MemTotal: 100 kB\nSUnreclaim:    10 kB\nVmallocTotal: 9 kB\n\
                    VmallocUsed:   4 kB\nPercpu:   2 kB\n";
        assert_eq!(sum(text), Some(16 << 10));
        assert_eq!(sum("SUnreclaim: 10 kB\nVmallocUsed: 4 kB\n"), None);
    }
}
