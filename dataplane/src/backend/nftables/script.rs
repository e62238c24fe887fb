//! A table as text for `nft -f`.

use std::collections::BTreeSet;

use super::spelling::{comment, plain};
use super::{Chain, Element, Map, Rule, Ruleset};
use crate::backend::chains::hash::{HASH_MARK, of_chain};
use crate::backend::chains::{About, Script};

/// The table, as nft names it.
pub(super) const TABLE: &str = "inet ringfence";

/// The comment by which our table is told from another of its name.
pub(super) const MARK: &str = "comment \"rf:ringfence\"";

/// What stands at the top for whoever reads it.
const HEADER: &[&str] = &[
    "# Ringfence: what policy says, as one table.",
    "#",
    "# `source` sees what arrives before connections are tracked; then `forward`, `input` or `output`",
    "# sees it. `return` is \"passes here\": other tables are asked all the same. `drop` is the end.",
    "# from_N: what workload N sends; to_N: what is for it. out_S, in_S: the policy of subject S.",
    "# The maps of a policy are asked in the order of their numbers, the narrowest first:",
    "# 1 peer and port, 2 peer and protocol, 3 peer, 4 port, 5 protocol.",
    "# Comments say what decides: a rule's number and name, or a reason.",
];

impl Ruleset {
    /// The whole table, as `nft -f` takes it on a host that does not have it.
    #[must_use]
    pub fn script(&self) -> Script {
        let mut script = Script::default();
        HEADER.iter().for_each(|line| script.line(*line));
        script.line(format!("table {TABLE} {{"));
        script.line(format!("\t{MARK}"));
        let mut written = BTreeSet::new();
        for chain in &self.chains {
            for name in chain.rules.iter().flat_map(maps_of) {
                if let (Some(map), true) = (self.maps.get(name), written.insert(name)) {
                    script.line("");
                    whole_map(&mut script, name, map);
                }
            }
            script.line("");
            whole_chain(&mut script, chain);
        }
        script.line("}");
        script
    }
}

/// The names of the sets and maps that a rule looks in.
pub(super) fn maps_of(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.text.split(' ').filter_map(|word| word.strip_prefix('@'))
}

fn whole_map(script: &mut Script, name: &str, map: &Map) {
    script.line(format!("\t{} {name} {{", word(map)));
    for line in declaration(map) {
        script.line(format!("\t\t{line}"));
    }
    script.line("\t\telements = {");
    elements(script, "\t\t\t", map.elements.iter());
    script.line("\t\t}");
    script.line("\t}");
}

fn whole_chain(script: &mut Script, chain: &Chain) {
    script.line(format!("\t# {}", plain(&chain.title)));
    script.line(format!("\tchain {} {{", chain.name));
    if let Some(hook) = &chain.hook {
        script.line(format!("\t\t{hook}; policy accept;"));
    }
    for (text, about) in rules(chain) {
        script.rule_line(format!("\t\t{text}"), number(about));
    }
    script.line("\t}");
}

/// `map` or `set`.
pub(super) fn word(map: &Map) -> &'static str {
    if map.has_verdicts() { "map" } else { "set" }
}

/// What a map or set is, a line for each thing to say.
pub(super) fn declaration(map: &Map) -> Vec<String> {
    let mut lines = vec![format!("type {}", map.kind)];
    if map.intervals {
        lines.push("flags interval".to_owned());
    }
    if map.has_verdicts() {
        lines.push("counter".to_owned());
    }
    lines
}

/// A line for each element, with commas between them.
pub(super) fn elements<'a>(
    script: &mut Script,
    indent: &str,
    elements: impl Iterator<Item = (&'a String, &'a Element)>,
) {
    let mut elements = elements.peekable();
    while let Some((key, element)) = elements.next() {
        let comment = comment("", &element.about);
        let verdict = match element.verdict.as_str() {
            "" => String::new(),
            verdict => format!(" : {verdict}"),
        };
        let comma = if elements.peek().is_some() { "," } else { "" };
        let text = format!("{indent}{key} {comment}{verdict}{comma}");
        script.rule_line(text, number(&element.about));
    }
}

/// The rules of a chain as nft reads them, each with what it is about.
pub(super) fn rules(chain: &Chain) -> impl Iterator<Item = (String, &About)> {
    let hash = format!("{HASH_MARK}{:016x} ", hash(chain));
    chain.rules.iter().enumerate().map(move |(place, rule)| {
        let before = if place == 0 { hash.as_str() } else { "" };
        (format!("{} {}", rule.text, comment(before, &rule.about)), &rule.about)
    })
}

/// The hash of a chain: of its hook and its rules, whatever it is called.
pub(super) fn hash(chain: &Chain) -> u64 {
    let hook = chain.hook.clone().unwrap_or_default();
    let rules = chain.rules.iter();
    let rules = rules.map(|rule| format!("{} {}", rule.text, comment("", &rule.about)));
    let lines: Vec<String> = [hook].into_iter().chain(rules).collect();
    of_chain(lines.iter().map(String::as_str))
}

/// The rule that something is about; 0 where it is about none.
pub(super) fn number(about: &About) -> u32 {
    match about {
        About::Rule { number, .. } => *number,
        _ => 0,
    }
}
