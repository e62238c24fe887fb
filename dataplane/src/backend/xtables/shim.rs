//! shim
use crate::backend::chains::{About, Script, hash};
use crate::backend::ipset::Set;
use crate::backend::iptables::Family;
use crate::backend::iptables::{Chain, Jump, Rule};

/// The longest comment that the kernel takes, without the zero behind it.
const LONGEST_COMMENT: usize = 255;

/// The lines that fill `chain`.
pub(in crate::backend) fn chain_lines(chain: &Chain, script: &mut Script) {
    let text = |rule: &Rule, mark: &str| {
        let comment = rule.about.comment(LONGEST_COMMENT - mark.len());
        let gap = if rule.matches.is_empty() { "" } else { " " };
        let Rule { matches, target, .. } = rule;
        format!("-A {}{gap}{matches} -m comment --comment \"{mark}{comment}\" {target}", chain.name)
    };
    let plain: Vec<String> = chain.rules.iter().map(|rule| text(rule, "")).collect();
    let mut mark =
        format!("{}{:016x} ", hash::HASH_MARK, hash::of_chain(plain.iter().map(String::as_str)));
    for rule in &chain.rules {
        let number = match rule.about {
            About::Rule { number, .. } => number,
            _ => 0,
        };
        script.rule_line(text(rule, &std::mem::take(&mut mark)), number);
    }
}

/// jump
pub(in crate::backend) fn jump_line(jump: &Jump) -> String {
    format!("-I {} 1 -m comment --comment \"rf:Jump\" -j {}", jump.from, jump.to)
}

/// What stands behind the set's name where it is created.
pub(in crate::backend) fn set_text(set: &Set) -> String {
    let family = match set.family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    };
    format!("{} family {family} comment", set.kind)
}

/// What stands behind the set's name where the element is added.
pub(in crate::backend) fn element_text(element: &str, about: &About) -> String {
    format!("{element} comment \"{}\"", about.comment(LONGEST_COMMENT))
}
