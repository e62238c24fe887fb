//! What a claim comes to.

use std::fmt;

use crate::record::number;

/// What a claim, or one reading of it, comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is so.
    Holds,
    /// It is so of what it seems to speak of, and not of something else.
    HoldsBut(String),
    /// What is claimed is so many times too much.
    TooHigh(f64),
    /// What is claimed is at least so many times too much: what was measured is within its error.
    TooHighAtLeast(f64),
    /// What is claimed is so many times too little.
    TooLow(f64),
    /// It is not so; with what is so instead.
    Wrong(String),
    /// It is not so of what it seems to speak of, but of something else.
    TrueOf(String, Box<Verdict>),
    /// There are no samples.
    NotMeasured,
    /// It cannot be measured here; with the reason.
    OutOfScope(&'static str),
}

/// What is claimed of a time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claimed {
    /// It lies between these.
    Between(f64, f64),
    /// It is less than this.
    Below(f64),
}

impl Claimed {
    /// What is to be said of it where this was measured, give or take `error`.
    pub fn judge(self, measured: f64, error: f64) -> Verdict {
        let (low, high) = match self {
            Self::Between(low, high) => (low, high),
            Self::Below(high) => (f64::NEG_INFINITY, high),
        };
        if !measured.is_finite() {
            Verdict::NotMeasured
        } else if measured + error >= low && measured - error <= high {
            Verdict::Holds
        } else if measured > high {
            Verdict::TooLow(measured / high)
        } else if measured <= error {
            Verdict::TooHighAtLeast(low / error)
        } else {
            Verdict::TooHigh(low / measured)
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::HoldsBut(other) => write!(f, "holds; not of {other}"),
            Self::TooHigh(factor) => {
                write!(f, "wrong: too high by a factor of {}", plain(*factor))
            }
            Self::TooHighAtLeast(factor) => {
                write!(f, "wrong: too high by a factor of at least {}", plain(*factor))
            }
            Self::TooLow(factor) => write!(f, "wrong: too low by a factor of {}", plain(*factor)),
            Self::Wrong(instead) => write!(f, "wrong: {instead}"),
            Self::TrueOf(other, literally) => write!(f, "{literally}; true of {other}"),
            Self::NotMeasured => f.write_str("not measured"),
            Self::OutOfScope(why) => write!(f, "out of scope: {why}"),
        }
    }
}

fn plain(factor: f64) -> String {
    number::factor(factor).trim_start_matches('×').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_judged_by_its_nearer_end() {
        let claimed = Claimed::Between(5e6, 10e6);
        assert_eq!(claimed.judge(7e6, 1.0), Verdict::Holds);
        assert_eq!(claimed.judge(4.9e6, 0.2e6), Verdict::Holds, "within the error");
        assert_eq!(claimed.judge(5_000.0, 60.0), Verdict::TooHigh(1_000.0));
        assert_eq!(claimed.judge(-20.0, 50.0), Verdict::TooHighAtLeast(100_000.0));
        assert_eq!(claimed.judge(30e6, 1.0), Verdict::TooLow(3.0));
        assert_eq!(claimed.judge(f64::NAN, 1.0), Verdict::NotMeasured);
    }

    #[test]
    fn a_limit_holds_for_whatever_is_less() {
        let claimed = Claimed::Below(1e5);
        assert_eq!(claimed.judge(-20.0, 50.0), Verdict::Holds);
        assert_eq!(claimed.judge(2e5, 50.0), Verdict::TooLow(2.0));
    }

    #[test]
    fn verdicts_are_sentences() {
        let literally = Verdict::TooHigh(1_234.0);
        let verdict = Verdict::TrueOf("changing one rule".to_owned(), Box::new(literally));
        assert_eq!(
            verdict.to_string(),
            "wrong: too high by a factor of 1,230; true of changing one rule"
        );
    }
}
