//! Words, strings and marks of nft text.

use super::error::{Fault, NftError, Position};

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Letters, digits and what stands between them without a space: `saddr`, `10.0.0.0/8`, `-300`.
    Word(String),
    /// What stands between double quotes. Nothing is escaped in it.
    Quoted(String),
    /// One of [`MARKS`].
    Mark(&'static str),
    /// The end of a line.
    Newline,
    /// The end of the text.
    End,
}

/// A token and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The token.
    pub token: Token,
    /// Where it begins.
    pub at: Position,
}

/// Marks that stand for themselves, longer ones first.
const MARKS: [&str; 17] =
    ["!=", "==", "<=", ">=", "{", "}", "(", ")", ",", ";", "=", "|", "&", "<", ">", "!", "@"];

/// Marks that are also parts of words: they are marks where they stand alone.
const LONE_MARKS: [&str; 3] = [".", ":", "/"];

/// All tokens of a text; comments (`#` to the end of the line) are none.
pub fn tokens(text: &str) -> Result<Vec<Placed>, NftError> {
    let mut tokens = Vec::new();
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let goes_on = of_line(line, number, &mut tokens)?;
        if !goes_on {
            let at = Position { line: number, column: line.chars().count() + 1 };
            tokens.push(Placed { token: Token::Newline, at });
        }
        if lines.peek().is_none() {
            let at = Position { line: number + 1, column: 1 };
            tokens.push(Placed { token: Token::End, at });
        }
    }
    if tokens.is_empty() {
        tokens.push(Placed { token: Token::End, at: Position { line: 1, column: 1 } });
    }
    Ok(tokens)
}

/// The tokens of one line; whether a backslash at its end makes the next one part of it.
fn of_line(line: &str, number: usize, tokens: &mut Vec<Placed>) -> Result<bool, NftError> {
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let column = line.chars().count() - rest.chars().count() + 1;
        let at = Position { line: number, column };
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(false);
        }
        if rest == "\\" {
            return Ok(true);
        }
        let (token, length) = first(rest).map_err(|fault| NftError { at, fault })?;
        tokens.push(Placed { token, at });
        rest = &rest[length..];
    }
}

/// The token that the text begins with, and how many bytes it takes.
fn first(text: &str) -> Result<(Token, usize), Fault> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"').ok_or(Fault::UnclosedQuote)?;
        return Ok((Token::Quoted(quoted[..end].to_owned()), end + 2));
    }
    let length = text.find(|c: char| !is_of_word(c)).unwrap_or(text.len());
    let word = &text[..length];
    if let Some(mark) = LONE_MARKS.into_iter().find(|mark| *mark == word) {
        return Ok((Token::Mark(mark), length));
    }
    if length > 0 {
        // `key:` would be read as an address by some and as a key by others.
        if word.ends_with(':') && !word.ends_with("::") {
            return Err(Fault::GluedColon(word.to_owned()));
        }
        return Ok((Token::Word(word.to_owned()), length));
    }
    match MARKS.into_iter().find(|mark| text.starts_with(mark)) {
        Some(mark) => Ok((Token::Mark(mark), mark.len())),
        None => Err(Fault::UnknownCharacter(text.chars().next().unwrap_or_default())),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '/' | '+')
}
