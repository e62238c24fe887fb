//! Rulesets as text for `iptables-restore` and `ip6tables-restore`.
//!
//! What stands between quotes has quotes and backslashes escaped, and no line can end inside: a
//! name from a document stays a comment whatever is in it.

use super::{Chain, Family, Jump, Rule, Ruleset, Table};
use crate::backend::chains::hash::{HASH_MARK, of_chain};
use crate::backend::chains::{About, Script};

/// Bytes that the kernel keeps of a comment, beside its end (`XT_MAX_COMMENT_LEN`).
const COMMENT_BYTES: usize = 255;

impl Table {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Filter => "filter",
        }
    }
}

impl Family {
    /// What its command is called: `iptables` or `ip6tables`.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}

impl Ruleset {
    /// The whole text: what `iptables-restore --noflush` takes on a host without rules of ours.
    #[must_use]
    pub fn script(&self) -> Script {
        let mut script = Script::default();
        self.header(&mut script);
        for table in [Table::Raw, Table::Filter] {
            let chains: Vec<&Chain> = self.chains.iter().filter(|c| c.table == table).collect();
            if chains.is_empty() {
                continue;
            }
            script.line(format!("*{}", table.name()));
            chains.iter().for_each(|chain| script.line(declaration(chain)));
            for chain in chains {
                script.line("");
                script.line(format!("# {}", plain(&chain.title)));
                chain_lines(chain, &mut script);
            }
            script.line("");
            let jumps = self.jumps.iter().filter(|jump| jump.table == table);
            jumps.for_each(|jump| script.line(jump_line(jump)));
            script.line("COMMIT");
        }
        script
    }

    fn header(&self, script: &mut Script) {
        let command = self.family.command();
        script.line(format!(
            "# Ringfence, for {command}-restore --noflush: once, on a host without rules of ours."
        ));
        script.line("# RETURN allows: other rules may still refuse. Comments say who decides:");
        script
            .line("# rf:<number> <rule of a document>, or rf:<reason>; rf#<hash> is the chain's.");
    }
}

impl Chain {
    /// A number for what the chain says. The same rules have the same one.
    #[must_use]
    pub fn hash(&self) -> u64 {
        of_lines(&lines(self))
    }
}

/// The chain's rules without its hash.
fn lines(chain: &Chain) -> Vec<String> {
    chain.rules.iter().map(|rule| rule_line(&chain.name, rule, None)).collect()
}

fn of_lines(lines: &[String]) -> u64 {
    of_chain(lines.iter().map(String::as_str))
}

/// The line that makes a chain, or empties it where it is there: `:RF-… - [0:0]`.
#[must_use]
pub fn declaration(chain: &Chain) -> String {
    format!(":{} - [0:0]", chain.name)
}

/// Adds the lines that fill an empty chain; the first has the chain's hash in its comment.
pub fn chain_lines(chain: &Chain, script: &mut Script) {
    let mut lines = lines(chain);
    let hash = of_lines(&lines);
    if let (Some(line), Some(first)) = (lines.first_mut(), chain.rules.first()) {
        *line = rule_line(&chain.name, first, Some(hash));
    }
    for (line, rule) in lines.into_iter().zip(&chain.rules) {
        let number = match rule.about {
            About::Rule { number, .. } => number,
            About::Reason(_) | About::Way(_) => 0,
        };
        script.rule_line(line, number);
    }
}

/// What the comment of a rule says that leads from the kernel's own chain into ours.
pub const JUMP: &str = "Jump";

/// The line that has the kernel's own chain lead into ours, before all others.
#[must_use]
pub fn jump_line(jump: &Jump) -> String {
    let Jump { from, to, .. } = jump;
    format!("-I {from} 1 -m comment --comment \"{}{JUMP}\" -j {to}", About::MARK)
}

fn rule_line(chain: &str, rule: &Rule, hash: Option<u64>) -> String {
    let hash = hash.map_or_else(String::new, |hash| format!("{HASH_MARK}{hash:016x} "));
    let comment = quotable(&rule.about.comment(COMMENT_BYTES - hash.len()));
    let matches = if rule.matches.is_empty() { "" } else { " " };
    let Rule { matches: words, target, .. } = rule;
    format!("-A {chain}{matches}{words} -m comment --comment \"{hash}{comment}\" {target}")
}

/// Text as it may stand between quotes.
fn quotable(text: &str) -> String {
    let mut quotable = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quotable.push('\\');
        }
        quotable.push(one_line(character));
    }
    quotable
}

/// Text without anything that ends a line or steers a terminal.
fn plain(text: &str) -> String {
    text.chars().map(one_line).collect()
}

fn one_line(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(rules: &[(&str, &str)]) -> Chain {
        let rule = |(matches, name): &(&str, &str)| Rule {
            matches: (*matches).to_owned(),
            target: "-j DROP".to_owned(),
            about: About::Rule { number: 7, name: (*name).to_owned() },
        };
        Chain {
            table: Table::Filter,
            name: "RF-IN-00000001".to_owned(),
            title: "a chain".to_owned(),
            rules: rules.iter().map(rule).collect(),
        }
    }

    fn lines(chain: &Chain) -> Vec<String> {
        let mut script = Script::default();
        chain_lines(chain, &mut script);
        assert!(script.lines.iter().all(|line| line.rule == 7), "{script:?}");
        script.lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_first_rule_has_the_hash_of_them_all() {
        let one = chain(&[("-s 10.0.0.1", "a"), ("", "b")]);
        let hash = one.hash();
        assert_eq!(
            lines(&one),
            [
                format!(
                    "-A RF-IN-00000001 -s 10.0.0.1 -m comment --comment \"rf#{hash:016x} \
                     rf:00000007 a\" -j DROP"
                ),
                "-A RF-IN-00000001 -m comment --comment \"rf:00000007 b\" -j DROP".to_owned(),
            ]
        );
        let others = [chain(&[("", "b"), ("-s 10.0.0.1", "a")]), chain(&[("-s 10.0.0.1", "a")])];
        assert!(others.iter().all(|other| other.hash() != hash));
        let retitled = Chain { title: "another".to_owned(), ..one };
        assert_eq!(retitled.hash(), hash, "the kernel has no titles");
    }

    #[test]
    fn no_name_breaks_out_of_its_comment() {
        let evil = "x\" -j ACCEPT\n-A INPUT -j ACCEPT\\";
        let chain = chain(&[("", "first"), ("", evil)]);
        assert_eq!(
            lines(&chain)[1],
            "-A RF-IN-00000001 -m comment --comment \"rf:00000007 x\\\" -j ACCEPT -A INPUT -j \
             ACCEPT\\\\\" -j DROP"
        );
        let evil = Chain { title: "x\nCOMMIT".to_owned(), ..chain };
        let ruleset = Ruleset { family: Family::V4, chains: vec![evil], jumps: Vec::new() };
        let text = ruleset.script().to_string();
        assert_eq!(text.lines().filter(|line| *line == "COMMIT").count(), 1, "{text}");
    }

    #[test]
    fn comments_are_as_long_as_the_kernel_keeps_them() {
        let name = "ä".repeat(200);
        let chain = chain(&[("", &name), ("", &name)]);
        for line in lines(&chain) {
            let comment = line.split('"').nth(1).unwrap();
            assert!((254..=255).contains(&comment.len()), "{} bytes: {line}", comment.len());
        }
    }
}
