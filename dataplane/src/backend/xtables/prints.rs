//! By what chains are known again: a number for the text that the kernel prints of each.
//!
//! The comment of a chain says which text it was made from; that nobody has changed a rule since
//! can only be seen by looking at all of it, without reading it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::saved::{Saved, SavedRule, SavedTable};
use crate::backend::chains::hash;
use crate::backend::iptables::{Family, Table};
use crate::backend::{ChainState, Chained};

/// A chain of ours, or our rules in a chain of somebody else, as the kernel printed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::backend) struct Print {
    family: Family,
    table: Table,
    /// The chain; for a rule that leads into one of ours, `FORWARD -> RINGFENCE-FORWARD`.
    chain: String,
    hash: u64,
}

/// `iptables filter RINGFENCE-FORWARD`.
impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

/// All prints of what `saved` holds of ours, in a fixed order.
pub(in crate::backend) fn prints(saved: &[Saved; 2]) -> Vec<Print> {
    let each = Family::ALL.into_iter().zip(saved);
    each.flat_map(|(family, saved)| {
        Table::ALL.into_iter().flat_map(move |table| {
            let print = move |(chain, hash)| Print { family, table, chain, hash };
            table_prints(saved.table(table)).into_iter().map(print)
        })
    })
    .collect()
}

/// Chain or jump → hash, for one table.
pub(super) fn table_prints(table: &SavedTable) -> BTreeMap<String, u64> {
    let hash = |rules: &[SavedRule]| hash::of_chain(rules.iter().map(|rule| rule.text.as_str()));
    let chains = table.ours().map(|(name, rules)| (name.clone(), hash(rules)));
    let jumps = table.jumps().map(|(from, at, rule)| {
        let to = rule.target.as_deref().unwrap_or("nowhere");
        // A jump that is no longer the first rule of its chain is not as it was left.
        let place = at.to_string();
        (format!("{from} -> {to}"), hash::of_chain([place.as_str(), &rule.text]))
    });
    chains.chain(jumps).collect()
}

/// The part of `known` that is about one table.
pub(super) fn of_table(known: &[Print], family: Family, table: Table) -> BTreeMap<&str, u64> {
    let here = known.iter().filter(|print| print.family == family && print.table == table);
    here.map(|print| (print.chain.as_str(), print.hash)).collect()
}

/// Tells `saved` which of its chains are known to be ours.
pub(super) fn claim(known: &[Print], family: Family, saved: &mut Saved) {
    for print in known.iter().filter(|print| print.family == family) {
        saved.claim(print.table, &print.chain);
    }
}

/// How what is there now compares with what was left; what is not as it was left comes first.
pub(in crate::backend) fn compare(known: &[Print], saved: &[Saved; 2]) -> Vec<Chained> {
    let now = prints(saved);
    let find = |prints: &[Print], of: &Print| {
        let same = |print: &&Print| {
            (print.family, print.table, &print.chain) == (of.family, of.table, &of.chain)
        };
        prints.iter().find(same).map(|print| print.hash)
    };
    let chained = |print: &Print, state| Chained {
        table: format!("{} {}", print.family, print.table),
        chain: print.chain.clone(),
        state,
    };
    let mut compared: Vec<Chained> = known
        .iter()
        .map(|print| {
            let state = match find(&now, print) {
                None => ChainState::Missing,
                Some(hash) if hash == print.hash => ChainState::InPlace,
                Some(_) => ChainState::Changed,
            };
            chained(print, state)
        })
        .collect();
    let new = now.iter().filter(|print| find(known, print).is_none());
    compared.extend(new.map(|print| chained(print, ChainState::Changed)));
    compared.sort_by(|a, b| (a.state, &a.table, &a.chain).cmp(&(b.state, &b.table, &b.chain)));
    compared
}
