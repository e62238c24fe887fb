//! What the kernel holds, as `iptables-save` prints it.
//!
//! Of that text only the names of chains, the comments of ours, and where rules lead are read.
//! What a rule matches is never looked at; rules are kept as they are printed, so that they can be
//! put back.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::event::Counter;

use super::Variant;
use crate::backend::chains::{About, hash::HASH_MARK};
use crate::backend::iptables::{Family, JUMP, Table};
use crate::backend::tool::{ToolError, Tools};

/// How the names of our chains begin.
const NAMES: [&str; 2] = ["RINGFENCE-", "RF-"];

/// Whether a chain has a name as ours have.
pub(super) fn is_our_name(chain: &str) -> bool {
    NAMES.iter().any(|begin| chain.starts_with(begin))
}

/// What one family's tables hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    tables: BTreeMap<Table, SavedTable>,
}

/// What a table holds: chain → rules in their order, for all chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SavedTable {
    pub(super) chains: BTreeMap<String, Vec<SavedRule>>,
    /// Chains that are known to be ours, whatever is in them now.
    claimed: BTreeSet<String>,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SavedRule {
    /// What stands behind `-A` and the chain's name.
    pub(super) text: String,
    /// What it has counted, where that was asked for.
    pub(super) count: Counter,
    /// Its comment.
    comment: Option<String>,
    /// The chain or target that it leads to.
    pub(super) target: Option<String>,
}

impl Saved {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// [`ToolError`].
    pub(super) fn ask(tools: &Tools, variant: Variant, family: Family) -> Result<Self, ToolError> {
        tools.ask(&variant.save(family), &["-c"]).map(|text| Self::read(&text))
    }

    /// The table, empty where the kernel has none of that name.
    pub(super) fn table(&self, table: Table) -> &SavedTable {
        static EMPTY: SavedTable = SavedTable { chains: BTreeMap::new(), claimed: BTreeSet::new() };
        self.tables.get(&table).unwrap_or(&EMPTY)
    }

    /// Says that the chain is ours: we have made it, even if nothing in it tells that any more.
    pub(super) fn claim(&mut self, table: Table, chain: &str) {
        let Some(table) = self.tables.get_mut(&table) else { return };
        if is_our_name(chain) && table.chains.contains_key(chain) {
            table.claimed.insert(chain.to_owned());
        }
    }

    /// How many rules there are that are not ours.
    pub(super) fn foreign_rules(&self) -> usize {
        let of_table = |table: &SavedTable| {
            let all: usize = table.chains.values().map(Vec::len).sum();
            let ours = table.ours().flat_map(|(_, rules)| rules).filter(|rule| rule.is_marked());
            all - ours.count() - table.jumps().count()
        };
        self.tables.values().map(of_table).sum()
    }

    fn read(text: &str) -> Self {
        let mut saved = Self::default();
        let mut table = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = Table::ALL.into_iter().find(|table| table.to_string() == name);
                // Rules of other tables are counted as other people's, under no table of ours.
            }
            let Some(table) = table else { continue };
            let table = saved.tables.entry(table).or_default();
            if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap_or_default();
                table.chains.entry(name.to_owned()).or_default();
            } else if let Some((count, rule)) = line.split_once("-A ")
                && (count.is_empty() || count.starts_with('['))
                && let Some((chain, text)) = rule.split_once(' ').or(Some((rule, "")))
            {
                let rule = SavedRule::read(text, read_count(count));
                table.chains.entry(chain.to_owned()).or_default().push(rule);
            }
        }
        saved
    }
}

impl SavedTable {
    /// Our rules in chains that are not ours: the chain, the place in it from 1, the rule.
    pub(super) fn jumps(&self) -> impl Iterator<Item = (&str, usize, &SavedRule)> {
        let others = self.chains.iter().filter(|(name, _)| !is_our_name(name));
        others.flat_map(|(name, rules)| {
            let ours = rules.iter().enumerate().filter(|(_, rule)| rule.is_jump());
            ours.map(|(index, rule)| (name.as_str(), index + 1, rule))
        })
    }

    /// Our chains: with names like ours, and holding a rule of ours or known to be ours.
    pub(super) fn ours(&self) -> impl Iterator<Item = (&String, &Vec<SavedRule>)> {
        let named = self.chains.iter().filter(|(name, _)| is_our_name(name));
        named.filter(|(name, rules)| {
            rules.iter().any(SavedRule::is_marked) || self.claimed.contains(*name)
        })
    }
}

impl SavedRule {
    fn read(text: &str, count: Counter) -> Self {
        let words = words(text);
        let behind = |options: &[&str]| {
            let at = words.iter().position(|word| options.contains(&word.as_str()))?;
            words.get(at + 1).cloned()
        };
        let (comment, target) = (behind(&["--comment"]), behind(&["-j", "-g"]));
        Self { text: text.to_owned(), count, comment, target }
    }

    /// Whether it leads into a chain of ours as the rules do that we put into other chains. Others
    /// may begin comments as we do, so neither the comment nor the target is enough.
    pub(super) fn is_jump(&self) -> bool {
        let behind_mark = self.comment.as_deref().and_then(|text| text.strip_prefix(About::MARK));
        behind_mark == Some(JUMP) && self.target.as_deref().is_some_and(is_our_name)
    }

