//! One measured case of a goal.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Goal;

/// On which side of its limit a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Not above it.
    AtMost,
    /// Not below it.
    AtLeast,
}

/// One measured case of a goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The goal.
    pub goal: Goal,
    /// What is to be reached.
    pub limit: f64,
    /// What was measured.
    pub measured: f64,
    /// Whether it was reached.
    pub met: bool,
    /// The case (`case`), how the limit is meant (`bound`), the unit, and what the figure is made of.
    pub detail: BTreeMap<&'static str, Value>,
}

impl Row {
    /// A case whose figure, in `unit`, has to be on that side of `limit`.
    #[must_use]
    pub fn new(
        goal: Goal,
        case: impl Into<String>,
        (bound, limit): (Bound, f64),
        measured: f64,
        unit: &'static str,
    ) -> Self {
        // A figure that is no number meets nothing.
        let (met, bound) = match bound {
            Bound::AtMost => (measured <= limit, "at most"),
            Bound::AtLeast => (measured >= limit, "at least"),
        };
        let detail = BTreeMap::from([
            ("bound", Value::from(bound)),
            ("case", Value::from(case.into())),
            ("unit", Value::from(unit)),
        ]);
        Self { goal, limit, measured: rounded(measured), met, detail }
    }

    /// Adds what the figure is made of.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::Number(number) if number.is_f64() => Value::from(number.as_f64().map(rounded)),
            other => other,
        };
        self.detail.insert(name, value);
        self
    }

    /// A text of [`Row::detail`]; empty if there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.detail.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Three digits after the point are more than any of this is exact to.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_json_that_is_promised() {
        let row = Row::new(Goal::G1, "hot", (Bound::AtMost, 1.6), 1.52, "×").with("empty_ns", 26.0);
        let expected = r#"{"goal":"G1","limit":1.6,"measured":1.52,"met":true,"detail":{"bound":"at most","case":"hot","empty_ns":26.0,"unit":"×"}}"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), expected);
    }

    #[test]
    fn a_limit_is_met_by_what_equals_it_and_not_by_what_is_no_number() {
        let met = |bound, measured| Row::new(Goal::G3, "", (bound, 2.0), measured, "×").met;
        assert!(met(Bound::AtMost, 2.0) && met(Bound::AtLeast, 2.0));
        assert!(!met(Bound::AtMost, 2.01) && !met(Bound::AtLeast, 1.99));
        assert!(!met(Bound::AtMost, f64::NAN) && !met(Bound::AtLeast, f64::NAN));
    }
}
