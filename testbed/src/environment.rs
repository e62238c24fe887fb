//! Numbers that the environment asks tests for.

use std::env;
use std::ffi::OsStr;

/// The variable that gives the seed from which tests draw. The same seed draws the same.
pub const SEED: &str = "RINGFENCE_SEED";

/// The number in the variable `name`, where it is set. `_` between digits is left out:
/// `1_000_000` is a million.
///
/// # Panics
///
/// When the variable is no whole number from 0 to 2^64 - 1.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    env::var_os(name).map(|text| read(name, &text))
}

fn read(name: &str, text: &OsStr) -> u64 {
    let digits = text.to_str().map(|text| text.replace('_', ""));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| {
        panic!(
            "`{name}` is `{}`, and has to be a whole number like `7` or `1_000_000`",
            text.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::read;

    #[test]
    fn digits_may_be_grouped() {
        let numbers = ["7", "1_000_000", "18446744073709551615"];
        let read = numbers.map(|text| read("A", OsStr::new(text)));
        assert_eq!(read, [7, 1_000_000, u64::MAX]);
    }

    #[test]
    #[should_panic(expected = "`RINGFENCE_SEED` is `seven`, and has to be a whole number")]
    fn a_word_is_refused_by_name() {
        read(super::SEED, OsStr::new("seven"));
    }

    #[test]
    #[should_panic(expected = "`A` is ``, and has to be a whole number")]
    fn nothing_is_no_number() {
        read("A", OsStr::new(""));
    }
}
