//! How a cost grows with the number of rules.

use std::collections::BTreeMap;

use super::figures::Figure;

/// With fewer rules what does not depend on them hides what does.
const FROM: usize = 1_000;

/// How a cost grows: as `rules ^ exponent`, fitted to the logarithms from 1,000 rules on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// 1 where the cost is proportional to the rules, 0 where it does not depend on them.
    pub exponent: f64,
    /// What each further rule costs, between the fewest and the most.
    pub per_rule: f64,
    /// The fewest rules of the fit.
    pub from: usize,
    /// The most.
    pub to: usize,
}

impl Growth {
    /// From this exponent on a cost is called linear.
    pub const LINEAR: f64 = 0.8;
    /// Up to this exponent a cost is called constant.
    pub const CONSTANT: f64 = 0.2;

    /// Of costs by number of rules; nothing for fewer than two that count. A cost below its error
    /// counts as that.
    #[must_use]
    pub fn of(costs: &BTreeMap<usize, Figure>) -> Option<Self> {
        let known = |cost: &Figure| cost.value.max(cost.stated.absolute);
        let counted: Vec<(usize, f64)> =
            costs.range(FROM..).map(|(rules, cost)| (*rules, known(cost))).collect();
        let (&(from, first), &(to, last)) = (counted.first()?, counted.last()?);
        if from == to {
            return None;
        }
        let logs: Vec<(f64, f64)> =
            counted.iter().map(|(rules, cost)| ((*rules as f64).ln(), cost.ln())).collect();
        let per_rule = (last - first) / (to - from) as f64;
        Some(Self { exponent: slope(&logs), per_rule, from, to })
    }
}

/// The slope of the line with the least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let both: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    both / points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::StatedError;

    fn figure(value: f64) -> Figure {
        let stated = StatedError { relative: 0.0, absolute: 10.0, because: "" };
        Figure::new(vec![value], stated)
    }

    fn growth(cost: impl Fn(f64) -> f64) -> Growth {
        let costs = [10, 1_000, 10_000, 100_000].map(|rules| (rules, figure(cost(rules as f64))));
        Growth::of(&costs.into()).unwrap()
    }

    #[test]
    fn a_chain_is_linear_and_a_hash_constant() {
        let chain = growth(|rules| 300.0 + 7.0 * rules);
        assert!((0.95..1.01).contains(&chain.exponent), "{chain:?}");
        assert!((chain.per_rule - 7.0).abs() < 1e-9, "{chain:?}");
        assert_eq!((chain.from, chain.to), (1_000, 100_000));
        let hash = growth(|_| 250.0);
        assert!(hash.exponent.abs() < 1e-9, "{hash:?}");
        assert!((growth(f64::sqrt).exponent - 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_is_below_its_error_does_not_grow() {
        assert_eq!(growth(|rules| 9.0 - rules / 1e6).exponent, 0.0);
    }

    #[test]
    fn one_number_of_rules_says_nothing_of_growth() {
        assert_eq!(Growth::of(&[(10, figure(1.0)), (1_000, figure(5.0))].into()), None);
    }
}
