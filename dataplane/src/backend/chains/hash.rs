//! A number for the text of a chain, by which a chain that somebody has changed is noticed.

/// 64-bit FNV-1a (Fowler, Noll, Vo) of the lines of a chain, each with its end.
#[must_use]
pub fn of_chain<'a>(lines: impl IntoIterator<Item = &'a str>) -> u64 {
    let bytes = lines.into_iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What the comment of a chain's first rule begins with: `rf#` and sixteen hex digits.
pub const HASH_MARK: &str = "rf#";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_the_ends_of_lines_count() {
        // Worked out by hand, as the algorithm is defined, for `a` and a line feed.
        assert_eq!(of_chain(["a"]), 0x089b_dc07_b544_e7b2);
        assert_ne!(of_chain(["a", "b"]), of_chain(["b", "a"]));
        assert_ne!(of_chain(["ab"]), of_chain(["a", "b"]));
    }
}
