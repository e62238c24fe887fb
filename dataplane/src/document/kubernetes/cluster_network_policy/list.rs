//! Lists with the API's limits (`MinItems`, `MaxItems`).

use crate::document::codes::Code;
use crate::document::context::Context;
use crate::document::yaml::{Entry, Node};

/// How many items a list of the API takes at most: rules, peers, protocols and networks alike.
const MOST: usize = 25;

/// Reads every item of the list of field `entry`; `what` names an item in the plural. An item with
/// faults is left out; its document is refused anyway.
pub(super) fn read<T>(
    context: &mut Context,
    entry: &Entry,
    what: &str,
    mut read: impl FnMut(&mut Context, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let field = entry.key.text();
    let items = context.list(&entry.value, &format!("`{field}` is a list of {what}"))?;
    if items.len() > MOST {
        context
            .error(
                Code::TooManyItems,
                items[MOST].span,
                format!("`{field}` has {} {what}, more than {MOST}", items.len()),
            )
            .label("the first one too many")
            .help("the API takes no more; divide them among several rules or policies");
    }
    Some(items.iter().filter_map(|item| read(context, item)).collect())
}

/// The same for a list that needs an item; `help` says what to write where it has none.
pub(super) fn read_some<T>(
    context: &mut Context,
    entry: &Entry,
    what: &str,
    help: &str,
    read_item: impl FnMut(&mut Context, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let items = read(context, entry, what, read_item)?;
    if context.list(&entry.value, "")?.is_empty() {
        context
            .error(
                Code::EmptyList,
                entry.value.span,
                format!("`{}` needs an item", entry.key.text()),
            )
            .label("an empty list does not mean everything here")
            .help(help);
        return None;
    }
    Some(items)
}
