//! Rows as a table.

use comfy_table::{CellAlignment, Table, presets};

use super::Row;

/// A table for people: a line for each row.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["goal", "case", "goal is", "measured", "", "reading"]);
    for row in rows {
        let sign = if row.text("bound") == "at most" { "≤" } else { "≥" };
        let unit = row.text("unit");
        table.add_row([
            row.goal.to_string(),
            row.text("case").to_owned(),
            format!("{sign} {} {unit}", number(row.limit)),
            format!("{} {unit}", number(row.measured)),
            if row.met { "met".to_owned() } else { "MISSED".to_owned() },
            row.text("reading").to_owned(),
        ]);
    }
    for column in [2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    let mut text: String = lines.map(|line| line + "\n").collect();
    let missed = rows.iter().filter(|row| !row.met).count();
    text.push_str(&format!("\n{} of {} met\n", rows.len() - missed, rows.len()));
    text
}

/// As many digits as tell something.
fn number(value: f64) -> String {
    match value {
        _ if value.fract() == 0.0 => format!("{value}"),
        _ if value.abs() >= 100.0 => format!("{value:.0}"),
        _ if value.abs() >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goals::{Bound, Goal};

    fn rows() -> [Row; 2] {
        let reading = "14 ns beside 26";
        [
            Row::new(Goal::G1, "hot", (Bound::AtMost, 1.6), 1.524, "×").with("reading", reading),
            Row::new(Goal::G3, "10K entries", (Bound::AtLeast, 25.0), 123.456, "×"),
        ]
    }

    #[test]
    fn the_table_says_what_is_missed() {
        let mut rows = rows();
        rows[1].met = false;
        assert_eq!(
            table(&rows),
            " goal  case          goal is  measured          reading\n \
              G1    hot          ≤ 1.60 ×    1.52 ×  met     14 ns beside 26\n \
              G3    10K entries    ≥ 25 ×     123 ×  MISSED\n\
              \n1 of 2 met\n"
        );
    }
}
