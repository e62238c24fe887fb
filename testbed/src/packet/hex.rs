//! Bytes as text.

use std::fmt::Write as _;

/// Bytes as case files write them: two lower-case hexadecimal digits for each, nothing between.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes every digit");
        text
    })
}
