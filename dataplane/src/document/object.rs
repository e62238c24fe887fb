//! Which kind a document is, and lists of documents.

use super::codes::Code;
use super::collection::Collection;
use super::context::{Context, Fields, Object, list, nearest};
use super::kubernetes::{ClusterNetworkPolicy, Namespace, NetworkPolicy, Pod};
use super::native::WorkloadDocument;
use super::report::DocumentKind;
use super::yaml::Node;

/// The version of the project network-policy-api that is read.
const CLUSTER_POLICY: &str = "policy.networking.k8s.io/v1alpha2";

/// The kinds of its first version, and the tiers that took their place.
const OLDER: [(&str, &str); 4] = [
    ("AdminNetworkPolicy", "Admin"),
    ("AdminNetworkPolicyList", "Admin"),
    ("BaselineAdminNetworkPolicy", "Baseline"),
    ("BaselineAdminNetworkPolicyList", "Baseline"),
];

/// `apiVersion` and `kind` of every object that is read.
const OBJECTS: [(&str, &str, DocumentKind); 5] = [
    ("networking.k8s.io/v1", "NetworkPolicy", DocumentKind::NetworkPolicy),
    (CLUSTER_POLICY, "ClusterNetworkPolicy", DocumentKind::ClusterNetworkPolicy),
    ("v1", "Namespace", DocumentKind::Namespace),
    ("v1", "Pod", DocumentKind::Pod),
    ("ringfence.dev/v1alpha1", "Workload", DocumentKind::Workload),
];

/// `apiVersion` and `kind` of every list, and what its items are if they do not say.
const LISTS: [(&str, &str, Option<DocumentKind>); 6] = [
    ("v1", "List", None),
    ("networking.k8s.io/v1", "NetworkPolicyList", Some(DocumentKind::NetworkPolicy)),
    (CLUSTER_POLICY, "ClusterNetworkPolicyList", Some(DocumentKind::ClusterNetworkPolicy)),
    ("v1", "NamespaceList", Some(DocumentKind::Namespace)),
    ("v1", "PodList", Some(DocumentKind::Pod)),
    ("ringfence.dev/v1alpha1", "WorkloadList", Some(DocumentKind::Workload)),
];

/// Reads a document and adds what it describes. `implied` is the kind that the list around it
/// gives to items that do not name theirs, as the API server leaves it out there.
pub(super) fn read(
    context: &mut Context,
    node: &Node,
    implied: Option<DocumentKind>,
    collection: &mut Collection,
) {
    let Some(object) = context.object(node, "a document", Fields::Open) else { return };
    if let (Some(kind), None, None) = (implied, object.value("kind"), object.value("apiVersion")) {
        return read_kind(context, node, kind, collection);
    }
    let Some(version) = header(context, &object, "apiVersion") else {
        // The other one may have its own fault.
        header(context, &object, "kind");
        return;
    };
    let Some(kind) = header(context, &object, "kind") else { return };
    let same = |(a, b): (&str, &str)| a == version && b == kind;
    if let Some((.., kind)) = OBJECTS.into_iter().find(|object| same((object.0, object.1))) {
        read_kind(context, node, kind, collection);
    } else if let Some((.., implied)) = LISTS.into_iter().find(|list| same((list.0, list.1))) {
        read_list(context, node, implied, collection);
    } else if let Some((_, tier)) = OLDER.into_iter().find(|(older, _)| *older == kind) {
        older(context, &object, kind, tier);
    } else {
        unknown(context, &object, version, kind);
    }
}

fn read_kind(context: &mut Context, node: &Node, kind: DocumentKind, collection: &mut Collection) {
    match kind {
        DocumentKind::NetworkPolicy => {
            if let Some(policy) = NetworkPolicy::read(context, node) {
                collection.add_policy(context, kind, policy.to_model(context));
            }
        }
        DocumentKind::ClusterNetworkPolicy => {
            if let Some(policy) = ClusterNetworkPolicy::read(context, node) {
                collection.add_policy(context, kind, policy.to_model(context));
            }
        }
        DocumentKind::Namespace => {
            if let Some(namespace) = Namespace::read(context, node) {
                collection.add_namespace(context, &namespace);
            }
        }
        DocumentKind::Pod => {
            if let Some(pod) = Pod::read(context, node)
                && let Some((workload, addresses)) = pod.to_model(context)
            {
                collection.add_workload(context, kind, pod.span(), workload, &addresses);
            }
        }
        DocumentKind::Workload => {
            if let Some(document) = WorkloadDocument::read(context, node) {
                let WorkloadDocument { name, workload, addresses } = document;
                collection.add_workload(context, kind, name.span, workload, &addresses);
            }
        }
    }
}

fn read_list(
    context: &mut Context,
    node: &Node,
    implied: Option<DocumentKind>,
    collection: &mut Collection,
) {
    let fields = Fields::Known(&["apiVersion", "kind", "metadata", "items"]);
    let Some(object) = context.object(node, "a list", fields) else { return };
    let Some(items) = object.value("items") else { return };
    for item in context.list(items, "`items` is a list of objects").into_iter().flatten() {
        read(context, item, implied, collection);
    }
}

/// The text of `apiVersion` or `kind`.
fn header<'n>(context: &mut Context, object: &Object<'n, '_>, field: &str) -> Option<&'n str> {
    match object.value(field) {
        Some(node) => context.text(node, &format!("`{field}`")),
        None => {
            context.missing(object, "a document", field);
            None
        }
    }
}

/// Refuses a kind of v1alpha1, whatever the validation: its rules must not be left out unseen.
fn older(context: &mut Context, object: &Object, kind: &str, tier: &str) {
    let span = object.value("kind").map_or(object.span, |node| node.span);
    let priority = match tier {
        "Baseline" => "give it a `priority`",
        _ => "keep its `priority`",
    };
    context
        .error(Code::OlderKind, span, format!("`{kind}` is a kind of an older API"))
        .label("a ClusterNetworkPolicy took its place")
        .help(format!(
            "write `apiVersion: {CLUSTER_POLICY}`, `kind: ClusterNetworkPolicy` and `tier: {tier}`; \
             {priority}, `Allow` is `Accept` now, and `ports` are `protocols`; \
             `ringfence explain {}` shows it",
            Code::OlderKind
        ));
}

fn unknown(context: &mut Context, object: &Object, version: &str, kind: &str) {
    let known = || {
        let objects = OBJECTS.iter().map(|(version, kind, _)| (*version, *kind));
        objects.chain(LISTS.iter().map(|(version, kind, _)| (*version, *kind)))
    };
    let Some(severity) = context.surplus() else { return };
    let kinds: Vec<&str> = known().map(|(_, kind)| kind).collect();
    let right_kind = nearest(kind, &kinds);
    let right_version = right_kind
        .and_then(|right| known().find(|(_, kind)| *kind == right))
        .map(|(version, _)| version);
    let (field, help) = match (right_kind, right_version) {
        (Some(right), _) if right != kind => ("kind", format!("did you mean `{right}`?")),
        (Some(_), Some(right)) => ("apiVersion", format!("use `apiVersion: {right}`")),
        _ => (
            "kind",
            format!(
                "Ringfence reads {} and lists of them; `--validate=warn` leaves others out",
                list(&OBJECTS.map(|(_, kind, _)| kind)).replace(" or ", " and ")
            ),
        ),
    };
    let span = object.value(field).map_or(object.span, |node| node.span);
    context
        .report(Code::UnknownKind, severity, span, format!("unknown kind `{kind}` of `{version}`"))
        .label("this document is not read")
        .help(help);
}
