//! What sets the kernel holds, as `ipset save` prints them.
//!
//! Only the names of sets and the comments of ours are read; of the elements only that they are
//! the same as before, and how many.

use std::collections::BTreeMap;

use crate::backend::chains::{About, hash};
use crate::backend::tool::{ToolError, Tools};

/// The tool.
pub(super) const IPSET: &str = "ipset";

/// How the names of our sets begin.
const NAMES: [&str; 2] = ["rf4-", "rf6-"];

/// Sets with names like ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct Listed {
    pub(in crate::backend) sets: BTreeMap<String, ListedSet>,
}

/// What is known of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct ListedSet {
    /// Elements.
    pub(in crate::backend) elements: usize,
    /// Elements with a comment of ours.
    marked: usize,
    /// A number for its elements, whatever their order.
    pub(in crate::backend) print: u64,
}

impl Listed {
    /// Asks the kernel; nothing is there where the tool is not installed.
    ///
    /// # Errors
    ///
    /// [`ToolError`].
    pub(in crate::backend) fn ask(tools: &Tools) -> Result<Self, ToolError> {
        if tools.find(IPSET).is_none() {
            return Ok(Self::default());
        }
        tools.ask(IPSET, &["save"]).map(|text| Self::read(&text))
    }

    /// The names of those that are ours. A set that holds something, but nothing of ours, is
    /// somebody else's.
    pub(in crate::backend) fn ours(&self) -> impl Iterator<Item = &String> {
        let ours = self.sets.iter().filter(|(_, set)| set.elements == 0 || set.marked > 0);
        ours.map(|(name, _)| name)
    }

    pub(super) fn read(text: &str) -> Self {
        let mut listed = Self::default();
        for line in text.lines() {
            let Some((verb, rest)) = line.split_once(' ') else { continue };
            let (name, element) = rest.split_once(' ').unwrap_or((rest, ""));
            if !NAMES.iter().any(|begin| name.starts_with(begin)) {
                continue;
            }
            let set = listed.sets.entry(name.to_owned()).or_default();
            if verb == "add" {
                set.elements += 1;
                set.marked += usize::from(comment(element).starts_with(About::MARK));
                let known_by = [key(element), comment(element)];
                set.print = set.print.wrapping_add(hash::of_chain(known_by));
            }
        }
        listed
    }
}

/// The element itself.
fn key(element: &str) -> &str {
    element.split(' ').next().unwrap_or_default()
}

/// The comment of an element, which stands last; empty if it has none.
fn comment(element: &str) -> &str {
    let comment = element.split_once(" comment \"").map(|(_, comment)| comment);
    comment.map_or("", |comment| comment.trim_end_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
create rf4-in-0000002a-1a.0 hash:net family inet hashsize 1024 maxelem 65536 comment
add rf4-in-0000002a-1a.0 10.0.0.0/8 packets 3 bytes 180 comment \"rf:0000000b a\"
add rf4-in-0000002a-1a.0 11.0.0.0/8 comment \"rf:0000000c b\"
create rf6-in-0000002a-1a.1 hash:net family inet6 hashsize 1024 maxelem 65536 comment
create rf4-else hash:ip family inet hashsize 1024 maxelem 65536
add rf4-else 10.0.0.1
create blocklist hash:ip family inet hashsize 1024 maxelem 65536 comment
add blocklist 10.0.0.2 comment \"rf:0000000b\"
";

    #[test]
    fn sets_of_ours_are_told_by_name_and_comments() {
        let listed = Listed::read(SAVED);
        let ours: Vec<&String> = listed.ours().collect();
        assert_eq!(ours, ["rf4-in-0000002a-1a.0", "rf6-in-0000002a-1a.1"]);
        assert!(listed.sets.contains_key("rf4-else") && !listed.sets.contains_key("blocklist"));
        assert_eq!(listed.sets["rf4-in-0000002a-1a.0"].elements, 2);
    }

    #[test]
    fn the_print_is_of_the_elements_alone() {
        let print = |text: &str| Listed::read(text).sets["rf4-in-0000002a-1a.0"].print;
        let mut lines: Vec<&str> = SAVED.lines().collect();
        lines.swap(1, 2);
        let swapped = lines.join("\n").replace("packets 3 bytes 180 ", "");
        assert_eq!(print(&swapped), print(SAVED), "order and counters");
        assert_ne!(print(&SAVED.replace("add rf4-in-0000002a-1a.0 11.0.0.0/8", "")), print(SAVED));
        assert_ne!(print(&SAVED.replace("10.0.0.0/8", "10.0.0.0/9")), print(SAVED));
        assert_ne!(print(&SAVED.replace("0000000c", "0000000d")), print(SAVED));
    }
}
