//! What nft and the kernel refuse although it can be read.

use std::collections::BTreeMap;

use super::contents::Table;
use super::elements::type_name;
use super::error::{Fault, NftError, Position};
use super::fields::Field;
use super::syntax::{Chain, Element, Lookup, Rule, Set, Statement, Verdict, With};
use super::values::Kind;

/// Chains that a packet may be in at once (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// A rule that is to be added to a chain of the table.
pub fn rule(table: &Table, rule: &Rule) -> Result<(), NftError> {
    for statement in &rule.statements {
        match statement {
            Statement::Verdict(to) => verdict(table, rule.at, to)?,
            Statement::Match(question) => match &question.with {
                With::OneOf(elements, _) => overlap(elements)?,
                With::Named(name, _) => named(table, question.at, name, &question.fields, false)?,
                With::Compared(..) | With::AnyBit(_) | With::Bits { .. } => {}
            },
            Statement::Vmap(vmap) => match &vmap.map {
                Lookup::Named(name) => named(table, vmap.at, name, &vmap.fields, true)?,
                Lookup::Written(elements) => {
                    for one in elements {
                        has_verdict(one, true)?;
                        element(table, one)?;
                    }
                    overlap(elements)?;
                }
            },
            Statement::Counter | Statement::Log(_) => {}
        }
    }
    Ok(())
}

/// Where an element leads to.
pub fn element(table: &Table, element: &Element) -> Result<(), NftError> {
    element.verdict.as_ref().map_or(Ok(()), |to| verdict(table, element.at, to))
}

/// Whether an element may be in a set.
pub fn fits(set: &Set, element: &Element) -> Result<(), NftError> {
    has_verdict(element, set.is_map)?;
    if !set.intervals && element.key.iter().any(|part| part.is_wide()) {
        let fault = Fault::NoIntervals(element.to_string());
        return Err(NftError { at: element.at, fault });
    }
    Ok(())
}

/// Two elements for one key. The kernel finds most of these, nft some; here none passes.
pub fn overlap(elements: &[Element]) -> Result<(), NftError> {
    let mut sorted: Vec<&Element> = elements.iter().collect();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    let mut open: Vec<&Element> = Vec::new();
    for element in sorted {
        open.retain(|earlier| earlier.key[0].last >= element.key[0].first);
        let meets = |earlier: &&&Element| {
            earlier.key.iter().zip(&element.key).all(|(one, other)| one.meets(other))
        };
        if let Some(earlier) = open.iter().find(meets) {
            // Told where the later one stands.
            let (first, later) =
                if earlier.at < element.at { (*earlier, element) } else { (element, *earlier) };
            let fault = Fault::Overlap(later.to_string(), first.to_string());
            return Err(NftError { at: later.at, fault });
        }
        open.push(element);
    }
    Ok(())
}

/// How deep chains lead into each other.
pub fn depth(table: &Table) -> Result<(), NftError> {
    let mut depths = BTreeMap::new();
    for chain in table.chains.values() {
        let depth = below(table, chain, &mut depths, 0)?;
        if chain.base.is_some() && depth >= DEEPEST {
            return Err(too_deep(chain));
        }
    }
    Ok(())
}

/// How many chains follow each other below `chain` at most.
fn below<'t>(
    table: &'t Table,
    chain: &'t Chain,
    depths: &mut BTreeMap<&'t str, usize>,
    above: usize,
) -> Result<usize, NftError> {
    if let Some(depth) = depths.get(chain.name.as_str()) {
        return Ok(*depth);
    }
    // More chains in a row than there are: some come twice.
    if above > table.chains.len() {
        return Err(too_deep(chain));
    }
    let mut depth = 0;
    for next in chain.rules.iter().flat_map(|rule| leads_to(table, rule)) {
        if let Some(next) = table.chains.get(next) {
            depth = depth.max(1 + below(table, next, depths, above + 1)?);
        }
    }
    depths.insert(&chain.name, depth);
    Ok(depth)
}

fn too_deep(chain: &Chain) -> NftError {
    NftError { at: chain.at, fault: Fault::TooDeep(chain.name.clone(), DEEPEST) }
}

