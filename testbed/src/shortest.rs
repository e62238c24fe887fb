//! What is enough of a sequence to lead to the same.

/// As few of `items`, in their order, as still `lead` to what all of them lead to: pieces are left
/// out as long as that changes nothing, at first halves, single items at last. The last item is
/// always kept: it is the one that something is said about.
pub fn shortest<T: Clone>(items: &[T], mut lead: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    let mut chunk = kept.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start + chunk < kept.len() {
            let without = [&kept[..start], &kept[start + chunk..]].concat();
            if lead(&without) {
                kept = without;
            } else {
                start += chunk;
            }
        }
        chunk /= 2;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::shortest;

    #[test]
    fn what_is_needed_is_kept_and_nothing_else() {
        let items: Vec<u32> = (1..=100).collect();
        let lead = |kept: &[u32]| kept.contains(&7) && kept.contains(&64);
        assert_eq!(shortest(&items, lead), [7, 64, 100]);
        assert_eq!(shortest(&items, |_| true), [100]);
        assert_eq!(shortest(&items, |_| false), items);
    }
}
