//! The text of iptables and ip6tables rules, read as `iptables-restore` does and walked as the
//! kernel does (iptables-restore(8), iptables(8), iptables-extensions(8); net/ipv4/netfilter/
//! ip_tables.c, net/ipv6/netfilter/ip6_tables.c and the `xt_*` matches).
//!
//! Only what rules of ours use is known; every other word is an error with its line. A rule whose
//! match cannot read the header that it is about drops the packet, as the kernel's matches do
//! (`hotdrop`).

mod matches;
mod options;
mod read;
mod rule;

use std::collections::BTreeMap;

use self::matches::Outcome;
use self::rule::{Rule, Target};
use super::ipset::Sets;
use super::unread::Unread;
use super::{Action, Hook, Ruleset, Seen, Step, Verdict};

/// Rules of both families, and the sets that they ask.
#[derive(Clone, Debug)]
pub struct Rules {
    v4: Tables,
    v6: Tables,
    sets: Sets,
}

/// A family's tables: (table, chain) → rules.
type Tables = BTreeMap<(Table, String), Vec<Rule>>;

/// The tables of which there are rules of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Table {
    Raw,
    Filter,
}

impl Rules {
    /// Reads what `iptables-restore` and `ip6tables-restore` are given, on a host whose sets are
    /// `sets` and which has no other rules.
    ///
    /// # Errors
    ///
    /// [`Unread`] for the first line that the tool would not take or that is not understood.
    pub fn read(v4: &str, v6: &str, sets: Sets) -> Result<Self, Unread> {
        let v4 = read::tables(v4, false, &sets)?;
        let v6 = read::tables(v6, true, &sets)?;
        Ok(Self { v4, v6, sets })
    }
}

impl Ruleset for Rules {
    fn verdict(&self, seen: &Seen<'_>) -> Verdict {
        let tables = if seen.packet.is_v6() { &self.v6 } else { &self.v4 };
        let table = if seen.hook == Hook::Source { Table::Raw } else { Table::Filter };
        let chain = match seen.hook {
            Hook::Source => "PREROUTING",
            Hook::Input => "INPUT",
            Hook::Forward => "FORWARD",
            Hook::Output => "OUTPUT",
        };
        let mut walk = Walk { tables, sets: &self.sets, table, seen, steps: Vec::new() };
        let dropped = walk.chain(chain) == Some(false);
        Verdict { dropped, steps: walk.steps }
    }
}

struct Walk<'w> {
    tables: &'w Tables,
    sets: &'w Sets,
    table: Table,
    seen: &'w Seen<'w>,
    steps: Vec<Step>,
}

impl Walk<'_> {
    /// Whether the packet passes; nothing where the chain has come to its end. Chains do not lead
    /// back into themselves: that was looked at when they were read.
    fn chain(&mut self, name: &str) -> Option<bool> {
        let tables = self.tables;
        let rules = tables.get(&(self.table, name.to_owned()))?;
        for rule in rules {
            match rule.applies(self.seen, self.sets) {
                Outcome::No => continue,
                Outcome::Unreadable => {
                    self.step(rule, Action::Refuse);
                    return Some(false);
                }
                Outcome::Yes => {}
            }
            match &rule.target {
                Target::Drop => {
                    self.step(rule, Action::Drop);
                    return Some(false);
                }
                Target::Accept => {
                    self.step(rule, Action::Accept);
                    return Some(true);
                }
                Target::Return => {
                    self.step(rule, Action::Return);
                    return None;
                }
                Target::Log(prefix) => self.step(rule, Action::Log(prefix.clone())),
                Target::Jump(chain) => {
                    self.step(rule, Action::Enter(chain.clone()));
                    if let Some(passes) = self.chain(chain) {
                        return Some(passes);
                    }
                }
                Target::Goto(chain) => {
                    self.step(rule, Action::Enter(chain.clone()));
                    return self.chain(chain);
                }
                Target::None => {}
            }
        }
        None
    }

    fn step(&mut self, rule: &Rule, action: Action) {
        let elements = rule.elements(self.seen, self.sets);
        self.steps.push(Step { comment: rule.comment.clone(), elements, action });
    }
}

#[cfg(test)]
mod tests;