    /// Whether it has a comment like ours; what that means depends on the chain that it is in.
    fn is_marked(&self) -> bool {
        let begins = |mark| self.comment.as_ref().is_some_and(|comment| comment.starts_with(mark));
        begins(About::MARK) || begins(HASH_MARK)
    }

    /// What it is about; nothing if it is not ours.
    pub(super) fn about(&self) -> Option<About> {
        let comment = self.comment.as_deref()?;
        let behind_hash = comment.strip_prefix(HASH_MARK).and_then(|rest| rest.split_once(' '));
        About::read(behind_hash.map_or(comment, |(_, about)| about))
    }

    /// The hash of the chain that it is the first rule of.
    pub(super) fn chain_hash(&self) -> Option<&str> {
        hash_in(self.comment.as_deref()?)
    }
}

/// The hash of the chain that `line` is the first rule of, as it is written for iptables-restore.
pub(super) fn chain_hash(line: &str) -> Option<&str> {
    line.find(HASH_MARK).and_then(|at| hash_in(&line[at..]))
}

fn hash_in(comment: &str) -> Option<&str> {
    let hash = comment.strip_prefix(HASH_MARK)?;
    hash.get(..16).filter(|hash| hash.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Packets and bytes of `[3:180] `; zero where there is no such thing.
fn read_count(text: &str) -> Counter {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let (packets, bytes) = inner.split_once(':').unwrap_or_default();
    let number = |text: &str| text.parse().unwrap_or_default();
    Counter { packets: number(packets), bytes: number(bytes) }
}

/// The words of a rule: separated by spaces, but not within `"`, where `\` stands before a `"` or
/// `\` that is meant.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => word.extend(characters.next()),
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    use ringfence_common::verdict::Reason;

    use super::*;

    const SAVED: &str = "\
# Generated by iptables-save v1.8.9 on Sun Nov 22 10:13:24 2026
*nat
:PREROUTING ACCEPT [0:0]
[0:0] -A PREROUTING -j DNAT --to-destination 10.0.0.1
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [7:420]
:DOCKER-USER - [0:0]
:RF-IN-0000002a - [0:0]
:RF-EMPTY - [0:0]
[5:300] -A FORWARD -m comment --comment rf:Jump -j RF-IN-0000002a
[0:0] -A FORWARD -m comment --comment \"not ours --comment rf:Jump\" -j DROP
[0:0] -A FORWARD -m comment --comment rf:Jump -j DOCKER-USER
[0:0] -A INPUT -m comment --comment \"rf:admin access\" -j ACCEPT
[0:0] -A INPUT -m comment --comment \"rf:Jump home\" -j RF-IN-0000002a
[0:0] -A DOCKER-USER -j RETURN
[2:120] -A RF-IN-0000002a -s 10.0.0.0/8 -m comment --comment \"rf#0123456789abcdef rf:0000000b \
networkpolicy/a \\\"b\\\" ingress[0]\" -j RETURN
[3:180] -A RF-IN-0000002a -m comment --comment rf:NoRule -g DROPPING
COMMIT
";

    #[test]
    fn names_comments_and_targets_are_read() {
        let saved = Saved::read(SAVED);
        let filter = saved.table(Table::Filter);
        let jumps: Vec<_> = filter.jumps().map(|(from, at, rule)| (from, at, &rule.text)).collect();
        let jump = "-m comment --comment rf:Jump -j RF-IN-0000002a".to_owned();
        assert_eq!(jumps, [("FORWARD", 1, &jump)]);
        let ours: Vec<&str> = filter.ours().map(|(name, _)| name.as_str()).collect();
        assert_eq!(ours, ["RF-IN-0000002a"], "chains of our names with our marks");
        let mut claimed = saved.clone();
        for chain in ["RF-EMPTY", "DOCKER-USER", "RF-NOT-THERE"] {
            claimed.claim(Table::Filter, chain);
        }
        let ours: Vec<&String> =
            claimed.table(Table::Filter).ours().map(|(name, _)| name).collect();
        assert_eq!(ours, ["RF-EMPTY", "RF-IN-0000002a"], "and those that we know");
        let [first, last] = filter.chains["RF-IN-0000002a"].as_slice() else { panic!("{saved:?}") };
        let name = "networkpolicy/a \"b\" ingress[0]".to_owned();
        assert_eq!(first.about(), Some(About::Rule { number: 11, name }));
        assert_eq!(first.chain_hash(), Some("0123456789abcdef"));
        assert_eq!(first.count, Counter { packets: 2, bytes: 120 });
        assert_eq!(first.target.as_deref(), Some("RETURN"));
        assert_eq!(last.about(), Some(About::Reason(Reason::NoRule)));
        assert_eq!((last.chain_hash(), last.target.as_deref()), (None, Some("DROPPING")));
        assert_eq!(saved.table(Table::Raw), &SavedTable::default());
        assert_eq!(saved.foreign_rules(), 5, "of the tables that we use");
    }
}
