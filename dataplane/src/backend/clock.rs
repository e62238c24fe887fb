//! Time as the decision counts it: in ticks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use ringfence_common::abi::flow::TICK_SHIFT;

/// The whole ticks in `time` ([`ringfence_common::abi::flow::TICK_SHIFT`]), counted round like
/// the programs count them: in 32 bits.
#[must_use]
pub const fn ticks_in(time: Duration) -> u32 {
    (time.as_nanos() >> TICK_SHIFT) as u32
}

/// Now, in ticks of the clock that the kernel's programs read (`bpf_ktime_get_ns`).
///
/// # Errors
///
/// What `clock_gettime` says when it refuses.
pub fn now() -> nix::Result<u32> {
    Ok(ticks_in(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into()))
}

/// Now, in nanoseconds since 1970 (UTC); 0 before.
#[must_use]
pub fn since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
