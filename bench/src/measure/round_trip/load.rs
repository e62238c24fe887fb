//! How much is asked of a way at a time.

use crate::record::variant;

/// Requests a second on an idle way: 200 µs apart, which is many times what one takes. A run of a
/// second has five that are slower than its percentile 99.9.
const UNLOADED: f64 = 5_000.0;

/// The most of a slow way's requests a second that leave it idle.
const IDLE_SHARE: f64 = 0.1;

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// So little that hardly a request waits for another.
    Unloaded,
    /// Half of what the way can do.
    Half,
    /// Nine tenths of it.
    NineTenths,
    /// A fifth more than it can do.
    Over,
}

impl Load {
    /// All of them, by size.
    pub const ALL: [Self; 4] = [Self::Unloaded, Self::Half, Self::NineTenths, Self::Over];

    /// What samples are called by, `steered` where the router works on another core than the client.
    #[must_use]
    pub const fn variant(self, steered: bool) -> &'static str {
        match (self, steered) {
            (Self::Unloaded, false) => variant::UNLOADED,
            (Self::Half, false) => variant::HALF,
            (Self::NineTenths, false) => variant::NEARLY_FULL,
            (Self::Over, false) => variant::OVERLOAD,
            (Self::Unloaded, true) => variant::STEERED_UNLOADED,
            (Self::Half, true) => variant::STEERED_HALF,
            (Self::NineTenths, true) => variant::STEERED_NEARLY_FULL,
            (Self::Over, true) => variant::STEERED_OVERLOAD,
        }
    }

    /// Requests a second on a way that can do `saturation`.
    #[must_use]
    pub fn per_second(self, saturation: f64) -> f64 {
        match self {
            Self::Unloaded => UNLOADED.min(IDLE_SHARE * saturation),
            Self::Half => 0.5 * saturation,
            Self::NineTenths => 0.9 * saturation,
            Self::Over => 1.2 * saturation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_way_is_idle_at_a_tenth_of_its_rate() {
        let rates = |saturation| Load::ALL.map(|load| load.per_second(saturation));
        assert_eq!(rates(200_000.0), [5_000.0, 100_000.0, 180_000.0, 240_000.0]);
        assert_eq!(rates(1_000.0), [100.0, 500.0, 900.0, 1_200.0]);
    }
}
