//! `NetworkPolicyPort` (`k8s.io/api/networking/v1`).

use serde::Serialize;

use super::name::is_port_name;
use super::{PROTOCOLS, Spanned};
use crate::document::codes::Code;
use crate::document::context::{Context, Fields, Object};
use crate::document::yaml::{Node, Resolved, Value};
use crate::model::{PortMatch, PortRange, Protocol};

/// An item of a rule's `ports`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NetworkPolicyPort {
    #[serde(skip_serializing_if = "Option::is_none")]
    end_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Spanned<IntOrString>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "protocol_name")]
    protocol: Option<Protocol>,
}

/// A port's number or name (`k8s.io/apimachinery/pkg/util/intstr`).
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum IntOrString {
    Number(u16),
    Name(String),
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn protocol_name<S: serde::Serializer>(
    protocol: &Option<Protocol>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match protocol {
        Some(protocol) => serializer.collect_str(protocol),
        None => serializer.serialize_none(),
    }
}

impl NetworkPolicyPort {
    /// Reads an item of `ports`.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let fields = Fields::Known(&["port", "endPort", "protocol"]);
        let object = context.object(node, "an item of `ports`", fields)?;
        let protocol =
            object.value("protocol").map(|node| context.word(node, "`protocol`", &PROTOCOLS));
        let port = object.value("port").map(|node| {
            let value = read_port(context, node)?;
            Some(Spanned { span: node.span, value })
        });
        let end_port = object.value("endPort").map(|node| {
            let last = read_number(context, node, "`endPort`")?;
            check_range(context, &object, node, port.as_ref(), last).then_some(last)
        });
        // What is there must be right; what is absent may be.
        Some(Self {
            end_port: end_port.map_or(Some(None), |read| read.map(Some))?,
            port: port.map_or(Some(None), |read| read.map(Some))?,
            protocol: protocol.map_or(Some(None), |read| read.map(Some))?,
        })
    }

    /// What it matches. TCP is the API's default protocol.
    pub fn to_model(&self) -> PortMatch {
        let protocol = self.protocol();
        match self.port.as_ref().map(|port| &port.value) {
            None => PortMatch::Every(protocol),
            Some(IntOrString::Name(name)) => PortMatch::Named(protocol, name.clone()),
            Some(IntOrString::Number(first)) => {
                let last = self.end_port.unwrap_or(*first);
                let range = PortRange::new(*first, last).unwrap_or(PortRange::single(*first));
                PortMatch::Range(protocol, range)
            }
        }
    }

    /// The protocol, TCP if none is given.
    pub fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or(Protocol::Tcp)
    }
}

/// Checks that `endPort`, in `node`, ends a range that `port` begins.
fn check_range(
    context: &mut Context,
    object: &Object,
    node: &Node,
    port: Option<&Option<Spanned<IntOrString>>>,
    last: u16,
) -> bool {
    let (message, help, label) = match port {
        // The fault of the port itself has been reported.
        Some(None) => return true,
        Some(Some(Spanned { value: IntOrString::Number(first), span })) if last < *first => {
            let first_place = context.place(*span);
            context
                .error(
                    Code::EndPortBelow,
                    node.span,
                    format!("`endPort` {last} is below `port` {first}"),
                )
                .label("the range ends before it begins")
                .related(first_place, "it begins here")
                .help("swap the two, or give the last port of the range as `endPort`");
            return false;
        }
        Some(Some(Spanned { value: IntOrString::Number(_), .. })) => return true,
        Some(Some(Spanned { value: IntOrString::Name(name), .. })) => (
            format!("`endPort` does not go with the named port `{name}`"),
            "give both ends of the range as numbers",
            "a name stands for one port",
        ),
        None => (
            "`endPort` needs a `port`".to_owned(),
            "give the first port of the range as `port`",
            "where the range begins is not said",
        ),
    };
    let span = object.get("endPort").map_or(node.span, |entry| entry.key.span);
    context.error(Code::EndPortAlone, span, message).label(label).help(help);
    false
}

/// Reads a port's number or name.
fn read_port(context: &mut Context, node: &Node) -> Option<IntOrString> {
    let Value::Scalar(scalar) = &node.value else {
        context.wrong_type(node, "`port` is a number or a name");
        return None;
    };
    if scalar.resolve() != Resolved::Text {
        return read_number(context, node, "`port`").map(IntOrString::Number);
    }
    let name = scalar.text.as_ref();
    if is_port_name(name) {
        return Some(IntOrString::Name(name.to_owned()));
    }
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        context
            .error(Code::QuotedPort, node.span, format!("the port number {name} is in quotes"))
            .label("in quotes this is a name, and a name has a letter")
            .help(format!("remove the quotes: `{name}`"));
        return None;
    }
    invalid_port_name(context, node, name);
    None
}

/// Reports that `name` in `node` cannot be a port's name.
pub(super) fn invalid_port_name(context: &mut Context, node: &Node, name: &str) {
    context
        .error(Code::PortName, node.span, format!("`{name}` is not the name of a port"))
        .label("not a valid name")
        .help(
            "use up to 15 lower-case letters, digits and single `-` between them, \
             with one letter at least; the ends of a range are numbers in fields of their own",
        );
}

/// Reads a port number; `what` names the field.
pub(super) fn read_number(context: &mut Context, node: &Node, what: &str) -> Option<u16> {
    let number = context.integer(node, what)?;
    match u16::try_from(number) {
        Ok(port) if port > 0 => Some(port),
        _ => {
            context
                .error(Code::PortRange, node.span, format!("there is no port {number}"))
                .label("ports are 1 to 65535")
                .help(format!("give {what} a number from 1 to 65535"));
            None
        }
    }
}
