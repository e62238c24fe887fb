//! nft text, read by the grammar of nft(8), and walked as the kernel does.
//!
//! # Goals
//!
//! 1. Text means here what it means to nft 1.0.6 and Linux 6.18: what nft adds silently (`ip saddr`
//!    asks for IPv4 first, `tcp dport` for TCP, `th dport` for nothing, so that it reads whatever
//!    stands there in ICMP), how verdicts end chains, what a field is that a packet lacks.
//! 2. What nft or the kernel refuses is refused, with line and column: names that are missing,
//!    overlapping elements, types that do not fit, chains that lead to themselves.
//! 3. Nothing is skipped. What is not known here is refused too, though nft may know it.
//!
//! # Design
//!
//! `lexer` → `parser`, `rules`, `elements` → `syntax` → `contents`, which runs the commands
//! as one transaction and lets `check` refuse → `walk`. Values are numbers in network order, or
//! names of interfaces; keys are intervals of them.
//!
//! Stricter than nft, because whoever writes such text has made a mistake: overlapping elements are
//! refused where nft would merge them, bits below a prefix where it would cut them off, leading
//! zeros where it would read octal, unquoted names of interfaces, and wildcards in them.
//!
//! # Not done
//!
//! Families other than `inet`, NAT, limits, sets that change by themselves, `fib` beyond `fib daddr
//! type local`, `typeof`, named services, dates in words (nft takes them for local time).

mod check;
mod contents;
mod cursor;
mod elements;
mod error;
mod fields;
mod lexer;
mod parser;
mod rules;
mod syntax;
mod values;
mod walk;

#[cfg(test)]
mod tests;

use self::contents::Contents;
pub use self::error::{Fault, NftError, Position};
use super::{Ruleset, Seen, Verdict};

/// What nft has installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nftables {
    contents: Contents,
}

impl Nftables {
    /// What `text` makes of nothing.
    ///
    /// # Errors
    ///
    /// [`NftError`] where nft would refuse the text, or it is not understood here.
    pub fn read(text: &str) -> Result<Self, NftError> {
        let mut installed = Self::default();
        installed.change(text)?;
        Ok(installed)
    }

    /// What `text` makes of what is installed: all of it or nothing, as `nft -f` does.
    ///
    /// # Errors
    ///
    /// As [`Nftables::read`].
    pub fn change(&mut self, text: &str) -> Result<(), NftError> {
        self.contents.change(text)
    }
}

impl Ruleset for Nftables {
    fn verdict(&self, seen: &Seen<'_>) -> Verdict {
        self.contents.verdict(seen)
    }
}
