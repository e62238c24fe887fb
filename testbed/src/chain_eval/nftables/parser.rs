//! Commands, tables, chains and sets.

use std::ops::RangeInclusive;

use super::cursor::Cursor;
use super::elements;
use super::error::{Fault, NftError};
use super::lexer::{Token, tokens};
use super::rules;
use super::syntax::{Action, Base, Block, Chain, Command, Set};
use super::values::Kind;
use crate::chain_eval::Hook;

/// Hooks, and from which to which priority chains may stand there: before connection tracking
/// where packets arrive, after it elsewhere.
const HOOKS: [(&str, Hook, RangeInclusive<i32>); 4] = [
    ("prerouting", Hook::Source, i32::MIN..=TRACKING - 1),
    ("input", Hook::Input, i32::MIN..=i32::MAX),
    ("forward", Hook::Forward, i32::MIN..=i32::MAX),
    ("output", Hook::Output, TRACKING + 1..=i32::MAX),
];

/// The priority of connection tracking.
const TRACKING: i32 = -200;

/// What commands are about.
const OBJECTS: [&str; 6] = ["table", "chain", "set", "map", "element", "rule"];

/// Names of priorities in the family `inet`.
const PRIORITIES: [(&str, i32); 6] = [
    ("raw", -300),
    ("mangle", -150),
    ("dstnat", -100),
    ("filter", 0),
    ("security", 50),
    ("srcnat", 100),
];

/// All commands of a text.
pub fn commands(text: &str) -> Result<Vec<Command>, NftError> {
    let tokens = tokens(text)?;
    let mut cursor = Cursor::new(&tokens);
    let mut commands = Vec::new();
    cursor.separators();
    while *cursor.peek() != Token::End {
        commands.push(command(&mut cursor)?);
        if *cursor.peek() != Token::End {
            cursor.end_of_statement()?;
        }
    }
    Ok(commands)
}

fn command(cursor: &mut Cursor<'_>) -> Result<Command, NftError> {
    let at = cursor.at();
    // A command without a verb adds.
    let verb = match cursor.peek() {
        Token::Word(word) if matches!(word.as_str(), "add" | "delete" | "flush") => {
            cursor.take();
            word
        }
        _ => "add",
    };
    let object = match cursor.peek() {
        Token::Word(word) if OBJECTS.contains(&word.as_str()) => word,
        _ => return cursor.unexpected("a command that is known"),
    };
    let object_at = cursor.at();
    cursor.take();
    cursor.word("inet")?;
    let table = cursor.name("table")?;
    let action = match (verb, object.as_str()) {
        ("add", "table") => Action::Table(table_block(cursor)?),
        ("delete", "table") => Action::DeleteTable,
        ("add", "chain") => Action::Chain(chain(cursor)?),
        ("flush", "chain") => Action::FlushChain(cursor.name("chain")?),
        ("delete", "chain") => Action::DeleteChain(cursor.name("chain")?),
        ("add", "set" | "map") => Action::Set(set(cursor, object == "map")?),
        ("flush", "set" | "map") => Action::FlushSet(cursor.name(object)?),
        ("delete", "set" | "map") => Action::DeleteSet(cursor.name(object)?),
        ("add", "rule") => Action::Rule(cursor.name("chain")?, rules::rule(cursor)?),
        ("add", "element") => {
            Action::AddElements(cursor.name("set or map")?, elements::untyped(cursor)?)
        }
        ("delete", "element") => {
            Action::DeleteElements(cursor.name("set or map")?, elements::untyped(cursor)?)
        }
        _ => {
            let expected = "a command that is known".to_owned();
            let found = format!("`{verb} {object}`");
            return Err(NftError { at: object_at, fault: Fault::Expected { expected, found } });
        }
    };
    Ok(Command { at, table, action })
}

fn table_block(cursor: &mut Cursor<'_>) -> Result<Block, NftError> {
    let mut block = Block::default();
    if !cursor.mark_is_next("{") {
        return Ok(block);
    }
    cursor.separators();
    while !cursor.mark_is_next("}") {
        match cursor.peek() {
            Token::Word(word) if word == "comment" => {
                cursor.take();
                block.comment = Some(cursor.comment()?);
            }
            Token::Word(word) if word == "set" || word == "map" => {
                cursor.take();
                block.sets.push(set(cursor, word == "map")?);
            }
            Token::Word(word) if word == "chain" => {
                cursor.take();
                block.chains.push(chain(cursor)?);
            }
            _ => return cursor.unexpected("`set`, `map`, `chain`, `comment` or `}`"),
        }
        cursor.end_of_statement()?;
    }
    Ok(block)
}

