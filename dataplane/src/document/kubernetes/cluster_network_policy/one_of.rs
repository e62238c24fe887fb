//! Objects of which exactly one field is set (`MinProperties=1`, `MaxProperties=1` in the API).

use crate::document::codes::Code;
use crate::document::context::{Context, Fields, Object, list};
use crate::document::yaml::{Entry, Node};

/// The only field of `node`, which is `what` (with its article) and has one of `fields`. `help`
/// says what to write where there is none.
pub(super) fn read<'n, 't>(
    context: &mut Context,
    node: &'n Node<'t>,
    what: &str,
    fields: &'static [&'static str],
    help: &str,
) -> Option<&'n Entry<'t>> {
    let before = context.findings.errors;
    let object = context.object(node, what, Fields::Known(fields))?;
    let mut set = fields.iter().filter_map(|field| object.get(field));
    match (set.next(), set.next()) {
        (Some(only), None) => Some(only),
        // An unknown field is likely to be the one that was meant.
        (None, _) if context.findings.errors > before => None,
        (None, _) => {
            none(context, &object, what, fields, help);
            None
        }
        (Some(first), Some(second)) => {
            two(context, what, first, second);
            None
        }
    }
}

fn none(context: &mut Context, object: &Object, what: &str, fields: &[&str], help: &str) {
    context
        .error(Code::NotOneField, object.span, format!("{what} needs one of its fields"))
        .label(format!("it has no {}", list(fields)))
        .help(help);
}

fn two(context: &mut Context, what: &str, first: &Entry, second: &Entry) {
    let (later, earlier) =
        if first.key.span < second.key.span { (second, first) } else { (first, second) };
    let place = context.place(earlier.key.span);
    let message = format!("{what} has `{}` and `{}` at once", earlier.key.text(), later.key.text());
    context
        .error(Code::NotOneField, later.key.span, message)
        .label("it takes one field")
        .related(place, "the other one")
        .help("make two items of it, or keep one of the two");
}
