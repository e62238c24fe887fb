//! Sets as text for `ipset restore`.
//!
//! ipset knows no way to write a quote inside of quotes: they become apostrophes. No line can end
//! inside of a comment.

use super::{ELEMENTS, Set, Sets};
use crate::backend::chains::{About, Script};
use crate::backend::iptables::Family;

/// Bytes that the kernel keeps of a comment (`IPSET_MAX_COMMENT_SIZE`).
const COMMENT_BYTES: usize = 255;

/// The whole text: what `ipset restore` takes on a host without sets of ours.
#[must_use]
pub fn script(sets: &Sets) -> Script {
    let mut script = Script::default();
    script.line("# Ringfence, for ipset restore. Before the rules: they refer to these sets.");
    script.line("# Comments say who decides: rf:<number> <rule of a document>, or rf:<reason>.");
    for (name, set) in sets {
        script.line("");
        set_lines(name, set, &mut script);
    }
    script
}

/// Adds the lines that make and fill a set called `name`.
pub fn set_lines(name: &str, set: &Set, script: &mut Script) {
    script.line(create_line(name, set));
    for (element, about) in &set.elements {
        let number = match about {
            About::Rule { number, .. } => *number,
            About::Reason(_) | About::Way(_) => 0,
        };
        script.rule_line(element_line("add", name, element, Some(about)), number);
    }
}

/// The line that makes an empty set called `name`, of a size that suits the elements of `set`.
#[must_use]
pub fn create_line(name: &str, set: &Set) -> String {
    let family = match set.family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    };
    // Buckets of a few elements each; the kernel takes 64 at least, and adds some when it has to.
    let buckets = (set.elements.len() / 4).next_power_of_two().max(64);
    let kind = &set.kind;
    format!("create {name} {kind} family {family} hashsize {buckets} maxelem {ELEMENTS} comment")
}

/// The line that adds an element (`add`), with what it is about, or deletes one (`del`).
#[must_use]
pub fn element_line(verb: &str, name: &str, element: &str, about: Option<&About>) -> String {
    match about {
        None => format!("{verb} {name} {element}"),
        Some(about) => {
            let comment = quotable(&about.comment(COMMENT_BYTES));
            format!("{verb} {name} {element} comment \"{comment}\"")
        }
    }
}

fn quotable(text: &str) -> String {
    let quotable = |character: char| match character {
        '"' => '\'',
        control if control.is_control() => ' ',
        other => other,
    };
    text.chars().map(quotable).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_set_is_made_large_enough_for_its_elements() {
        let rule = About::Rule { number: 0x1a, name: "a rule".to_owned() };
        let element = |number: u32| (format!("10.0.0.{number}"), rule.clone());
        let mut set = Set {
            kind: "hash:net".to_owned(),
            family: Family::V4,
            form: None,
            denies: false,
            direction: None,
            elements: (0..2).map(element).collect(),
        };
        let mut script = Script::default();
        set_lines("rf4-x", &set, &mut script);
        let lines: Vec<(&str, u32)> =
            script.lines.iter().map(|line| (line.text.as_str(), line.rule)).collect();
        assert_eq!(
            lines,
            [
                ("create rf4-x hash:net family inet hashsize 64 maxelem 1048576 comment", 0),
                ("add rf4-x 10.0.0.0 comment \"rf:0000001a a rule\"", 0x1a),
                ("add rf4-x 10.0.0.1 comment \"rf:0000001a a rule\"", 0x1a),
            ]
        );
        set.elements = (0..1_000).map(element).collect::<BTreeMap<_, _>>();
        set.family = Family::V6;
        let create = create_line("rf6-x", &set);
        assert_eq!(
            create,
            "create rf6-x hash:net family inet6 hashsize 256 maxelem 1048576 comment"
        );
    }

    #[test]
    fn no_name_breaks_out_of_its_comment() {
        let name = format!("x\"\nflush\\{}", "ä".repeat(200));
        let about = About::Rule { number: 7, name };
        let line = element_line("add", "rf4-x", "10.0.0.1", Some(&about));
        let comment = line.strip_prefix("add rf4-x 10.0.0.1 comment \"").unwrap();
        let comment = comment.strip_suffix('"').unwrap();
        assert!(comment.starts_with("rf:00000007 x' flush\\ä"), "{comment}");
        assert!(!comment.contains(['"', '\n']), "{comment}");
        assert!((254..=255).contains(&comment.len()), "{} bytes", comment.len());
        assert_eq!(element_line("del", "rf4-x", "10.0.0.1", None), "del rf4-x 10.0.0.1");
    }
}
