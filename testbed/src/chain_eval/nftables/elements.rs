//! Elements of sets and maps.

use super::cursor::Cursor;
use super::error::{Fault, NftError, Position};
use super::lexer::Token;
use super::rules::verdict;
use super::syntax::{Element, RawElement};
use super::values::{Interval, Kind};

/// `{ 10.0.0.1 . 80-90 comment "…" : drop, … }`, where the types are not known yet.
pub fn untyped(cursor: &mut Cursor<'_>) -> Result<Vec<RawElement>, NftError> {
    cursor.mark("{")?;
    let mut elements = Vec::new();
    loop {
        cursor.newlines();
        // A comma may stand after the last element, but not alone.
        if !elements.is_empty() && cursor.mark_is_next("}") {
            return Ok(elements);
        }
        elements.push(element(cursor)?);
        cursor.newlines();
        if !cursor.mark_is_next(",") {
            cursor.mark("}")?;
            return Ok(elements);
        }
    }
}

/// The same, of known types.
pub fn typed(cursor: &mut Cursor<'_>, key: &[Kind]) -> Result<Vec<Element>, NftError> {
    untyped(cursor)?.into_iter().map(|element| element.read(key)).collect()
}

fn element(cursor: &mut Cursor<'_>) -> Result<RawElement, NftError> {
    let at = cursor.at();
    let mut key = Vec::new();
    loop {
        match cursor.peek() {
            Token::Word(word) => key.push((word.clone(), false)),
            Token::Quoted(text) => key.push((text.clone(), true)),
            _ => return cursor.unexpected("an element"),
        }
        cursor.take();
        if !cursor.mark_is_next(".") {
            break;
        }
    }
    let comment = if cursor.word_is_next("comment") { Some(cursor.comment()?) } else { None };
    let verdict = if cursor.mark_is_next(":") { Some(verdict(cursor)?) } else { None };
    Ok(RawElement { at, key, comment, verdict })
}

impl RawElement {
    /// The element, once the types of its key are known.
    pub fn read(self, types: &[Kind]) -> Result<Element, NftError> {
        let Self { at, key, comment, verdict } = self;
        if key.len() != types.len() {
            let parts = format!("{} parts", key.len());
            let fault = Fault::TypeMismatch { expected: type_name(types), found: parts };
            return Err(NftError { at, fault });
        }
        let parts = key.iter().zip(types);
        let key = parts.map(|((text, quoted), kind)| part(text, *quoted, *kind, at));
        let key = key.collect::<Result<Vec<Interval>, NftError>>()?;
        Ok(Element { at, key, comment, verdict })
    }
}

/// A part of a key.
pub fn part(text: &str, quoted: bool, kind: Kind, at: Position) -> Result<Interval, NftError> {
    let read = if quoted {
        kind.quoted(text).map(|name| Interval {
            first: name.clone(),
            last: name,
            text: format!("\"{text}\""),
        })
    } else {
        kind.interval(text)
    };
    read.map_err(|fault| NftError { at, fault })
}

/// `ipv4_addr . inet_service`
pub fn type_name(types: &[Kind]) -> String {
    let names: Vec<String> = types.iter().map(ToString::to_string).collect();
    names.join(" . ")
}
