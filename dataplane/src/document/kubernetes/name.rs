//! The forms of names in the API (`k8s.io/apimachinery/pkg/util/validation`).

use super::Spanned;
use crate::document::codes::Code;
use crate::document::context::Context;
use crate::document::yaml::Node;

/// The longest DNS label (RFC 1123).
const LABEL_BYTES: usize = 63;

/// The longest DNS subdomain (RFC 1123).
const SUBDOMAIN_BYTES: usize = 253;

/// The longest port name (RFC 6335, IANA service names).
const PORT_NAME_BYTES: usize = 15;

/// Which form a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::document) enum NameRule {
    /// Lower-case letters, digits and `-`: namespaces.
    Label,
    /// Labels with dots between: everything else.
    Subdomain,
}

impl NameRule {
    /// Whether `name` has the form.
    pub fn accepts(self, name: &str) -> bool {
        match self {
            Self::Label => is_dns_label(name),
            Self::Subdomain => is_dns_subdomain(name),
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::Label => {
                "up to 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
            }
            Self::Subdomain => {
                "up to 253 lower-case letters, digits, `-` and `.`, with letters or digits around \
                 each dot and at both ends"
            }
        }
    }

    /// The name in `node`; `what` says whose: "a pod's name".
    pub fn read(self, context: &mut Context, node: &Node, what: &str) -> Option<Spanned<String>> {
        let text = context.text(node, what)?;
        if !self.accepts(text) {
            context
                .error(Code::InvalidName, node.span, format!("{what} cannot be `{text}`"))
                .label("not a valid name")
                .help(format!("use {}", self.form()));
            return None;
        }
        Some(Spanned { span: node.span, value: text.to_owned() })
    }
}

/// Whether `name` is a DNS label as Kubernetes has them: lower case.
pub(super) fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= LABEL_BYTES
        && name.bytes().all(inner)
        && !name.is_empty()
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether `name` is a DNS subdomain. Its parts may be longer than DNS labels, as in Kubernetes.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    let part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty()
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= SUBDOMAIN_BYTES && name.split('.').all(part)
}

/// Whether `name` can be the name of a port: up to 15 lower-case letters, digits and single `-`
/// within, one letter at least.
pub(in crate::document) fn is_port_name(name: &str) -> bool {
    is_dns_label(name)
        && name.len() <= PORT_NAME_BYTES
        && !name.contains("--")
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}
