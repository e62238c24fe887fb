//! Whether one of two things that were timed in turns is slower: a sign test.
//!
//! A round gives one ratio. Noise makes it fall on either side of one as a coin falls; only if it
//! falls on one side much more often than a coin does, the two differ. Nothing is assumed about how
//! far noise reaches, so that a machine that does other things meanwhile cannot decide the test.

/// Head against base, from many rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The median of the rounds' ratios, head by base.
    pub ratio: f64,
    /// The median of what head took longer in a round, in nanoseconds.
    pub more_ns: f64,
    /// Rounds in which head was slower, and in which it was faster; in the others none was.
    pub slower: usize,
    /// See `slower`.
    pub faster: usize,
    /// How likely rounds as uneven as these are if neither is slower (two-sided).
    pub p: f64,
}

/// What is slower by less is not called slower: where code lies in memory makes that much.
pub const LEAST_RATIO: f64 = 1.05;

/// Nor is what takes no longer than this: the kernel tells whole nanoseconds, cut off, so that next to
/// nothing may be one.
pub const LEAST_NS: f64 = 1.0;

/// What chance does more often than this is not called slower.
pub const LARGEST_P: f64 = 0.01;

/// With fewer rounds nothing is said: the fewest of the design.
pub const FEWEST_ROUNDS: usize = 25;

impl Reading {
    /// Of what base and head took in each round.
    pub fn of(base: &[f64], head: &[f64]) -> Self {
        let rounds = || base.iter().zip(head);
        let slower = rounds().filter(|(base, head)| head > base).count();
        let faster = rounds().filter(|(base, head)| head < base).count();
        Self {
            ratio: median(rounds().map(|(base, head)| head / base).collect()),
            more_ns: median(rounds().map(|(base, head)| head - base).collect()),
            slower,
            faster,
            p: two_sided(slower, faster),
        }
    }

    /// Whether head is slower by so much, and so often, that it may not be chance.
    pub fn is_slower(&self) -> bool {
        let is_much = self.ratio > LEAST_RATIO && self.more_ns > LEAST_NS;
        is_much && self.p < LARGEST_P && self.slower > self.faster
    }
}

/// The value in the middle; of an even number the mean of the two there, of nothing not a number.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    f64::midpoint(values[last / 2], values[last.div_ceil(2)])
}

/// How likely a coin thrown `heads + tails` times falls at least as unevenly.
fn two_sided(heads: usize, tails: usize) -> f64 {
    let throws = heads + tails;
    let mut tail = 0.0;
    // The number of ways, by the throws: kept as a share of all, so that nothing grows large.
    let mut share = 0.5f64.powi(i32::try_from(throws).unwrap_or(i32::MAX));
    for count in 0..=heads.min(tails) {
        tail += share;
        share *= (throws - count) as f64 / (count + 1) as f64;
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between 0 and 1 that look drawn.
    fn drawn(seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64
        })
    }

    /// Rounds of base, head, head, base of two things that take `base` and `head`, with noise of up to
    /// `noise` of the time, and with outliers; everything gets slower by `drift` of the time from one
    /// batch to the next.
    fn read(seed: u64, (base, head): (f64, f64), noise: f64, drift: f64) -> Reading {
        let mut chance = drawn(seed);
        let mut number = 0.0;
        let mut batch = |takes: f64| {
            number += 1.0;
            let (noisy, rare) = (chance.next().unwrap(), chance.next().unwrap());
            let outlier = if rare > 0.97 { 5.0 } else { 1.0 };
            takes * (1.0 + noise * noisy) * outlier * (1.0 + drift * number)
        };
        let round = |_| {
            let (a, b, c, d) = (batch(base), batch(head), batch(head), batch(base));
            ((a + d) / 2.0, (b + c) / 2.0)
        };
        let (base, head): (Vec<f64>, Vec<f64>) = (0..30).map(round).unzip();
        Reading::of(&base, &head)
    }

    #[test]
    fn the_coin() {
        assert_eq!(two_sided(0, 0), 1.0);
        assert_eq!(two_sided(5, 5), 1.0);
        assert!((two_sided(10, 0) - 2.0 / 1_024.0).abs() < 1e-12);
        assert!((two_sided(1, 9) - 22.0 / 1_024.0).abs() < 1e-12);
        assert_eq!(two_sided(9, 1), two_sided(1, 9));
        // Of 25 rounds 19 are not enough, 20 are.
        assert!(two_sided(19, 6) > LARGEST_P && two_sided(20, 5) < LARGEST_P);
        assert!(two_sided(2_000, 0) >= 0.0);
    }

    #[test]
    fn noise_is_not_slower_however_large() {
        let twice = |noise| {
            let slower = |seed| read(seed, (50.0, 50.0), noise, 0.0).is_slower();
            (0..1_000).filter(|seed| slower(2 * seed + 1) && slower(2 * seed + 2)).count()
        };
        assert_eq!([0.02, 0.2, 1.0, 4.0].map(twice), [0; 4]);
    }

    #[test]
    fn a_machine_that_slows_down_is_not_head_that_is_slower() {
        for seed in 1..200 {
            let reading = read(seed, (50.0, 50.0), 0.0, 0.01);
            assert!(!reading.is_slower(), "{reading:?}");
        }
    }

    #[test]
    fn eight_percent_are_slower_in_noise_of_ten() {
        for seed in 1..200 {
            let reading = read(seed, (50.0, 54.0), 0.1, 0.001);
            assert!(reading.is_slower(), "{reading:?}");
            assert!((1.06..1.10).contains(&reading.ratio), "{reading:?}");
        }
    }

    #[test]
    fn three_percent_are_too_little_however_sure() {
        let reading = read(1, (100.0, 103.0), 0.001, 0.0);
        assert!(reading.p < 1e-6 && !reading.is_slower(), "{reading:?}");
    }

    #[test]
    fn what_is_faster_is_never_slower() {
        for seed in 1..100 {
            let reading = read(seed, (54.0, 50.0), 0.1, 0.0);
            assert!(!reading.is_slower() && reading.ratio < 1.0, "{reading:?}");
        }
    }

    #[test]
    fn whole_nanoseconds_that_are_equal_count_for_nobody() {
        let mut head = vec![42.0; 26];
        head.extend([43.0; 4]);
        let reading = Reading::of(&[42.0; 30], &head);
        assert_eq!((reading.slower, reading.faster, reading.ratio), (4, 0, 1.0));
        assert!(!reading.is_slower());
    }

    #[test]
    fn one_nanosecond_may_be_next_to_nothing_and_two_are_not() {
        let slower = |ns: f64| Reading::of(&[10.0; 30], &[ns; 30]).is_slower();
        assert!(!slower(11.0) && slower(12.0));
    }
}
