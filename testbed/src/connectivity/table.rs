//! Matrices as text for people.
//!
//! A pair of places takes one field of a table. The field names the ports that answer: `t8080`
//! over TCP, `u53` over UDP, `tu53` over both, each with IPv4 and IPv6 alike unless `/v4` or
//! `/v6` says otherwise; `all` for every port, `.` for none.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, Matrix, Probe};
use crate::topology::Family;
use crate::workload::{Outcome, Transport};

/// Whether text carries ANSI colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Only text.
    Plain,
    /// With escape sequences.
    Ansi,
}

impl Style {
    /// What is as it should be.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What is not.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What matters less.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A heading.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// The table of what answers: sources down, destinations across, by number. A field with a wrong
/// cell ends in `!`.
#[must_use]
pub fn table(matrix: &Matrix, style: Style) -> String {
    let pairs = pairs(matrix);
    let count = matrix.places.len();
    let mut rows = vec![vec![Field::new("", Tone::Plain)]];
    rows[0].extend((1..=count).map(|number| Field::new(&number.to_string(), Tone::Bold)));
    for (source, name) in matrix.places.iter().enumerate() {
        let mut row = vec![Field::new(&format!("{:>2} {name}", source + 1), Tone::Plain)];
        row.extend((0..count).map(|destination| match pairs.get(&(source, destination)) {
            None => Field::new("-", Tone::Faint),
            Some(pair) => pair.field(),
        }));
        rows.push(row);
    }
    let widths: Vec<usize> = (0..=count)
        .map(|column| rows.iter().map(|row| row[column].text.len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let fields = row.iter().zip(&widths).map(|(field, width)| field.padded(*width, style));
        text.push_str(fields.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Expected beside actual: one line for each pair of places of which something is expected,
/// or something answers. Wrong ones are marked.
#[must_use]
pub fn beside(matrix: &Matrix, style: Style) -> String {
    let pairs = pairs(matrix);
    let quiet = pairs.values().filter(|pair| pair.is_quiet()).count();
    let told = lines(matrix, style, |pair| !pair.is_quiet());
    format!("{told}  {quiet} other pairs: nothing is allowed, nothing answers\n")
}

/// The lines of [`beside`] for pairs with a wrong cell; empty if there is none.
#[must_use]
pub fn wrong(matrix: &Matrix, style: Style) -> String {
    lines(matrix, style, |pair| pair.wrong().is_some())
}

fn lines(matrix: &Matrix, style: Style, which: impl Fn(&Pair) -> bool) -> String {
    let pairs = pairs(matrix);
    let told = || pairs.iter().filter(|(_, pair)| which(pair));
    let widest = |text: fn(&Pair) -> String| told().map(|(_, pair)| text(pair).len()).max();
    let expected_width = widest(Pair::expected).unwrap_or(0);
    let name_width = matrix.places.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for ((source, destination), pair) in told() {
        let (source, destination) = (&matrix.places[*source], &matrix.places[*destination]);
        let line = format!(
            "  {source:<name_width$} -> {destination:<name_width$}  expected {:<expected_width$}  \
             actual {}",
            pair.expected(),
            pair.actual()
        );
        match pair.wrong() {
            None => text.push_str(&line),
            Some(wrong) => text.push_str(&style.bad(&format!("{line}  <---- WRONG ({wrong})"))),
        }
        text.push('\n');
    }
    text
}

/// The cells of one ordered pair of places.
#[derive(Default)]
struct Pair {
    cells: Vec<(Probe, Cell)>,
}

fn pairs(matrix: &Matrix) -> BTreeMap<(usize, usize), Pair> {
    let mut pairs: BTreeMap<_, Pair> = BTreeMap::new();
    for (probe, cell) in &matrix.cells {
        let pair = pairs.entry((probe.source, probe.destination)).or_default();
        pair.cells.push((*probe, *cell));
    }
    pairs
}

impl Pair {
    fn expected(&self) -> String {
        self.describe(|cell| cell.expected)
    }

    fn actual(&self) -> String {
        self.describe(|cell| cell.actual == Outcome::Answered)
    }

    fn is_quiet(&self) -> bool {
        self.cells.iter().all(|(_, cell)| !cell.expected && !cell.is_wrong())
    }

    /// How many cells are wrong and what became of them; `None` if none is.
    fn wrong(&self) -> Option<String> {
        let wrong: Vec<_> = self.cells.iter().filter(|(_, cell)| cell.is_wrong()).collect();
        let outcomes: BTreeSet<_> = wrong.iter().map(|(_, cell)| cell.actual.to_string()).collect();
        let outcomes: Vec<_> = outcomes.into_iter().collect();
        (!wrong.is_empty()).then(|| {
            format!("{} of {} cells: {}", wrong.len(), self.cells.len(), outcomes.join(", "))
        })
    }

    fn field(&self) -> Field {
        let text = self.actual();
        match self.wrong() {
            Some(_) => Field::new(&format!("{text}!"), Tone::Bad),
            None if text == NOTHING => Field::new(&text, Tone::Faint),
            None => Field::new(&text, Tone::Good),
        }
    }

    fn describe(&self, open: impl Fn(&Cell) -> bool) -> String {
        if self.cells.iter().all(|(_, cell)| open(cell)) {
            return "all".to_owned();
        }
        let mut ports: BTreeMap<u16, [String; 2]> = BTreeMap::new();
        for (probe, _) in self.cells.iter().filter(|(_, cell)| open(cell)) {
            let letters = ports.entry(probe.port).or_default();
            letters[usize::from(probe.family == Family::V6)].push(match probe.transport {
                Transport::Tcp => 't',
                Transport::Udp => 'u',
            });
        }
        let items: Vec<String> =
            ports.into_iter().map(|(port, [v4, v6])| item(port, &v4, &v6)).collect();
        if items.is_empty() { NOTHING.to_owned() } else { items.join(",") }
    }
}

/// What a field says when no port answers.
const NOTHING: &str = ".";

/// One port of a field; the letters of the protocols that answer with each family.
fn item(port: u16, v4: &str, v6: &str) -> String {
    match (v4, v6) {
        (v4, v6) if v4 == v6 => format!("{v4}{port}"),
        (v4, "") => format!("{v4}{port}/v4"),
        ("", v6) => format!("{v6}{port}/v6"),
        (v4, v6) => format!("{v4}{port}/v4,{v6}{port}/v6"),
    }
}

enum Tone {
    Plain,
    Bold,
    Faint,
    Good,
    Bad,
}

/// One field of the table. The text is ASCII, so its length is its width.
struct Field {
    text: String,
    tone: Tone,
}

impl Field {
    fn new(text: &str, tone: Tone) -> Self {
        Self { text: text.to_owned(), tone }
    }

    fn padded(&self, width: usize, style: Style) -> String {
        let text = match self.tone {
            Tone::Plain => self.text.clone(),
            Tone::Bold => style.bold(&self.text),
            Tone::Faint => style.faint(&self.text),
            Tone::Good => style.good(&self.text),
            Tone::Bad => style.bad(&self.text),
        };
        text + &" ".repeat(width.saturating_sub(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two places, two ports. `first` reaches `second` at TCP 80 as allowed; UDP 53 is allowed
    /// and silent with IPv6; TCP 53 is denied and answers with IPv4.
    fn matrix() -> Matrix {
        let mut cells = BTreeMap::new();
        for (source, destination) in [(0, 1), (1, 0)] {
            for port in [53, 80] {
                for transport in Transport::ALL {
                    for family in Family::ALL {
                        let probe = Probe { source, destination, port, transport, family };
                        let (expected, actual) = match (source, port, transport, family) {
                            (0, 80, Transport::Tcp, _) => (true, Outcome::Answered),
                            (0, 53, Transport::Udp, Family::V4) => (true, Outcome::Answered),
                            (0, 53, Transport::Udp, Family::V6) => (true, Outcome::Silent),
                            (0, 53, Transport::Tcp, Family::V4) => (false, Outcome::Answered),
                            _ => (false, Outcome::Silent),
                        };
                        cells.insert(probe, Cell { expected, actual });
                    }
                }
            }
        }
        Matrix { places: vec!["first".into(), "second".into()], cells }
    }

    #[test]
    fn the_table_names_what_answers_and_marks_what_is_wrong() {
        let expected = "           1  2\n 1 first   -  tu53/v4,t80!\n 2 second  .  -\n";
        assert_eq!(table(&matrix(), Style::Plain), expected);
    }

    #[test]
    fn expected_stands_beside_actual() {
        let expected = "  first  -> second  expected u53,t80  actual tu53/v4,t80  \
                        <---- WRONG (2 of 8 cells: answered, no answer)\n  \
                        1 other pairs: nothing is allowed, nothing answers\n";
        assert_eq!(beside(&matrix(), Style::Plain), expected);
    }

    #[test]
    fn colour_changes_no_letter() {
        let ansi = table(&matrix(), Style::Ansi);
        let mut plain = String::new();
        let mut rest = ansi.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            plain.push_str(before);
            rest = after.split_once('m').map_or("", |(_, after)| after);
        }
        plain.push_str(rest);
        let trimmed: Vec<_> = plain.lines().map(str::trim_end).collect();
        let expected = table(&matrix(), Style::Plain);
        assert_eq!(trimmed, expected.lines().collect::<Vec<_>>());
    }
}
