//! One line of what was compared.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What was compared, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is counted or timed.
    pub what: String,
    /// Of what.
    pub of: String,
    /// The unit, where `what` is none.
    pub unit: &'static str,
    /// What base has.
    pub base: Option<f64>,
    /// What head has.
    pub head: Option<f64>,
    /// Head by base where that is not what `base` and `head` say: the median of the rounds' ratios.
    pub change: Option<f64>,
    /// How much more is allowed, as a share.
    pub allowed: f64,
    /// What came of it.
    pub verdict: Verdict,
    /// What there is to say besides.
    pub note: String,
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More than is allowed.
    Worse,
    /// More, as far as is allowed; of what is timed also: not surely more.
    Allowed,
    /// The same.
    Same,
    /// Less.
    Better,
    /// Only one of both has it.
    OnlyOne,
    /// Timed in too few rounds to say anything.
    NotJudged,
}

impl Verdict {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Worse => "REGRESSION",
            Self::Allowed => "allowed",
            Self::Same => "same",
            Self::Better => "better",
            Self::OnlyOne => "not in both",
            Self::NotJudged => "not judged",
        }
    }
}

impl Row {
    /// In a sentence: what a regression is called.
    pub fn cause(&self) -> String {
        let (base, head) = (self.number(self.base), self.number(self.head));
        let mut text = format!("{} of {}: {base} → {head}", self.what, self.of);
        if let Some(change) = self.percent() {
            _ = write!(text, " ({change})");
        }
        if !self.note.is_empty() {
            _ = write!(text, ", {}", self.note);
        }
        text
    }

    /// How much more, in percent; nothing if base has none.
    pub fn percent(&self) -> Option<String> {
        let ratio = self.change.or(Some(self.head? / self.base?));
        let ratio = ratio.filter(|ratio| ratio.is_finite())?;
        Some(format!("{:+.1} %", (ratio - 1.0) * 100.0))
    }

    /// A figure as tables have it.
    pub fn number(&self, figure: Option<f64>) -> String {
        let Some(figure) = figure else { return "–".to_owned() };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        if figure.fract() == 0.0 { format!("{figure}{unit}") } else { format!("{figure:.1}{unit}") }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({
            "what": self.what,
            "of": self.of,
            "unit": self.unit,
            "base": self.base,
            "head": self.head,
            "ratio": self.change.or_else(|| Some(self.head? / self.base?)).filter(|r| r.is_finite()),
            "allowed": self.allowed,
            "verdict": self.verdict.word(),
            "note": self.note,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_says_what_grew_from_what_to_what() {
        let row = Row {
            what: "helper calls".to_owned(),
            of: "IPv4 established, XDP".to_owned(),
            unit: "",
            base: Some(0.0),
            head: Some(1.0),
            change: None,
            allowed: 0.0,
            verdict: Verdict::Worse,
            note: String::new(),
        };
        assert_eq!(row.cause(), "helper calls of IPv4 established, XDP: 0 → 1");
        let timed = Row {
            what: "time".to_owned(),
            unit: "ns",
            base: Some(40.0),
            head: Some(44.26),
            change: Some(1.1),
            note: "29 of 30 rounds".to_owned(),
            ..row
        };
        let said = "time of IPv4 established, XDP: 40 ns → 44.3 ns (+10.0 %), 29 of 30 rounds";
        assert_eq!(timed.cause(), said);
        assert_eq!(timed.json()["verdict"], "REGRESSION");
    }
}
