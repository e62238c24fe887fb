//! Figures that are counted: what base and head say, compared.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::row::{Row, Verdict};

/// What is counted, and how much more of it head may have.
#[derive(Debug)]
struct Kind {
    /// As the probe names it.
    name: &'static str,
    /// As people do.
    text: &'static str,
    /// As a share of what base has.
    tolerance: f64,
}

/// What [`super::callgrind`] counts.
pub const HOT: &str = "hot-instructions";

/// All kinds. A count has no noise, so each tolerance is what a change that means no harm may cost.
const KINDS: [Kind; 7] = [
    // A call costs as much as a whole decision without one; none comes by accident.
    Kind { name: "helper-calls", text: "helper calls", tolerance: 0.0 },
    // A way has some hundred instructions, and the compiler orders them anew after any change.
    Kind { name: "path-instructions", text: "instructions on the way", tolerance: 0.02 },
    // The same for whole programs.
    Kind { name: "translated-instructions", text: "translated instructions", tolerance: 0.02 },
    Kind { name: "jited-bytes", text: "bytes of machine code", tolerance: 0.02 },
    // Paid once, when a program is loaded; where states are pruned jumps with any change.
    Kind { name: "verified-instructions", text: "instructions verified", tolerance: 0.10 },
    // Tables grow by whole pages.
    Kind { name: "map-bytes", text: "bytes of map memory", tolerance: 0.01 },
    // Seeds of hash tables come from addresses, which move when any code does: up to one percent
    // more or less steps in tables. What is inlined changes as much.
    Kind { name: HOT, text: "instructions", tolerance: 0.03 },
];

/// One figure of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The name of its kind.
    pub kind: String,
    /// What it is about.
    pub of: String,
    /// How many.
    pub value: u64,
    /// What it is the sum of, where that is known.
    pub parts: BTreeMap<String, u64>,
}

/// The figures that `probe counted` has printed, and the machine.
pub fn read(text: &str) -> Result<(Vec<Figure>, Value)> {
    let told: Value = serde_json::from_str(text).context("the probe wrote no JSON")?;
    super::check_protocol(&told)?;
    let figures = told["figures"].as_array().context("the probe tells no figures")?;
    let read: Option<Vec<Figure>> = figures.iter().map(figure).collect();
    Ok((read.context("the probe tells a figure that is none")?, told["machine"].clone()))
}

fn figure(told: &Value) -> Option<Figure> {
    let part = |(name, value): (&String, &Value)| Some((name.clone(), value.as_u64()?));
    Some(Figure {
        kind: told["kind"].as_str()?.to_owned(),
        of: told["of"].as_str()?.to_owned(),
        value: told["value"].as_u64()?,
        parts: told["parts"].as_object()?.iter().map(part).collect::<Option<_>>()?,
    })
}

/// A row for each figure that either has.
pub fn compare(base: &[Figure], head: &[Figure]) -> Result<Vec<Row>> {
    let is = |a: &Figure, b: &Figure| a.kind == b.kind && a.of == b.of;
    let gone = base.iter().filter(|known| !head.iter().any(|figure| is(figure, known)));
    let pairs =
        head.iter().map(|figure| (base.iter().find(|known| is(known, figure)), Some(figure)));
    pairs.chain(gone.map(|figure| (Some(figure), None))).map(|(a, b)| row(a, b)).collect()
}

fn row(base: Option<&Figure>, head: Option<&Figure>) -> Result<Row> {
    let figure = head.or(base).context("a figure of neither revision")?;
    let kind = KINDS.iter().find(|kind| kind.name == figure.kind);
    let kind = kind.with_context(|| format!("the probe counts unknown `{}`", figure.kind))?;
    let value = |figure: Option<&Figure>| figure.map(|figure| figure.value as f64);
    let verdict = match (base, head) {
        (Some(base), Some(head)) => judge(kind, base.value, head.value),
        _ => Verdict::OnlyOne,
    };
    let note = match (base, head) {
        (Some(base), Some(head)) if head.value > base.value => grown(base, head),
        _ => String::new(),
    };
    Ok(Row {
        what: kind.text.to_owned(),
        of: figure.of.clone(),
        unit: "",
        base: value(base),
        head: value(head),
        change: None,
        allowed: kind.tolerance,
        verdict,
        note,
    })
}

