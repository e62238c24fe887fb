//! Measuring in turns, and comparing within each turn.
//!
//! A machine's speed changes from minute to minute, with its temperature and its neighbours. So
//! everything that is compared is measured once in each of many short rounds, every second round
//! backwards, and a ratio is the median of the rounds' ratios.

/// What each of a number of measurements gave, by round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds {
    /// By round, then by measurement.
    rounds: Vec<Vec<f64>>,
}

impl Rounds {
    /// Takes `rounds` rounds of `count` measurements. `measure` takes the one whose number it gets.
    /// One more round goes before, which warms up and does not count.
    ///
    /// # Errors
    ///
    /// The first that `measure` has.
    pub fn take<E>(
        rounds: usize,
        count: usize,
        mut measure: impl FnMut(usize) -> Result<f64, E>,
    ) -> Result<Self, E> {
        for number in 0..count {
            measure(number)?;
        }
        let mut taken = Self::default();
        for round in 0..rounds {
            let mut values = vec![0.0; count];
            for position in 0..count {
                let number = if round % 2 == 0 { position } else { count - 1 - position };
                values[number] = measure(number)?;
            }
            taken.rounds.push(values);
        }
        Ok(taken)
    }

    /// The values of each round, in the order of the measurements.
    pub fn all(&self) -> impl Iterator<Item = &[f64]> {
        self.rounds.iter().map(Vec::as_slice)
    }

    /// The median over the rounds of what `of` makes of a round's values.
    pub fn median(&self, of: impl Fn(&[f64]) -> f64) -> f64 {
        median(self.rounds.iter().map(|values| of(values)).collect())
    }

    /// The mean of the middle half of what `of` makes of the rounds' values: finer than the
    /// kernel's whole nanoseconds, and as deaf to outliers as the median.
    pub fn middle(&self, of: impl Fn(&[f64]) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(|values| of(values)).collect();
        values.sort_by(f64::total_cmp);
        let quarter = values.len() / 4;
        let middle = &values[quarter..values.len() - quarter];
        middle.iter().sum::<f64>() / middle.len() as f64
    }
}

/// The median; of an even number the mean of the two in the middle, of nothing not a number.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    f64::midpoint(values[last / 2], values[last.div_ceil(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![9.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![9.0, 1.0, 3.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn rounds_go_forwards_and_backwards_after_one_that_does_not_count() {
        let mut order = Vec::new();
        let rounds = Rounds::take(2, 3, |number| {
            order.push(number);
            Ok::<_, ()>(order.len() as f64)
        });
        assert_eq!(order, [0, 1, 2, 0, 1, 2, 2, 1, 0]);
        assert_eq!(rounds.unwrap().rounds, [[4.0, 5.0, 6.0], [9.0, 8.0, 7.0]]);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        // The second round was twice as slow for both.
        let rounds = Rounds { rounds: vec![vec![10.0, 5.0], vec![20.0, 10.0], vec![90.0, 5.0]] };
        assert_eq!(rounds.median(|values| values[0] / values[1]), 2.0);
    }

    #[test]
    fn the_middle_leaves_the_extremes_out() {
        let rounds = [1_000.0, 2.0, 3.0, 0.0].map(|value| vec![value]).to_vec();
        assert_eq!(Rounds { rounds }.middle(|values| values[0]), 2.5);
    }
}
