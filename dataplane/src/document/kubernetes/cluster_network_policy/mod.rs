//! `ClusterNetworkPolicy` (`policy.networking.k8s.io/v1alpha2`, the project network-policy-api).
//!
//! Goals: (1) every field of the API is read, with the API's own limits, so that what is accepted
//! here a cluster accepts too; (2) what cannot be enforced on a host is refused with a way out, never
//! left out: a `Deny` that is forgotten opens, an `Accept` that is forgotten breaks.
//!
//! Design: the types have the API's shape, so that they serialise as the API does (1); where the
//! API wants exactly one of several fields they are enumerations (`one_of`), which cannot hold a
//! peer that names nobody (2). What a policy means is in `model`.

mod list;
mod model;
mod one_of;
mod peer;
mod protocol;
mod rule;

use serde::Serialize;

use self::peer::Subject;
use self::rule::Rule;
use super::Spanned;
use super::meta::ObjectMeta;
use super::name::NameRule;
use crate::document::codes::Code;
use crate::document::context::{Context, Fields};
use crate::document::yaml::{Node, Value};
use crate::model::Direction;

/// The highest `priority`.
const LAST_PRIORITY: u32 = 1_000;

/// A ClusterNetworkPolicy as the API writes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::document) struct ClusterNetworkPolicy {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<Vec<Rule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<Vec<Rule>>,
    priority: Spanned<u32>,
    subject: Spanned<Subject>,
    tier: Tier,
}

/// The values of `tier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Tier {
    Admin,
    Baseline,
}

impl ClusterNetworkPolicy {
    /// Reads a document whose kind is known to be ClusterNetworkPolicy; nothing if it has errors.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let before = context.findings.errors;
        let what = "a ClusterNetworkPolicy";
        let fields = Fields::Known(&["apiVersion", "kind", "metadata", "spec", "status"]);
        let object = context.object(node, what, fields)?;
        let metadata = match object.value("metadata") {
            Some(node) => ObjectMeta::read(context, node, what, NameRule::Subdomain),
            None => {
                context.missing(&object, what, "metadata");
                None
            }
        };
        if let Some(namespace) = metadata.as_ref().and_then(|metadata| metadata.namespace.as_ref())
        {
            namespaced(context, namespace);
        }
        let spec = match object.value("spec") {
            Some(node) => Spec::read(context, node),
            None => {
                context.missing(&object, what, "spec");
                None
            }
        };
        let (metadata, spec) = (metadata?, spec?);
        (context.findings.errors == before).then_some(Self {
            api_version: "policy.networking.k8s.io/v1alpha2",
            kind: "ClusterNetworkPolicy",
            metadata,
            spec,
        })
    }
}

fn namespaced(context: &mut Context, namespace: &Spanned<String>) {
    let name = &namespace.value;
    context
        .error(Code::Namespaced, namespace.span, "a ClusterNetworkPolicy is in no namespace")
        .label("this does not limit whom it selects")
        .help(format!(
            "remove it; to select namespace `{name}` alone, write `subject: {{ namespaces: {{ \
             matchLabels: {{ kubernetes.io/metadata.name: {name} }} }} }}`"
        ));
}

impl Spec {
    fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let what = "a ClusterNetworkPolicy's spec";
        let fields = Fields::Known(&["tier", "priority", "subject", "ingress", "egress"]);
        let object = context.object(node, what, fields)?;
        let tiers = [("Admin", Tier::Admin), ("Baseline", Tier::Baseline)];
        let tier = match object.value("tier") {
            Some(node) => context.word(node, "`tier`", &tiers),
            None => {
                context.missing(&object, what, "tier");
                None
            }
        };
        let priority = match object.value("priority") {
            Some(node) => read_priority(context, node),
            None => {
                context.missing(&object, what, "priority");
                None
            }
        };
        let subject = match object.value("subject") {
            Some(node) => Subject::read(context, node, "`subject`")
                .map(|value| Spanned { span: node.span, value }),
            None => {
                context.missing(&object, what, "subject");
                None
            }
        };
        let ingress = rule::read_all(context, &object, Direction::Ingress);
        let egress = rule::read_all(context, &object, Direction::Egress);
        // Rules with faults are rules too.
        let none = |field| match object.value(field).map(|node| &node.value) {
            Some(Value::Sequence(rules)) => rules.is_empty(),
            Some(_) => false,
            None => true,
        };
        if none("ingress") && none("egress") {
            context
                .warning(Code::NoRules, object.span, "the policy has no rules")
                .label("it changes nothing: a ClusterNetworkPolicy isolates nobody by itself")
                .help("add rules to `ingress` or `egress`, or remove the policy");
        }
        let (tier, priority, subject) = (tier?, priority?, subject?);
        Some(Self { egress, ingress, priority, subject, tier })
    }
}

fn read_priority(context: &mut Context, node: &Node) -> Option<Spanned<u32>> {
    let number = context.integer(node, "`priority`")?;
    match u32::try_from(number) {
        Ok(value) if value <= LAST_PRIORITY => Some(Spanned { span: node.span, value }),
        _ => {
            context
                .error(Code::NotAllowed, node.span, format!("`priority` cannot be {number}"))
                .label(format!("priorities are 0 to {LAST_PRIORITY}"))
                .help("give a number from 0 to 1000; the lower one is asked first");
            None
        }
    }
}
