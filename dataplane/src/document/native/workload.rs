//! `Workload`: what runs on a host that Kubernetes does not describe.

use std::net::IpAddr;

use crate::document::codes::Code;
use crate::document::context::{Context, Fields, Object};
use crate::document::diagnostic::Severity;
use crate::document::kubernetes::{NameRule, ObjectMeta, Spanned, read_port_fields, unique_ports};
use crate::document::yaml::Node;
use crate::model::{Workload, WorkloadName};

/// The longest name of an interface (`IFNAMSIZ` without the final NUL).
const INTERFACE_BYTES: usize = 15;

/// A workload, and where its name and addresses stand.
#[derive(Clone, Debug)]
pub(in crate::document) struct WorkloadDocument {
    pub name: Spanned<String>,
    pub workload: Workload,
    pub addresses: Vec<Spanned<IpAddr>>,
}

impl WorkloadDocument {
    /// Reads a document whose kind is known to be Workload; nothing if it has errors.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let before = context.findings.errors;
        let what = "a Workload";
        let fields = Fields::Known(&["apiVersion", "kind", "metadata", "spec"]);
        let object = context.object(node, what, fields)?;
        let metadata = match object.value("metadata") {
            Some(node) => ObjectMeta::read(context, node, what, NameRule::Subdomain),
            None => {
                context.missing(&object, what, "metadata");
                None
            }
        };
        let fields = Fields::Known(&["addresses", "ports", "interface", "host"]);
        let spec =
            object.value("spec").and_then(|node| context.object(node, "a Workload's spec", fields));
        let (mut addresses, mut ports, mut interface, mut host) = Default::default();
        if let Some(spec) = spec {
            addresses = read_addresses(context, &spec);
            ports = read_ports(context, &spec);
            interface = spec.value("interface").and_then(|node| read_interface(context, node));
            host = spec.value("host").and_then(|node| context.boolean(node, "`host`"));
        }
        let metadata = metadata?;
        let namespace = metadata.namespace_or_default(context);
        let host = host.unwrap_or(false);
        let workload = Workload {
            name: WorkloadName::new(namespace, &metadata.name.value),
            labels: metadata.workload_labels(context, host),
            addresses: addresses.iter().map(|address| address.value).collect(),
            ports: unique_ports(context, ports, Severity::Error),
            interface,
            host,
        };
        let good = context.findings.errors == before;
        good.then_some(Self { name: metadata.name, workload, addresses })
    }
}

/// Reads an address that a workload can have.
pub(in crate::document) fn read_address(
    context: &mut Context,
    node: &Node,
) -> Option<Spanned<IpAddr>> {
    let text = context.text(node, "an address")?;
    let fault = match text.parse::<IpAddr>() {
        Err(_) if text.contains('/') => {
            Some("leave out the prefix length: `10.0.0.1`, not `10.0.0.1/24`")
        }
        Err(_) => Some("write it as `10.0.0.1` or `2001:db8::1`, without leading zeros or zone"),
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Some("write IPv4 addresses as IPv4")
        }
        Ok(address)
            if address.is_unspecified() || address.is_multicast() || address.is_loopback() =>
        {
            Some("give the address that other hosts reach it at")
        }
        Ok(value) => return Some(Spanned { span: node.span, value }),
    };
    context
        .error(Code::InvalidAddress, node.span, format!("`{text}` is no address of a workload"))
        .label("not the address of one workload")
        .help(fault.unwrap_or_default());
    None
}

fn read_addresses(context: &mut Context, spec: &Object) -> Vec<Spanned<IpAddr>> {
    let Some(node) = spec.value("addresses") else { return Vec::new() };
    let items = context.list(node, "`addresses` is a list of addresses").into_iter().flatten();
    items.filter_map(|item| read_address(context, item)).collect()
}

fn read_ports(context: &mut Context, spec: &Object) -> Vec<Spanned<crate::model::NamedPort>> {
    let Some(node) = spec.value("ports") else { return Vec::new() };
    let items = context.list(node, "`ports` is a list of ports").into_iter().flatten();
    let fields = Fields::Known(&["name", "protocol", "port"]);
    items
        .filter_map(|item| {
            let port = context.object(item, "a workload's port", fields)?;
            if port.value("name").is_none() {
                context.missing(&port, "a workload's port", "name");
            }
            read_port_fields(context, &port, "port")
        })
        .collect()
}

fn read_interface(context: &mut Context, node: &Node) -> Option<String> {
    let name = context.text(node, "an interface's name")?;
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty()
        || name.len() > INTERFACE_BYTES
        || name.contains(bad)
        || name.starts_with('.')
    {
        context
            .error(
                Code::InterfaceName,
                node.span,
                format!("`{name}` is not the name of an interface"),
            )
            .label("Linux does not have such names")
            .help("use up to 15 characters, without spaces, `/` and `:`, as `ip link` shows it");
        return None;
    }
    Some(name.to_owned())
}