/// After `set` or `map`: the name and, between braces, the rest.
fn set(cursor: &mut Cursor<'_>, is_map: bool) -> Result<Set, NftError> {
    let at = cursor.at();
    let name = cursor.name(if is_map { "map" } else { "set" })?;
    let mut set = Set {
        at,
        name,
        key: Vec::new(),
        is_map,
        intervals: false,
        comment: None,
        elements: Vec::new(),
    };
    cursor.mark("{")?;
    cursor.separators();
    while !cursor.mark_is_next("}") {
        match cursor.peek() {
            Token::Word(word) if word == "type" && set.key.is_empty() => {
                cursor.take();
                set.key = key_type(cursor)?;
                if is_map {
                    cursor.mark(":")?;
                    cursor.word("verdict")?;
                }
            }
            Token::Word(word) if word == "flags" && !set.intervals => {
                cursor.take();
                cursor.word("interval")?;
                set.intervals = true;
            }
            Token::Word(word) if word == "counter" => {
                cursor.take();
            }
            Token::Word(word) if word == "comment" && set.comment.is_none() => {
                cursor.take();
                set.comment = Some(cursor.comment()?);
            }
            Token::Word(word) if word == "elements" && !set.key.is_empty() => {
                cursor.take();
                cursor.mark("=")?;
                let key = set.key.clone();
                set.elements.extend(elements::typed(cursor, &key)?);
                // Their closing brace ends the statement already.
                cursor.separators();
                continue;
            }
            _ => {
                return cursor
                    .unexpected("`type`, `flags`, `counter`, `comment`, `elements` or `}`");
            }
        }
        cursor.end_of_statement()?;
    }
    if set.key.is_empty() {
        let (what, name) = ("`type` in the declaration of", set.name);
        return Err(NftError { at, fault: Fault::Missing { what, name } });
    }
    Ok(set)
}

fn key_type(cursor: &mut Cursor<'_>) -> Result<Vec<Kind>, NftError> {
    let mut key = Vec::new();
    loop {
        let Token::Word(word) = cursor.peek() else { return cursor.unexpected("a type") };
        let Some(kind) = Kind::declared(word) else { return cursor.unexpected("a type") };
        cursor.take();
        key.push(kind);
        if !cursor.mark_is_next(".") {
            return Ok(key);
        }
    }
}

/// After `chain`: the name and, between braces, the rest.
fn chain(cursor: &mut Cursor<'_>) -> Result<Chain, NftError> {
    let at = cursor.at();
    let name = cursor.name("chain")?;
    let mut chain = Chain { at, name, comment: None, base: None, rules: Vec::new() };
    if !cursor.mark_is_next("{") {
        return Ok(chain);
    }
    cursor.separators();
    while !cursor.mark_is_next("}") {
        match cursor.peek() {
            Token::Word(word) if word == "type" && chain.base.is_none() => {
                cursor.take();
                chain.base = Some(base(cursor)?);
            }
            Token::Word(word) if word == "policy" => {
                cursor.take();
                let accepts = policy(cursor)?;
                let Some(base) = &mut chain.base else {
                    return cursor.unexpected("a chain with a hook before its policy");
                };
                base.accepts = accepts;
            }
            Token::Word(word) if word == "comment" && chain.comment.is_none() => {
                cursor.take();
                chain.comment = Some(cursor.comment()?);
            }
            _ => chain.rules.push(rules::rule(cursor)?),
        }
        cursor.end_of_statement()?;
    }
    Ok(chain)
}

/// After `type`: `filter hook forward priority filter`.
fn base(cursor: &mut Cursor<'_>) -> Result<Base, NftError> {
    cursor.word("filter")?;
    cursor.word("hook")?;
    let found = HOOKS.into_iter().find(|(name, ..)| cursor.is_word(name));
    let Some((_, hook, priorities)) = found else { return cursor.unexpected("a hook") };
    cursor.take();
    cursor.word("priority")?;
    let at = cursor.at();
    let priority = priority(cursor)?;
    if !priorities.contains(&priority) {
        return Err(NftError { at, fault: Fault::Priority(priority) });
    }
    Ok(Base { hook, priority, accepts: true })
}

/// `filter`, `-300` or `raw + 10`.
fn priority(cursor: &mut Cursor<'_>) -> Result<i32, NftError> {
    let named = PRIORITIES.into_iter().find(|(name, _)| cursor.is_word(name));
    let Some((_, named)) = named else {
        let Token::Word(word) = cursor.peek() else { return cursor.unexpected("a priority") };
        let Ok(number) = word.parse() else { return cursor.unexpected("a priority") };
        cursor.take();
        return Ok(number);
    };
    cursor.take();
    let sign = match cursor.peek() {
        Token::Word(word) if word == "+" => 1,
        Token::Word(word) if word == "-" => -1,
        _ => return Ok(named),
    };
    cursor.take();
    let Token::Word(word) = cursor.peek() else { return cursor.unexpected("a number") };
    let Ok(offset) = word.parse::<u16>() else { return cursor.unexpected("a number") };
    cursor.take();
    Ok(named + sign * i32::from(offset))
}

fn policy(cursor: &mut Cursor<'_>) -> Result<bool, NftError> {
    if cursor.word_is_next("accept") {
        return Ok(true);
    }
    cursor.word("drop")?;
    Ok(false)
}
