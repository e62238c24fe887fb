//! What is installed, and how commands change it.

use std::collections::BTreeMap;

use super::check;
use super::error::{Fault, NftError, Position};
use super::parser::commands;
use super::syntax::{Action, Block, Chain, Command, Element, Set};

/// All tables, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Tables of the family `inet`.
    pub tables: BTreeMap<String, Table>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its comment.
    pub comment: Option<String>,
    /// Its chains.
    pub chains: BTreeMap<String, Chain>,
    /// Its sets and maps.
    pub sets: BTreeMap<String, Set>,
}

impl Contents {
    /// Does what the commands of `text` say: all of it, or, where something is wrong, nothing.
    pub fn change(&mut self, text: &str) -> Result<(), NftError> {
        let mut changed = self.clone();
        for command in commands(text)? {
            changed.run(command)?;
        }
        for table in changed.tables.values() {
            check::depth(table)?;
        }
        *self = changed;
        Ok(())
    }

    fn run(&mut self, command: Command) -> Result<(), NftError> {
        let Command { at, table: name, action } = command;
        if let Action::Table(block) = action {
            return self.tables.entry(name).or_default().add(block);
        }
        let Some(table) = self.tables.get_mut(&name) else {
            return missing(at, "table", &name);
        };
        if action == Action::DeleteTable {
            self.tables.remove(&name);
            return Ok(());
        }
        table.run(at, action)
    }
}

impl Table {
    fn run(&mut self, at: Position, action: Action) -> Result<(), NftError> {
        match action {
            Action::Table(_) | Action::DeleteTable => {}
            Action::Chain(chain) => {
                self.declare(&chain)?;
                self.fill(chain)?;
            }
            Action::FlushChain(name) => self.chain(at, &name)?.rules.clear(),
            Action::DeleteChain(name) => {
                self.chain(at, &name)?.rules.clear();
                if let Some(user) = check::user_of_chain(self, &name) {
                    return Err(NftError { at, fault: Fault::InUse { what: "chain", name, user } });
                }
                self.chains.remove(&name);
            }
            Action::Set(mut set) => {
                let (name, elements) = (set.name.clone(), std::mem::take(&mut set.elements));
                self.declare_set(set)?;
                self.add_elements(at, &name, elements)?;
            }
            Action::FlushSet(name) => self.set(at, &name)?.elements.clear(),
            Action::DeleteSet(name) => {
                self.set(at, &name)?;
                if let Some(user) = check::user_of_set(self, &name) {
                    return Err(NftError { at, fault: Fault::InUse { what: "set", name, user } });
                }
                self.sets.remove(&name);
            }
            Action::Rule(name, rule) => {
                self.chain(at, &name)?;
                check::rule(self, &rule)?;
                self.chain(at, &name)?.rules.push(rule);
            }
            Action::AddElements(name, raw) => {
                let key = self.set(at, &name)?.key.clone();
                let elements = raw.into_iter().map(|element| element.read(&key));
                let elements = elements.collect::<Result<Vec<Element>, NftError>>()?;
                self.add_elements(at, &name, elements)?;
            }
            Action::DeleteElements(name, raw) => {
                let set = self.set(at, &name)?;
                for element in raw {
                    let element = element.read(&set.key)?;
                    let at_element = element.at;
                    let found =
                        set.elements.iter().position(|one| one.values() == element.values());
                    let Some(found) = found else {
                        return missing(at_element, "element", &element.to_string());
                    };
                    set.elements.remove(found);
                }
            }
        }
        Ok(())
    }

    /// Chains and sets come first, so that their order in the block says nothing.
    fn add(&mut self, block: Block) -> Result<(), NftError> {
        self.comment = self.comment.take().or(block.comment);
        block.chains.iter().try_for_each(|chain| self.declare(chain))?;
        let mut filled = Vec::new();
        for mut set in block.sets {
            filled.push((set.at, set.name.clone(), std::mem::take(&mut set.elements)));
            self.declare_set(set)?;
        }
        for (at, name, elements) in filled {
            self.add_elements(at, &name, elements)?;
        }
        block.chains.into_iter().try_for_each(|chain| self.fill(chain))
    }

    /// Makes the chain where it is not there, without its rules.
    fn declare(&mut self, chain: &Chain) -> Result<(), NftError> {
        let empty = || Chain { rules: Vec::new(), ..chain.clone() };
        let known = self.chains.entry(chain.name.clone()).or_insert_with(empty);
        if chain.base.is_some() && chain.base != known.base {
            let (what, name) = ("chain", chain.name.clone());
            return Err(NftError { at: chain.at, fault: Fault::Taken { what, name } });
        }
        Ok(())
    }

    fn fill(&mut self, chain: Chain) -> Result<(), NftError> {
        chain.rules.iter().try_for_each(|rule| check::rule(self, rule))?;
        let at = chain.at;
        self.chain(at, &chain.name)?.rules.extend(chain.rules);
        Ok(())
    }

    fn declare_set(&mut self, set: Set) -> Result<(), NftError> {
        let at = set.at;
        match self.sets.get(&set.name) {
            None => {
                self.sets.insert(set.name.clone(), set);
                Ok(())
            }
            Some(known)
                if (&known.key, known.is_map, known.intervals)
                    == (&set.key, set.is_map, set.intervals) =>
            {
                Ok(())
            }
            Some(_) => {
                let fault = Fault::Taken { what: "set or map", name: set.name };
                Err(NftError { at, fault })
            }
        }
    }

    /// What is there already with the same verdict stays as it is.
    fn add_elements(
        &mut self,
        at: Position,
        name: &str,
        elements: Vec<Element>,
    ) -> Result<(), NftError> {
        for element in &elements {
            check::element(self, element)?;
        }
        let set = self.set(at, name)?;
        let known: BTreeMap<_, _> =
            set.elements.iter().map(|one| (one.values(), one.verdict.clone())).collect();
        let mut new = Vec::new();
        for element in elements {
            check::fits(set, &element)?;
            match known.get(&element.values()) {
                None => new.push(element),
                Some(verdict) if *verdict == element.verdict => {}
                Some(_) => {
                    let (what, name) = ("element", element.to_string());
                    return Err(NftError { at: element.at, fault: Fault::Taken { what, name } });
                }
            }
        }
        set.elements.extend(new);
        check::overlap(&set.elements)
    }

    fn chain(&mut self, at: Position, name: &str) -> Result<&mut Chain, NftError> {
        match self.chains.get_mut(name) {
            Some(chain) => Ok(chain),
            None => missing(at, "chain", name),
        }
    }

    fn set(&mut self, at: Position, name: &str) -> Result<&mut Set, NftError> {
        match self.sets.get_mut(name) {
            Some(set) => Ok(set),
            None => missing(at, "set or map", name),
        }
    }
}

fn missing<T>(at: Position, what: &'static str, name: &str) -> Result<T, NftError> {
    Err(NftError { at, fault: Fault::Missing { what, name: name.to_owned() } })
}