fn judge(kind: &Kind, base: u64, head: u64) -> Verdict {
    let limit = base as f64 * (1.0 + kind.tolerance);
    match head.cmp(&base) {
        std::cmp::Ordering::Less => Verdict::Better,
        std::cmp::Ordering::Equal => Verdict::Same,
        std::cmp::Ordering::Greater if head as f64 > limit => Verdict::Worse,
        std::cmp::Ordering::Greater => Verdict::Allowed,
    }
}

/// The part that grew most, where there are parts.
fn grown(base: &Figure, head: &Figure) -> String {
    let growth = |(name, value): (&String, &u64)| {
        let before = base.parts.get(name).copied().unwrap_or_default();
        (value.saturating_sub(before), name.clone())
    };
    match head.parts.iter().map(growth).max() {
        Some((more, name)) if more > 0 => format!("most in `{name}`: {more} more"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, value: u64, parts: &[(&str, u64)]) -> Vec<Figure> {
        let parts = parts.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        vec![Figure { kind: kind.to_owned(), of: "it".to_owned(), value, parts }]
    }

    fn verdict(kind: &str, base: u64, head: u64) -> Verdict {
        let rows = compare(&one(kind, base, &[]), &one(kind, head, &[])).unwrap();
        assert_eq!(rows.len(), 1);
        rows[0].verdict
    }

    #[test]
    fn one_call_more_is_worse_and_one_less_is_not() {
        assert_eq!(verdict("helper-calls", 0, 0), Verdict::Same);
        assert_eq!(verdict("helper-calls", 0, 1), Verdict::Worse);
        assert_eq!(verdict("helper-calls", 8, 9), Verdict::Worse);
        assert_eq!(verdict("helper-calls", 1, 0), Verdict::Better);
    }

    #[test]
    fn every_kind_lets_some_pass_and_five_percent_only_where_loading_alone_pays() {
        for kind in &KINDS {
            let more = |share: f64| verdict(kind.name, 100_000, (100_000.0 * (1.0 + share)) as u64);
            assert_eq!(more(0.0), Verdict::Same);
            assert_eq!(more(-0.5), Verdict::Better);
            assert_eq!(more(0.11), Verdict::Worse);
            if kind.name != "verified-instructions" {
                assert_eq!(more(0.05), Verdict::Worse, "{}", kind.name);
            }
            if kind.tolerance > 0.0 {
                assert_eq!(more(kind.tolerance - 0.001), Verdict::Allowed, "{}", kind.name);
            }
        }
    }

    #[test]
    fn the_part_that_grew_most_is_named() {
        let base = one(HOT, 100, &[("a", 60), ("b", 40)]);
        let head = one(HOT, 140, &[("a", 50), ("b", 60), ("c", 30)]);
        let rows = compare(&base, &head).unwrap();
        assert_eq!(rows[0].note, "most in `c`: 30 more");
        assert_eq!(
            rows[0].cause(),
            "instructions of it: 100 → 140 (+40.0 %), most in `c`: 30 more"
        );
    }

    #[test]
    fn what_only_one_has_is_listed_and_not_judged() {
        let rows = compare(&one(HOT, 1, &[]), &one("map-bytes", 2, &[])).unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.verdict == Verdict::OnlyOne));
        assert!(compare(&[], &one("something", 1, &[])).is_err());
    }

    #[test]
    fn a_probe_is_read_and_one_of_another_protocol_refused() {
        let text = r#"{"protocol":1,"machine":{"kernel":"6"},"figures":[
            {"kind":"map-bytes","of":"all","value":3,"parts":{"a":1,"b":2}}]}"#;
        let (figures, machine) = read(text).unwrap();
        assert_eq!(figures[0].value, 3);
        assert_eq!(figures[0].parts.len(), 2);
        assert_eq!(machine["kernel"], "6");
        assert!(read(&text.replace("\"protocol\":1", "\"protocol\":2")).is_err());
        assert!(read(&text.replace("3,", "-3,")).is_err());
    }
}
