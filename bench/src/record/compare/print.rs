//! A comparison for people.

use comfy_table::{CellAlignment, Table, presets};

use super::{Compared, Comparison, MachineDifference};
use crate::record::number;

/// What differs; with `all`, also what does not.
#[must_use]
pub fn table(comparison: &Comparison, all: bool) -> String {
    let mut text = String::new();
    for MachineDifference { what, first, second } in &comparison.machines {
        text.push_str(&format!("machines differ: {what}: `{first}` and `{second}`\n"));
    }
    for doubt in &comparison.doubts {
        text.push_str(&format!("doubtful: {doubt}\n"));
    }
    let shown: Vec<&Compared> = match all {
        true => comparison.cases.iter().collect(),
        false => comparison.differences().collect(),
    };
    if !text.is_empty() {
        text.push('\n');
    }
    if !shown.is_empty() {
        text.push_str(&rows(&shown));
        text.push('\n');
    }
    let Comparison { cases, only_first, only_second, .. } = comparison;
    text.push_str(&format!(
        "{} of {} cases differ by more than the errors of both records\n",
        comparison.differences().count(),
        cases.len()
    ));
    for (count, which) in [(only_first, "first"), (only_second, "second")] {
        if *count > 0 {
            text.push_str(&format!("{count} are in the {which} record only\n"));
        }
    }
    text
}

fn rows(cases: &[&Compared]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "measured", "case", "variant", "figure", "first", "second", "ratio", "error", "",
    ]);
    for case in cases {
        let value = |value| number::in_unit(case.measurement, &case.statistic, value);
        table.add_row([
            case.measurement.file().to_owned(),
            case.case.clone(),
            case.variant.clone(),
            case.statistic.clone(),
            value(case.first),
            value(case.second),
            case.ratio.map_or_else(String::new, number::factor),
            format!("±{}", value(case.error)),
            case.change.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(4).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::compare::compare;
    use crate::record::{Measurement, synthetic};

    #[test]
    fn differences_are_shown_and_the_rest_is_counted() {
        let mut other = synthetic::record();
        other.machine.nft = "nftables v1.1.0".to_owned();
        let is_doubled = |sample: &&mut crate::record::Sample| {
            sample.measurement == Measurement::Memory && sample.case.rules == 100_000
        };
        other.samples.iter_mut().filter(is_doubled).for_each(|sample| sample.value *= 2.0);
        let comparison = compare(&synthetic::record(), &other);
        let text = table(&comparison, false);
        assert!(
            text.starts_with("machines differ: nft: `nftables v1.0.6` and `nftables v1.1.0`\n"),
            "{text}"
        );
        let line = text.lines().find(|line| line.contains("eBPF, tcx, 100000 rules")).unwrap();
        assert!(line.ends_with("worse") && line.contains("×2.00"), "{line}");
        let count = comparison.differences().count();
        assert!(text.contains(&format!("\n{count} of {} cases", comparison.cases.len())), "{text}");
        let whole = table(&comparison, true);
        assert!(whole.lines().count() > comparison.cases.len(), "{whole}");
        assert!(whole.contains("same"), "{whole}");
    }
}
