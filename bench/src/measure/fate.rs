//! What has to become of the packets that are measured.

use ringfence_testbed::lab::{Case, Position};

/// What has to become of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of them arrive.
    Arrives,
    /// None does.
    Denied,
}

impl Fate {
    /// That of the packets of `case`: what no rule allows is denied, where something filters.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let is_denied = case.position == Position::None && !case.contender.is_control();
        if is_denied { Self::Denied } else { Self::Arrives }
    }

    /// How many of `sent` packets have to arrive.
    #[must_use]
    pub fn arrivals(self, sent: u64) -> u64 {
        match self {
            Self::Arrives => sent,
            Self::Denied => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_testbed::lab::{Contender, Family, Mismatch, Tracking};

    use super::*;

    #[test]
    fn only_a_filter_denies() {
        let case = |contender, position| Case {
            contender,
            rules: 10,
            position,
            mismatch: Mismatch::Address,
            tracking: Tracking::New,
            family: Family::V4,
        };
        assert_eq!(Fate::of(&case(Contender::EbpfTcx, Position::None)), Fate::Denied);
        assert_eq!(Fate::of(&case(Contender::EbpfTcx, Position::Last)), Fate::Arrives);
        assert_eq!(Fate::of(&case(Contender::EmptyTcx, Position::None)), Fate::Arrives);
        assert_eq!((Fate::Denied.arrivals(7), Fate::Arrives.arrivals(7)), (0, 7));
    }
}
