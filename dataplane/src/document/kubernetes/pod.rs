//! `Pod` (`k8s.io/api/core/v1`).

use std::net::IpAddr;

use super::Spanned;
use super::meta::ObjectMeta;
use super::name::NameRule;
use super::workload_port::{read_port_fields, unique_ports};
use crate::document::codes::Code;
use crate::document::context::{Context, Fields, Object};
use crate::document::diagnostic::Severity;
use crate::document::native::read_address;
use crate::document::source::Span;
use crate::document::yaml::Node;
use crate::model::{NamedPort, Workload, WorkloadName};

/// What is read of a Pod. A pod has hundreds of fields; those that are not read may be anything.
#[derive(Clone, Debug)]
pub(in crate::document) struct Pod {
    metadata: ObjectMeta,
    ports: Vec<NamedPort>,
    addresses: Vec<Spanned<IpAddr>>,
    /// Where it says that it shares its host's network.
    host_network: Option<Span>,
    /// Whether it has ended and given up its addresses.
    ended: bool,
}

impl Pod {
    /// Reads a document whose kind is known to be Pod; nothing if it has errors.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let before = context.findings.errors;
        let what = "a Pod";
        let fields = Fields::Known(&["apiVersion", "kind", "metadata", "spec", "status"]);
        let object = context.object(node, what, fields)?;
        let metadata = match object.value("metadata") {
            Some(node) => ObjectMeta::read(context, node, what, NameRule::Subdomain),
            None => {
                context.missing(&object, what, "metadata");
                None
            }
        };
        let mut pod = Self {
            metadata: metadata?,
            ports: Vec::new(),
            addresses: Vec::new(),
            host_network: None,
            ended: false,
        };
        if let Some(node) = object.value("spec") {
            pod.read_spec(context, node);
        }
        if let Some(node) = object.value("status") {
            pod.read_status(context, node);
        }
        (context.findings.errors == before).then_some(pod)
    }

    /// Where its name stands.
    pub fn span(&self) -> Span {
        self.metadata.name.span
    }

    /// The workload it is, and where its addresses stand. Nothing for a pod that has no addresses
    /// of its own, which is reported if it is not expected.
    pub fn to_model(&self, context: &mut Context) -> Option<(Workload, Vec<Spanned<IpAddr>>)> {
        let namespace = self.metadata.namespace_or_default(context);
        let name = WorkloadName::new(namespace, &self.metadata.name.value);
        if self.ended {
            return None;
        }
        if let Some(span) = self.host_network {
            context
                .warning(Code::HostNetworkPod, span, format!("pod `{name}` is left out"))
                .label("it has its host's addresses, and with them its host's identity")
                .help("to protect it, describe the host as a `Workload` with `host: true`");
            return None;
        }
        let workload = Workload {
            name,
            labels: self.metadata.workload_labels(context, false),
            addresses: self.addresses.iter().map(|address| address.value).collect(),
            ports: self.ports.clone(),
            interface: None,
            host: false,
        };
        Some((workload, self.addresses.clone()))
    }

    fn read_spec(&mut self, context: &mut Context, node: &Node) {
        let Some(spec) = context.object(node, "a Pod's spec", Fields::Open) else { return };
        if let Some(node) = spec.value("hostNetwork")
            && context.boolean(node, "`hostNetwork`") == Some(true)
        {
            self.host_network = Some(node.span);
        }
        let mut ports = Vec::new();
        for container in containers(context, &spec, "containers") {
            ports.extend(read_ports(context, &container));
        }
        // Only sidecars run beside the containers (`Container.restartPolicy`).
        for container in containers(context, &spec, "initContainers") {
            let policy = container.value("restartPolicy");
            let policy = policy.and_then(|node| context.text(node, "`restartPolicy`"));
            if policy == Some("Always") {
                ports.extend(read_ports(context, &container));
            }
        }
        self.ports = unique_ports(context, ports, Severity::Warning);
    }

    fn read_status(&mut self, context: &mut Context, node: &Node) {
        let Some(status) = context.object(node, "a Pod's status", Fields::Open) else { return };
        if let Some(node) = status.value("phase") {
            let phase = context.text(node, "`phase`");
            self.ended = matches!(phase, Some("Succeeded" | "Failed"));
        }
        let all = status.value("podIPs").and_then(|node| context.list(node, "`podIPs` is a list"));
        for item in all.into_iter().flatten() {
            if let Some(item) = context.object(item, "an item of `podIPs`", Fields::Open)
                && let Some(node) = item.value("ip")
            {
                self.addresses.extend(read_address(context, node));
            }
        }
        // `podIP` is the first of `podIPs`; old servers give it alone.
        if let (None | Some([]), Some(node)) = (all, status.value("podIP")) {
            self.addresses.extend(read_address(context, node));
        }
    }
}

fn containers<'n, 't>(
    context: &mut Context,
    spec: &Object<'n, 't>,
    field: &str,
) -> Vec<Object<'n, 't>> {
    let Some(node) = spec.value(field) else { return Vec::new() };
    let items = context.list(node, &format!("`{field}` is a list of containers"));
    let items = items.into_iter().flatten();
    items.filter_map(|item| context.object(item, "a container", Fields::Open)).collect()
}

fn read_ports(context: &mut Context, container: &Object) -> Vec<Spanned<NamedPort>> {
    let Some(node) = container.value("ports") else { return Vec::new() };
    let items = context.list(node, "`ports` is a list of ports").into_iter().flatten();
    items
        .filter_map(|item| {
            let port = context.object(item, "a container's port", Fields::Open)?;
            read_port_fields(context, &port, "containerPort")
        })
        .collect()
}
