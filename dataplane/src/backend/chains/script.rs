//! Text for a tool, of which each line knows its rule.

use std::fmt;

/// Text for a tool's standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The lines, in order.
    pub lines: Vec<ScriptLine>,
}

/// A line of text for a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptLine {
    /// The line, without its end.
    pub text: String,
    /// The number of the document rule that it comes from; 0 where it comes from none.
    pub rule: u32,
}

impl Script {
    /// Adds a line that comes from no rule.
    pub fn line(&mut self, text: impl Into<String>) {
        self.rule_line(text, 0);
    }

    /// Adds a line that comes from a rule.
    pub fn rule_line(&mut self, text: impl Into<String>, rule: u32) {
        self.lines.push(ScriptLine { text: text.into(), rule });
    }

    /// The rule that line `number` comes from, counted from 1 as tools count them; nothing if
    /// there is no such line or it comes from no rule.
    #[must_use]
    pub fn rule_of(&self, number: usize) -> Option<u32> {
        let line = self.lines.get(number.checked_sub(1)?)?;
        (line.rule != 0).then_some(line.rule)
    }
}

/// The text, each line with its end.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{}", line.text))
    }
}
