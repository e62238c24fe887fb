//! Rules and their statements.

use super::cursor::Cursor;
use super::elements;
use super::error::{Fault, NftError, Position};
use super::fields::{Asked, Field, Known, Place};
use super::lexer::Token;
use super::syntax::{
    Element, Log, Lookup, Match, Order, Rule, Sense, Statement, Verdict, Vmap, With,
};
use super::values::{Kind, Value};

/// The longest prefix that a report can begin with.
const PREFIX: usize = 127;

const ORDERS: [(&str, Order); 4] =
    [("<=", Order::AtMost), (">=", Order::AtLeast), ("<", Order::Below), (">", Order::Above)];

/// A rule, up to the end of its statement.
pub fn rule(cursor: &mut Cursor<'_>) -> Result<Rule, NftError> {
    let mut rule = Rule { at: cursor.at(), statements: Vec::new(), comment: None };
    let mut known = Known::default();
    loop {
        let Token::Word(word) = cursor.peek() else {
            let is_raw = cursor.is_mark("@");
            if is_raw {
                rule.statements.push(question(cursor, &mut known)?);
                continue;
            }
            if rule.statements.is_empty() {
                return cursor.unexpected("a rule");
            }
            return Ok(rule);
        };
        if word == "comment" && !rule.statements.is_empty() {
            cursor.take();
            rule.comment = Some(cursor.comment()?);
            return Ok(rule);
        }
        if matches!(rule.statements.last(), Some(Statement::Verdict(_))) {
            return cursor.error(Fault::AfterVerdict);
        }
        rule.statements.push(match word.as_str() {
            "counter" => {
                cursor.take();
                Statement::Counter
            }
            "log" => {
                cursor.take();
                Statement::Log(log(cursor)?)
            }
            _ if Field::begins_with(word) => question(cursor, &mut known)?,
            _ => Statement::Verdict(verdict(cursor)?),
        });
    }
}

/// `accept`, `jump chain`, …
pub fn verdict(cursor: &mut Cursor<'_>) -> Result<Verdict, NftError> {
    let expected = "a statement or verdict that is known";
    let Token::Word(word) = cursor.peek() else { return cursor.unexpected(expected) };
    let verdict: fn(String) -> Verdict = match word.as_str() {
        "accept" => |_| Verdict::Accept,
        "drop" => |_| Verdict::Drop,
        "return" => |_| Verdict::Return,
        "continue" => |_| Verdict::Continue,
        "jump" => Verdict::Jump,
        "goto" => Verdict::Goto,
        _ => return cursor.unexpected(expected),
    };
    cursor.take();
    let leads_on = matches!(word.as_str(), "jump" | "goto");
    Ok(verdict(if leads_on { cursor.name("chain")? } else { String::new() }))
}

/// After `log`.
fn log(cursor: &mut Cursor<'_>) -> Result<Log, NftError> {
    let mut log = Log { group: None, prefix: None };
    loop {
        if log.group.is_none() && cursor.word_is_next("group") {
            let Token::Word(word) = cursor.peek() else { return cursor.unexpected("a number") };
            let Ok(group) = word.parse() else { return cursor.unexpected("a number") };
            cursor.take();
            log.group = Some(group);
        } else if log.prefix.is_none() && cursor.word_is_next("prefix") {
            let at = cursor.at();
            let prefix = cursor.quoted()?;
            if prefix.len() > PREFIX {
                let (what, length) = ("a prefix", prefix.len());
                let fault = Fault::TooLong { what, length, limit: PREFIX };
                return Err(NftError { at, fault });
            }
            log.prefix = Some(prefix.to_owned());
        } else {
            return Ok(log);
        }
    }
}

/// Something about fields: a comparison or a lookup.
fn question(cursor: &mut Cursor<'_>, known: &mut Known) -> Result<Statement, NftError> {
    let at = cursor.at();
    let (mut fields, mut silent) = (Vec::new(), Vec::new());
    loop {
        let field_at = cursor.at();
        let field = field(cursor)?;
        known.ask(&field, &mut silent).map_err(|(one, other)| {
            let fault = Fault::ConflictingProtocols(one.to_string(), other.to_string());
            NftError { at: field_at, fault }
        })?;
        fields.push(field);
        if !cursor.mark_is_next(".") {
            break;
        }
    }
    let types: Vec<Kind> = fields.iter().map(|field| field.kind).collect();
    if cursor.word_is_next("vmap") {
        let map = if cursor.mark_is_next("@") {
            Lookup::Named(cursor.name("map")?)
        } else {
            Lookup::Written(elements::typed(cursor, &types)?)
        };
        return Ok(Statement::Vmap(Vmap { at, silent, fields, map }));
    }
    let with = with(cursor, &fields, &types)?;
    learn(&fields, &with, known);
    Ok(Statement::Match(Match { at, silent, fields, with }))
}

/// Two words, or `@th,offset,length`.
fn field(cursor: &mut Cursor<'_>) -> Result<Field, NftError> {
    let at = cursor.at();
    let missing = |name: String| NftError { at, fault: Fault::Missing { what: "field", name } };
    if cursor.mark_is_next("@") {
        cursor.word("th")?;
        cursor.mark(",")?;
        let offset = cursor.any_word("an offset in bits")?;
        cursor.mark(",")?;
        let length = cursor.any_word("a length in bits")?;
        let field = match (offset.parse(), length.parse()) {
            (Ok(offset), Ok(length)) => Field::raw(offset, length),
            _ => None,
        };
        return field.ok_or_else(|| missing(format!("@th,{offset},{length}")));
    }
    let first = cursor.any_word("a field")?;
    if Field::is_whole(first) {
        return Field::named("meta", first).ok_or_else(|| missing(first.to_owned()));
    }
    if first == "fib" {
        cursor.word("daddr")?;
        cursor.word("type")?;
        return Ok(Field::DESTINATION_TYPE);
    }
    let second = cursor.any_word("the second word of a field")?;
    Field::named(first, second).ok_or_else(|| missing(format!("{first} {second}")))
}

