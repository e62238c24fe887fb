//! Services: `ClusterNetworkPolicyProtocol` and `Port`.

use serde::Serialize;

use super::super::Spanned;
use super::super::name::is_port_name;
use super::super::port::{invalid_port_name, read_number};
use super::one_of;
use crate::document::codes::Code;
use crate::document::context::{Context, Fields};
use crate::document::yaml::{Entry, Node};
use crate::model;

/// An item of `protocols`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Protocol {
    Tcp(Transport),
    Udp(Transport),
    Sctp(Transport),
    /// A port by its name, of whichever protocol the destination gives the name to.
    DestinationNamedPort(Spanned<String>),
}

/// What `tcp`, `udp` and `sctp` match.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transport {
    destination_port: Port,
}

/// A port or a range of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Port {
    Number(u16),
    Range { start: u16, end: u16 },
}

impl Protocol {
    /// Reads an item of `protocols`.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let fields = &["tcp", "udp", "sctp", "destinationNamedPort"];
        let help = "name what it matches; a rule without `protocols` matches every protocol";
        let entry = one_of::read(context, node, "an item of `protocols`", fields, help)?;
        let transport = |context: &mut Context| Transport::read(context, entry);
        match entry.key.text() {
            "tcp" => transport(context).map(Self::Tcp),
            "udp" => transport(context).map(Self::Udp),
            "sctp" => transport(context).map(Self::Sctp),
            _ => read_name(context, &entry.value).map(Self::DestinationNamedPort),
        }
    }

    /// What it matches.
    pub fn to_model(&self) -> Vec<model::PortMatch> {
        let (protocol, transport) = match self {
            Self::Tcp(transport) => (model::Protocol::Tcp, transport),
            Self::Udp(transport) => (model::Protocol::Udp, transport),
            Self::Sctp(transport) => (model::Protocol::Sctp, transport),
            Self::DestinationNamedPort(name) => {
                let named = |protocol| model::PortMatch::Named(protocol, name.value.clone());
                return model::Protocol::ALL.map(named).into();
            }
        };
        let range = match transport.destination_port {
            Port::Number(port) => model::PortRange::single(port),
            Port::Range { start, end } => model::PortRange::new(start, end)
                .expect("ranges that do not ascend were refused when reading"),
        };
        vec![model::PortMatch::Range(protocol, range)]
    }
}

fn read_name(context: &mut Context, node: &Node) -> Option<Spanned<String>> {
    let name = context.text(node, "`destinationNamedPort`")?;
    if !is_port_name(name) {
        invalid_port_name(context, node, name);
        return None;
    }
    Some(Spanned { span: node.span, value: name.to_owned() })
}

impl Transport {
    fn read(context: &mut Context, entry: &Entry) -> Option<Self> {
        let what = format!("`{}`", entry.key.text());
        let help = "give a `destinationPort`; the range 1 to 65535 means every port";
        let port = one_of::read(context, &entry.value, &what, &["destinationPort"], help)?;
        let help = "give a `number`, or a `range` with `start` and `end`";
        let fields = &["number", "range"];
        let port = one_of::read(context, &port.value, "`destinationPort`", fields, help)?;
        let destination_port = match port.key.text() {
            "number" => Port::Number(read_number(context, &port.value, "`number`")?),
            _ => read_range(context, &port.value)?,
        };
        Some(Self { destination_port })
    }
}

fn read_range(context: &mut Context, node: &Node) -> Option<Port> {
    let what = "a port range";
    let object = context.object(node, what, Fields::Known(&["start", "end"]))?;
    let mut bound = |field: &str| match object.value(field) {
        Some(node) => read_number(context, node, &format!("`{field}`")),
        None => {
            context.missing(&object, what, field);
            None
        }
    };
    let (start, end) = (bound("start"), bound("end"));
    let (start, end) = (start?, end?);
    if start < end {
        return Some(Port::Range { start, end });
    }
    let span = object.value("end").map_or(node.span, |end| end.span);
    let help = if start == end {
        format!("for the one port write `number: {start}`")
    } else {
        format!("swap the two: `start: {end}`, `end: {start}`")
    };
    context
        .error(
            Code::BackwardRange,
            span,
            format!("the range from {start} to {end} does not ascend"),
        )
        .label("`end` must be above `start`")
        .help(help);
    None
}
