//! Lines of `iptables-restore`'s input.

use super::rule::{Rule, Target, parse};
use super::{Table, Tables};
use crate::chain_eval::ipset::Sets;
use crate::chain_eval::unread::{Unread, words};

/// Longest name of a chain (`XT_EXTENSION_MAXNAMELEN`).
const LONGEST_NAME: usize = 28;

/// Reads the tables of one family.
pub fn tables(text: &str, is_v6: bool, sets: &Sets) -> Result<Tables, Unread> {
    let mut reader = Reader { tables: Tables::new(), table: None, is_v6, sets };
    let name = if is_v6 { "ip6tables rules" } else { "iptables rules" };
    for (index, line) in text.lines().enumerate() {
        let unread = |why| Unread { text: name, line: index + 1, why };
        reader.line(line).map_err(unread)?;
    }
    let end = text.lines().count();
    let unread = |why| Unread { text: name, line: end, why };
    if reader.table.is_some() {
        return Err(unread("the last table has no `COMMIT`".to_owned()));
    }
    check(&reader.tables).map_err(unread)?;
    Ok(reader.tables)
}

struct Reader<'r> {
    tables: Tables,
    table: Option<Table>,
    is_v6: bool,
    sets: &'r Sets,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(name) = line.strip_prefix('*') {
            return self.begin(name);
        }
        let table = self.table.ok_or("this belongs to no table")?;
        if line == "COMMIT" {
            self.table = None;
            return Ok(());
        }
        if let Some(chain) = line.strip_prefix(':') {
            return self.declare(table, chain);
        }
        let words = words(line)?;
        let [verb, chain, options @ ..] = &words[..] else {
            return Err("a rule needs a chain".to_owned());
        };
        let rules = self
            .tables
            .get_mut(&(table, chain.clone()))
            .ok_or_else(|| format!("there is no chain `{chain}`"))?;
        match verb.as_str() {
            "-A" => rules.extend(parse(options, self.is_v6, self.sets)?),
            "-I" => {
                let (at, options) = match options {
                    [at, rest @ ..] if at.parse::<usize>().is_ok() => {
                        (at.parse::<usize>().unwrap_or(1), rest)
                    }
                    rest => (1, rest),
                };
                let at = at.checked_sub(1).filter(|at| *at <= rules.len());
                let at = at.ok_or("there is no such place in the chain")?;
                rules.splice(at..at, parse(options, self.is_v6, self.sets)?);
            }
            _ => return Err(format!("`{verb}` is not known")),
        }
        Ok(())
    }

    fn begin(&mut self, name: &str) -> Result<(), String> {
        if self.table.is_some() {
            return Err("the table before has no `COMMIT`".to_owned());
        }
        let (table, chains): (Table, &[&str]) = match name {
            "raw" => (Table::Raw, &["PREROUTING", "OUTPUT"]),
            "filter" => (Table::Filter, &["INPUT", "FORWARD", "OUTPUT"]),
            _ => return Err(format!("table `{name}` is not known")),
        };
        for chain in chains {
            self.tables.entry((table, (*chain).to_owned())).or_default();
        }
        self.table = Some(table);
        Ok(())
    }

    /// `:NAME policy [packets:bytes]`.
    fn declare(&mut self, table: Table, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, policy) = match words[..] {
            [name, policy] | [name, policy, "[0:0]"] => (name, policy),
            _ => return Err("a chain is declared as `:NAME - [0:0]`".to_owned()),
        };
        let key = (table, name.to_owned());
        let is_kernels = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT"].contains(&name);
        if is_kernels {
            let exists = self.tables.contains_key(&key);
            return match policy {
                "ACCEPT" if exists => Ok(()),
                _ => Err(format!("`{name}` with `{policy}` is not known")),
            };
        }
        if policy != "-" || name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('-') {
            return Err(format!("`{name}` with `{policy}` is no chain"));
        }
        if self.tables.insert(key, Vec::new()).is_some() {
            return Err(format!("chain `{name}` is declared twice"));
        }
        Ok(())
    }
}

/// Whether all chains that rules lead to are there, and none leads back into itself: the kernel
/// takes no others.
fn check(tables: &Tables) -> Result<(), String> {
    let leads = |rule: &Rule| match &rule.target {
        Target::Jump(chain) | Target::Goto(chain) => Some(chain.clone()),
        _ => None,
    };
    let mut finished = std::collections::BTreeSet::new();
    for (table, name) in tables.keys() {
        // Depth first; what is open lies on the way.
        let mut stack = vec![(name.clone(), false)];
        let mut open = Vec::new();
        while let Some((name, is_left)) = stack.pop() {
            if is_left {
                open.pop();
                finished.insert((*table, name));
                continue;
            }
            if finished.contains(&(*table, name.clone())) {
                continue;
            }
            if open.contains(&name) {
                return Err(format!("chain `{name}` leads back into itself"));
            }
            let rules = tables
                .get(&(*table, name.clone()))
                .ok_or_else(|| format!("there is no chain `{name}`"))?;
            open.push(name.clone());
            stack.push((name, true));
            stack.extend(rules.iter().filter_map(leads).map(|chain| (chain, false)));
        }
    }
    Ok(())
}
