//! Ports of workloads: `ContainerPort` (`k8s.io/api/core/v1`), and those of our own documents.

use super::port::{invalid_port_name, read_number};
use super::{PROTOCOLS, Spanned, is_port_name};
use crate::document::codes::Code;
use crate::document::context::{Context, Object};
use crate::document::diagnostic::Severity;
use crate::model::{NamedPort, Protocol};

/// Reads `name`, `protocol` and the number in field `number` of a port. Nothing if the port has no
/// name, for only names are of interest, or if it has faults.
pub(in crate::document) fn read_port_fields(
    context: &mut Context,
    object: &Object,
    number: &str,
) -> Option<Spanned<NamedPort>> {
    let protocol = match object.value("protocol") {
        Some(node) => context.word(node, "`protocol`", &PROTOCOLS),
        None => Some(Protocol::Tcp),
    };
    let port = match object.value(number) {
        Some(node) => read_number(context, node, &format!("`{number}`")),
        None => {
            context.missing(object, "a port", number);
            None
        }
    };
    let node = object.value("name")?;
    let name = context.text(node, "a port's name")?;
    if !is_port_name(name) {
        invalid_port_name(context, node, name);
        return None;
    }
    let value = NamedPort { name: name.to_owned(), protocol: protocol?, port: port? };
    Some(Spanned { span: node.span, value })
}

/// The ports without those whose name and protocol another one has with another number, which are
/// reported; the first one counts.
pub(in crate::document) fn unique_ports(
    context: &mut Context,
    ports: Vec<Spanned<NamedPort>>,
    severity: Severity,
) -> Vec<NamedPort> {
    let mut unique: Vec<Spanned<NamedPort>> = Vec::new();
    for port in ports {
        let same = |other: &&Spanned<NamedPort>| {
            other.value.name == port.value.name && other.value.protocol == port.value.protocol
        };
        let Some(first) = unique.iter().find(same) else {
            unique.push(port);
            continue;
        };
        if first.value.port == port.value.port {
            continue;
        }
        let place = context.place(first.span);
        let NamedPort { name, port: number, .. } = &first.value;
        let message = format!("the port name `{name}` is used twice");
        context
            .report(Code::DuplicatePort, severity, port.span, message)
            .label("this one does not count")
            .related(place, format!("it is port {number} here"))
            .help("give each port a name of its own");
    }
    unique.into_iter().map(|port| port.value).collect()
}