/// What the fields are compared with.
fn with(cursor: &mut Cursor<'_>, fields: &[Field], types: &[Kind]) -> Result<With, NftError> {
    if let ([field], Some((mark, order))) =
        (fields, ORDERS.into_iter().find(|(mark, _)| cursor.is_mark(mark)))
    {
        cursor.mark(mark)?;
        return Ok(With::Compared(order, number(cursor, field.kind)?));
    }
    if let ([field], true) = (fields, cursor.mark_is_next("&")) {
        return masked(cursor, field.kind);
    }
    if let ([field], true) = (fields, cursor.is_mark("!")) {
        if !field.kind.is_bits() {
            return cursor.unexpected("a value");
        }
        cursor.take();
        let mask = bits(cursor, field.kind, ",")?;
        return Ok(With::Bits { mask, set: 0, sense: Sense::Is });
    }
    let is_exact = cursor.mark_is_next("==");
    let sense = if !is_exact && cursor.mark_is_next("!=") { Sense::IsNot } else { Sense::Is };
    if cursor.mark_is_next("@") {
        return Ok(With::Named(cursor.name("set")?, sense));
    }
    if cursor.is_mark("{") {
        let at = cursor.at();
        let elements = elements::typed(cursor, types)?;
        if elements.iter().any(|element| element.verdict.is_some()) {
            return Err(NftError { at, fault: Fault::Verdict("set", "has no place for") });
        }
        return Ok(With::OneOf(elements, sense));
    }
    // Several fields together can only be looked up.
    let [field] = fields else { return cursor.unexpected("`vmap`, `@` or `{`") };
    if field.kind.is_bits() {
        return flags(cursor, field.kind, is_exact, sense);
    }
    Ok(With::OneOf(vec![written(cursor, field.kind)?], sense))
}

/// One value or interval.
fn written(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Element, NftError> {
    let at = cursor.at();
    let (text, quoted) = match cursor.peek() {
        Token::Word(word) => (word, false),
        Token::Quoted(text) => (text, true),
        _ => return cursor.unexpected("a value"),
    };
    let key = vec![elements::part(text, quoted, kind, at)?];
    cursor.take();
    Ok(Element { at, key, comment: None, verdict: None })
}

/// `syn`, `established,related`, `syn / syn,ack`: alone, some bit; with a mask or a comparison,
/// exactly these.
fn flags(
    cursor: &mut Cursor<'_>,
    kind: Kind,
    is_exact: bool,
    sense: Sense,
) -> Result<With, NftError> {
    let set = bits(cursor, kind, ",")?;
    if cursor.mark_is_next("/") {
        let mask = bits(cursor, kind, ",")?;
        return Ok(With::Bits { mask, set, sense });
    }
    if is_exact || sense == Sense::IsNot {
        return Ok(With::Bits { mask: u128::MAX, set, sense });
    }
    Ok(With::AnyBit(set))
}

/// After `&`: `(fin|syn|rst|ack) == syn`.
fn masked(cursor: &mut Cursor<'_>, kind: Kind) -> Result<With, NftError> {
    let mask = if cursor.mark_is_next("(") {
        let mask = bits(cursor, kind, "|")?;
        cursor.mark(")")?;
        mask
    } else {
        number(cursor, kind)?
    };
    let sense = if cursor.mark_is_next("!=") {
        Sense::IsNot
    } else {
        cursor.mark("==")?;
        Sense::Is
    };
    let set = if cursor.mark_is_next("(") {
        let set = bits(cursor, kind, "|")?;
        cursor.mark(")")?;
        set
    } else {
        number(cursor, kind)?
    };
    Ok(With::Bits { mask, set, sense })
}

/// Values one after the other, their bits together.
fn bits(cursor: &mut Cursor<'_>, kind: Kind, between: &str) -> Result<u128, NftError> {
    let mut bits = number(cursor, kind)?;
    while cursor.mark_is_next(between) {
        bits |= number(cursor, kind)?;
    }
    Ok(bits)
}

fn number(cursor: &mut Cursor<'_>, kind: Kind) -> Result<u128, NftError> {
    let at: Position = cursor.at();
    let read = match cursor.peek() {
        Token::Word(word) => kind.value(word),
        Token::Quoted(text) => kind.quoted(text),
        _ => return cursor.unexpected("a value"),
    };
    cursor.take();
    match read {
        Ok(Value::Number(number)) => Ok(number),
        Ok(Value::Name(_)) => cursor.unexpected("a number"),
        Err(fault) => Err(NftError { at, fault }),
    }
}

/// What the comparison says about protocols to the fields after it.
fn learn(fields: &[Field], with: &With, known: &mut Known) {
    let ([field], With::OneOf(elements, Sense::Is)) = (fields, with) else { return };
    let known = match field.place {
        Place::Family => &mut known.family,
        Place::Protocol => &mut known.protocol,
        _ => return,
    };
    *known = Some(match elements.as_slice() {
        [Element { key, .. }] if !key[0].is_wide() => match key[0].first {
            Value::Number(number) => Asked::One(number as u8),
            Value::Name(_) => Asked::Several,
        },
        _ => Asked::Several,
    });
}
