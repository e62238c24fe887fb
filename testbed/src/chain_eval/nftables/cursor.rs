//! Tokens, one after the other.

use super::error::{Fault, NftError, Position};
use super::lexer::{Placed, Token};

/// The longest comment that nft takes.
const COMMENT: usize = 128;

/// A place among tokens.
pub struct Cursor<'t> {
    tokens: &'t [Placed],
    next: usize,
}

impl<'t> Cursor<'t> {
    /// Before the first of `tokens`, which end with [`Token::End`].
    pub fn new(tokens: &'t [Placed]) -> Self {
        Self { tokens, next: 0 }
    }

    fn placed(&self) -> &'t Placed {
        let last = self.tokens.len() - 1;
        &self.tokens[self.next.min(last)]
    }

    /// The next token.
    pub fn peek(&self) -> &'t Token {
        &self.placed().token
    }

    /// Where the next token is.
    pub fn at(&self) -> Position {
        self.placed().at
    }

    /// Takes the next token.
    pub fn take(&mut self) -> &'t Token {
        let token = self.peek();
        self.next += 1;
        token
    }

    /// `fault` at the next token.
    pub fn error<T>(&self, fault: Fault) -> Result<T, NftError> {
        Err(NftError { at: self.at(), fault })
    }

    /// The next token is not what has to stand there.
    pub fn unexpected<T>(&self, expected: &str) -> Result<T, NftError> {
        let found = match self.peek() {
            Token::Word(word) => format!("`{word}`"),
            Token::Quoted(text) => format!("`\"{text}\"`"),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::Newline => "the end of the line".to_owned(),
            Token::End => "the end of the text".to_owned(),
        };
        self.error(Fault::Expected { expected: expected.to_owned(), found })
    }

    /// Whether the next token is this word.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(next) if next == word)
    }

    /// Whether the next token is this mark.
    pub fn is_mark(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(next) if *next == mark)
    }

    /// Takes this word, if it is next.
    pub fn word_is_next(&mut self, word: &str) -> bool {
        let is_next = self.is_word(word);
        self.next += usize::from(is_next);
        is_next
    }

    /// Takes this mark, if it is next.
    pub fn mark_is_next(&mut self, mark: &str) -> bool {
        let is_next = self.is_mark(mark);
        self.next += usize::from(is_next);
        is_next
    }

    /// Takes this word.
    pub fn word(&mut self, word: &str) -> Result<(), NftError> {
        if self.word_is_next(word) { Ok(()) } else { self.unexpected(&format!("`{word}`")) }
    }

    /// Takes this mark.
    pub fn mark(&mut self, mark: &str) -> Result<(), NftError> {
        if self.mark_is_next(mark) { Ok(()) } else { self.unexpected(&format!("`{mark}`")) }
    }

    /// Takes any word.
    pub fn any_word(&mut self, expected: &str) -> Result<&'t str, NftError> {
        match self.peek() {
            Token::Word(word) => {
                self.take();
                Ok(word)
            }
            _ => self.unexpected(expected),
        }
    }

    /// Takes a name: a letter, then letters, digits and `/ - _ .`.
    pub fn name(&mut self, of: &str) -> Result<String, NftError> {
        let expected = format!("the name of a {of}");
        match self.peek() {
            Token::Word(word) if is_name(word) => {
                self.take();
                Ok(word.clone())
            }
            _ => self.unexpected(&expected),
        }
    }

    /// Takes a string between quotes.
    pub fn quoted(&mut self) -> Result<&'t str, NftError> {
        match self.peek() {
            Token::Quoted(text) => {
                self.take();
                Ok(text)
            }
            _ => self.unexpected("a string between quotes"),
        }
    }

    /// Takes a string after `comment`, which has been taken.
    pub fn comment(&mut self) -> Result<String, NftError> {
        let at = self.at();
        let text = self.quoted()?;
        let length = text.len();
        if length > COMMENT {
            let fault = Fault::TooLong { what: "a comment", length, limit: COMMENT };
            return Err(NftError { at, fault });
        }
        Ok(text.to_owned())
    }

    /// Takes ends of lines, if any.
    pub fn newlines(&mut self) {
        while *self.peek() == Token::Newline {
            self.take();
        }
    }

    /// Takes what ends a statement, also before a closing brace: `;` or the end of the line,
    /// several if they are there.
    pub fn end_of_statement(&mut self) -> Result<(), NftError> {
        if !self.is_mark(";") && *self.peek() != Token::Newline {
            return self.unexpected("`;` or the end of the line");
        }
        self.separators();
        Ok(())
    }

    /// Takes `;` and ends of lines, if any.
    pub fn separators(&mut self) {
        while self.is_mark(";") || *self.peek() == Token::Newline {
            self.take();
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.'))
}