/// Who leads to the chain.
pub fn user_of_chain(table: &Table, name: &str) -> Option<String> {
    let leads = |element: &&Element| {
        element.verdict.as_ref().and_then(Verdict::chain).is_some_and(|chain| chain == name)
    };
    let set = table.sets.values().find(|set| set.elements.iter().any(|one| leads(&one)));
    let in_set = set.map(|set| format!("map `{}`", set.name));
    in_set.or_else(|| {
        let uses = |rule: &Rule| written_in(rule).any(|chain| chain == name);
        let chain = table.chains.values().find(|chain| chain.rules.iter().any(uses));
        chain.map(|chain| format!("chain `{}`", chain.name))
    })
}

/// Who looks into the set.
pub fn user_of_set(table: &Table, name: &str) -> Option<String> {
    let looks = |rule: &Rule| set_names(rule).any(|set| set == name);
    let chain = table.chains.values().find(|chain| chain.rules.iter().any(looks));
    chain.map(|chain| format!("chain `{}`", chain.name))
}

/// Chains that a rule leads to, through maps with a name too.
fn leads_to<'t>(table: &'t Table, rule: &'t Rule) -> Vec<&'t str> {
    let named = set_names(rule).filter_map(|name| table.sets.get(name));
    let elements = named.flat_map(|set| &set.elements);
    let through = elements.filter_map(|one| one.verdict.as_ref().and_then(Verdict::chain));
    through.chain(written_in(rule)).collect()
}

/// Chains that are written in a rule.
fn written_in(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.statements.iter().flat_map(|statement| match statement {
        Statement::Verdict(to) => to.chain().into_iter().collect::<Vec<&str>>(),
        Statement::Vmap(vmap) => match &vmap.map {
            Lookup::Written(elements) => {
                let verdicts = elements.iter().filter_map(|one| one.verdict.as_ref());
                verdicts.filter_map(Verdict::chain).collect()
            }
            Lookup::Named(_) => Vec::new(),
        },
        _ => Vec::new(),
    })
}

fn set_names(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.statements.iter().filter_map(|statement| match statement {
        Statement::Match(question) => match &question.with {
            With::Named(name, _) => Some(name.as_str()),
            _ => None,
        },
        Statement::Vmap(vmap) => match &vmap.map {
            Lookup::Named(name) => Some(name.as_str()),
            Lookup::Written(_) => None,
        },
        _ => None,
    })
}

fn verdict(table: &Table, at: Position, verdict: &Verdict) -> Result<(), NftError> {
    let Some(name) = verdict.chain() else { return Ok(()) };
    match table.chains.get(name) {
        None => {
            let (what, name) = ("chain", name.to_owned());
            Err(NftError { at, fault: Fault::Missing { what, name } })
        }
        Some(chain) if chain.base.is_some() => {
            Err(NftError { at, fault: Fault::JumpToBase(name.to_owned()) })
        }
        Some(_) => Ok(()),
    }
}

/// A lookup in a set or map with a name.
fn named(
    table: &Table,
    at: Position,
    name: &str,
    fields: &[Field],
    is_map: bool,
) -> Result<(), NftError> {
    let what = if is_map { "map" } else { "set" };
    let found = table.sets.get(name).filter(|set| set.is_map == is_map);
    let Some(set) = found else {
        return Err(NftError { at, fault: Fault::Missing { what, name: name.to_owned() } });
    };
    let types: Vec<Kind> = fields.iter().map(|field| field.kind).collect();
    let fits = types.len() == set.key.len()
        && types.iter().zip(&set.key).all(|(one, other)| one.fits(*other));
    if !fits {
        let (expected, found) = (type_name(&set.key), type_name(&types));
        return Err(NftError { at, fault: Fault::TypeMismatch { expected, found } });
    }
    Ok(())
}

fn has_verdict(element: &Element, is_map: bool) -> Result<(), NftError> {
    let fault = match (is_map, &element.verdict) {
        (true, None) => Fault::Verdict("map", "needs"),
        (false, Some(_)) => Fault::Verdict("set", "has no place for"),
        _ => return Ok(()),
    };
    Err(NftError { at: element.at, fault })
}
