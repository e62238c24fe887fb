//! Label keys and values (`k8s.io/apimachinery/pkg/util/validation`: `IsQualifiedName`,
//! `IsValidLabelValue`).

use super::name::is_dns_subdomain;
use crate::document::codes::Code;
use crate::document::context::Context;
use crate::document::source::Span;
use crate::document::yaml::{Entry, Node, Resolved, Value};
use crate::model::Labels;

/// The longest label value, and the longest name part of a key.
const NAME_BYTES: usize = 63;

/// Reads a mapping of labels; `what` says whose: "a pod's labels".
pub(super) fn read_labels(context: &mut Context, node: &Node, what: &str) -> Option<Labels> {
    let mut labels = Labels::new();
    let mut good = true;
    for entry in entries(context, node, what)? {
        let key = read_key(context, entry);
        let value = read_value(context, &entry.value);
        match (key, value) {
            (Some(key), Some(value)) => {
                labels.insert(key, value);
            }
            _ => good = false,
        }
    }
    good.then_some(labels)
}

/// Reads a mapping of annotations, whose values are any text.
pub(super) fn read_annotations(context: &mut Context, node: &Node) -> Option<Labels> {
    let mut annotations = Labels::new();
    let mut good = true;
    for entry in entries(context, node, "an object's annotations")? {
        match context.text(&entry.value, "an annotation's value") {
            Some(value) => {
                annotations.insert(entry.key.text().to_owned(), value.to_owned());
            }
            None => good = false,
        }
    }
    good.then_some(annotations)
}

/// Checks the label key `key` that stands at `span`.
pub(super) fn check_key(context: &mut Context, key: &str, span: Span) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_none_or(is_dns_subdomain) && is_label_name(name) {
        return true;
    }
    context
        .error(Code::LabelKey, span, format!("`{}` is not a label key", shown(key)))
        .label("not a valid key")
        .help(
            "use up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; \
             before it, if at all, a DNS name and `/`",
        );
    false
}

/// Reads a label value.
pub(super) fn read_value(context: &mut Context, node: &Node) -> Option<String> {
    if is_absent(node) {
        context
            .error(Code::Unquoted, node.span, "a label's value is text, not nothing")
            .label("there is no value here")
            .help("write `\"\"` for an empty value");
        return None;
    }
    let value = context.text(node, "a label's value")?;
    if !value.is_empty() && !is_label_name(value) {
        context
            .error(Code::LabelValue, node.span, format!("`{}` is not a label value", shown(value)))
            .label("not a valid value")
            .help(
                "use up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both \
                 ends; letters are those of ASCII",
            );
        return None;
    }
    Some(value.to_owned())
}

fn read_key(context: &mut Context, entry: &Entry) -> Option<String> {
    let key = &entry.key;
    match key.scalar.resolve() {
        // Kubernetes reads `80:` as the key "80".
        Resolved::Text | Resolved::Integer(_) => {}
        other => {
            let found = other.describe();
            context
                .error(Code::Unquoted, key.span, format!("a label's key is text, not {found}"))
                .label(format!("without quotes, YAML reads this as {found}"))
                .help(format!("quote it: `\"{}\"`", key.text()));
            return None;
        }
    }
    check_key(context, key.text(), key.span).then(|| key.text().to_owned())
}

fn entries<'n, 't>(
    context: &mut Context,
    node: &'n Node<'t>,
    what: &str,
) -> Option<&'n [Entry<'t>]> {
    match &node.value {
        Value::Mapping(entries) => Some(entries),
        _ => {
            context.wrong_type(node, &format!("{what} are a mapping of keys to values"));
            None
        }
    }
}

fn is_absent(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.plain && scalar.text.is_empty())
}

/// Up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_label_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    name.len() <= NAME_BYTES
        && name.bytes().all(inner)
        && end(name.bytes().next())
        && end(name.bytes().next_back())
}

/// A text for a message: characters that look like others are written as escapes.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c.to_string()
            } else {
                c.escape_unicode().to_string()
            }
        })
        .collect()
}
