//! What sets the kernel holds, as `ipset save` prints them.
//!
//! Only the names and types of sets and the comments of ours are read; of the elements only that
//! they are the same as before, and how many.

use std::collections::BTreeMap;

use crate::backend::chains::{About, hash};
use crate::backend::tool::{ToolError, Tools};

/// The tool.
pub(in crate::backend::xtables) const IPSET: &str = "ipset";

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
    /// Whether its name and its type are such as we give.
    is_of_our_making: bool,
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

    /// The names of those that are ours: named and made as ours are, and holding something of ours
    /// or nothing at all. What begins with `rf4-` and is otherwise is somebody else's.
    pub(in crate::backend) fn ours(&self) -> impl Iterator<Item = &String> {
        let is_ours =
            |set: &ListedSet| set.is_of_our_making && (set.elements == 0 || set.marked > 0);
        let ours = self.sets.iter().filter(move |(_, set)| is_ours(set));
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
            if verb == "create" {
                set.is_of_our_making = is_of_our_making(name, element);
            } else if verb == "add" {
                set.elements += 1;
                set.marked += usize::from(comment(element).starts_with(About::MARK));
                let known_by = [key(element), comment(element)];
                set.print = set.print.wrapping_add(hash::of_chain(known_by));
            }
        }
        listed
    }
}

/// Whether a set is called and made as ours are: `rf4-in-1a2b3c4d-1a.0`, `rf6-own.0`,
/// `rf4-local.2`, each of its type and family, with comments. `made` is what stands behind its name.
fn is_of_our_making(name: &str, made: &str) -> bool {
    let words: Vec<&str> = made.split(' ').collect();
    let Some((base, number)) = name.rsplit_once('.') else { return false };
    let Some((prefix, about)) = base.split_once('-') else { return false };
    let family = if prefix == "rf4" { "inet" } else { "inet6" };
    let kinds: &[&str] = match about {
        "own" => &["hash:net,iface"],
        "local" => &["hash:net"],
        side if is_side(side) => &["hash:net", "hash:net,port"],
        _ => return false,
    };
    !number.is_empty()
        && number.bytes().all(|digit| digit.is_ascii_digit())
        && kinds.contains(&words[0])
        && words.windows(2).any(|pair| pair == ["family", family])
        && words.contains(&"comment")
}

/// `in-1a2b3c4d-1a`: the direction, the subject, and the form with what is decided.
fn is_side(side: &str) -> bool {
    let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let [direction, subject, form] = side.split('-').collect::<Vec<_>>()[..] else { return false };
    let is_form = match form.as_bytes() {
        [place, decision, rest @ ..] => {
            place.is_ascii_digit()
                && b"aodn".contains(decision)
                && rest.iter().all(|byte| is_hex(*byte) || b"lijtusp".contains(byte))
        }
        _ => false,
    };
    matches!(direction, "in" | "out")
        && subject.len() == 8
        && subject.bytes().all(is_hex)
        && is_form
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
    fn a_set_is_ours_only_if_it_is_named_and_made_as_ours_are() {
        let net = "hash:net family inet hashsize 64 maxelem 1048576 comment bucketsize 12";
        for (name, made, ours) in [
            ("rf4-in-0000002a-1a.0", net, true),
            ("rf4-out-0000002a-4dlt1f402328.12", net, true),
            ("rf4-local.3", net, true),
            ("rf4-own.0", "hash:net,iface family inet hashsize 64 maxelem 9 comment", true),
            ("rf6-in-0000002a-4n.0", "hash:net,port family inet6 hashsize 64 comment", true),
            ("rf4-blocklist", net, false),
            ("rf4-blocklist.0", net, false),
            ("rf4-in-0000002a-1a", net, false),
            ("rf4-in-0000002a-1a.x", net, false),
            ("rf4-in-2a-1a.0", net, false),
            ("rf4-own.0", net, false),
            ("rf6-local.0", net, false),
            ("rf4-local.0", "hash:net family inet hashsize 64 maxelem 9", false),
            ("rf4-local.0", "hash:ip family inet hashsize 64 maxelem 9 comment", false),
        ] {
            let listed = Listed::read(&format!("create {name} {made}\n"));
            assert_eq!(listed.ours().count() == 1, ours, "{name} {made}");
        }
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
