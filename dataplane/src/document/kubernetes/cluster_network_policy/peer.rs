//! Subjects and peers: `ClusterNetworkPolicySubject`, `ClusterNetworkPolicyIngressPeer`,
//! `ClusterNetworkPolicyEgressPeer`.

use serde::Serialize;

use super::super::Spanned;
use super::super::peer::Cidr;
use super::super::selector::LabelSelector;
use super::{list, one_of};
use crate::document::codes::Code;
use crate::document::context::{Context, Fields};
use crate::document::yaml::{Entry, Node};

/// Workloads by their labels; what a policy is about, or a peer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Subject {
    /// All those in these namespaces.
    Namespaces(Spanned<LabelSelector>),
    /// Some of those in some namespaces.
    Pods(NamespacedPod),
}

/// `NamespacedPod`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NamespacedPod {
    /// Without it, every namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Spanned<LabelSelector>>,
    pub pod_selector: Spanned<LabelSelector>,
}

/// An item of `from` or `to`.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Peer {
    Workloads(Subject),
    Networks { networks: Vec<Cidr> },
}

const ANYBODY: &str = "name whom it selects; `namespaces: {}` means every workload everywhere";

impl Subject {
    /// Reads a subject, which is `what`.
    pub fn read(context: &mut Context, node: &Node, what: &str) -> Option<Self> {
        let entry = one_of::read(context, node, what, &["namespaces", "pods"], ANYBODY)?;
        Self::of(context, entry)
    }

    /// Reads the field `namespaces` or `pods`.
    fn of(context: &mut Context, entry: &Entry) -> Option<Self> {
        match entry.key.text() {
            "pods" => NamespacedPod::read(context, &entry.value).map(Self::Pods),
            field => LabelSelector::read(context, &entry.value, field).map(Self::Namespaces),
        }
    }
}

impl NamespacedPod {
    fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let what = "`pods`";
        let fields = Fields::Known(&["namespaceSelector", "podSelector"]);
        let object = context.object(node, what, fields)?;
        let namespace_selector = object
            .value("namespaceSelector")
            .map(|node| LabelSelector::read(context, node, "namespaceSelector"));
        let pod_selector = match object.value("podSelector") {
            Some(node) => LabelSelector::read(context, node, "podSelector"),
            None => {
                context.missing(&object, what, "podSelector");
                None
            }
        };
        let namespace_selector = match namespace_selector {
            Some(read) => Some(read?),
            None => None,
        };
        Some(Self { namespace_selector, pod_selector: pod_selector? })
    }
}

impl Peer {
    /// Reads an item of `from`.
    pub fn read_ingress(context: &mut Context, node: &Node) -> Option<Self> {
        Subject::read(context, node, "an ingress peer").map(Self::Workloads)
    }

    /// Reads an item of `to`.
    pub fn read_egress(context: &mut Context, node: &Node) -> Option<Self> {
        let fields = &["namespaces", "pods", "nodes", "networks", "domainNames"];
        let help = "name whom it selects; `namespaces: {}` means every workload, \
                    `networks: [ 0.0.0.0/0, \"::/0\" ]` every address";
        let entry = one_of::read(context, node, "an egress peer", fields, help)?;
        match entry.key.text() {
            "networks" => Some(Self::Networks { networks: read_networks(context, entry)? }),
            "nodes" => {
                nodes(context, entry);
                None
            }
            "domainNames" => {
                domain_names(context, entry);
                None
            }
            _ => Subject::of(context, entry).map(Self::Workloads),
        }
    }
}

fn read_networks(context: &mut Context, entry: &Entry) -> Option<Vec<Cidr>> {
    let help = "list one CIDR block at least; `[ 0.0.0.0/0, \"::/0\" ]` means every address";
    let mut seen = Vec::new();
    list::read_some(context, entry, "CIDR blocks", help, |context, item| {
        let cidr = Cidr::read(context, item)?;
        if let Some((_, first)) = seen.iter().find(|(text, _)| text == cidr.text()) {
            let first = context.place(*first);
            context
                .error(
                    Code::NotAllowed,
                    item.span,
                    format!("`{}` is in `networks` twice", cidr.text()),
                )
                .label("here again")
                .related(first, "here first")
                .help("remove one of the two");
            return None;
        }
        seen.push((cidr.text().to_owned(), item.span));
        Some(cidr)
    })
}

fn nodes(context: &mut Context, entry: &Entry) {
    context
        .error(Code::NodesPeer, entry.key.span, "`nodes` peers cannot be enforced on a host")
        .label("no document says which nodes there are and which addresses they have")
        .help("give the nodes' addresses as `networks`");
}

fn domain_names(context: &mut Context, entry: &Entry) {
    context
        .error(Code::DomainNamesPeer, entry.key.span, "`domainNames` peers cannot be enforced")
        .label("packets carry addresses; which ones a name has, policy does not see")
        .help("give the addresses as `networks`, or allow a proxy that knows names");
}
