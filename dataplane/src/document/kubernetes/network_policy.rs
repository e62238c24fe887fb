//! `NetworkPolicy` (`k8s.io/api/networking/v1`).

use serde::Serialize;

use super::Spanned;
use super::meta::ObjectMeta;
use super::name::NameRule;
use super::peer::NetworkPolicyPeer;
use super::port::NetworkPolicyPort;
use super::selector::LabelSelector;
use crate::document::codes::Code;
use crate::document::context::{Context, Fields, Object};
use crate::document::source::Span;
use crate::document::yaml::{Node, Value};
use crate::model::Direction;

/// Directions there are; the API refuses more `policyTypes`.
const DIRECTIONS: usize = 2;

/// A NetworkPolicy as the API writes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::document) struct NetworkPolicy {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: ObjectMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<NetworkPolicySpec>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::document) struct NetworkPolicySpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) egress: Option<Vec<Rule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ingress: Option<Vec<Rule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod_selector: Option<Spanned<LabelSelector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy_types: Option<Vec<PolicyType>>,
}

/// An item of `policyTypes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum PolicyType {
    Ingress,
    Egress,
}

/// An item of `ingress` or `egress`; which of the two, its peers tell by their field's name.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rule {
    #[serde(skip)]
    pub span: Span,
    #[serde(flatten)]
    pub peers: RulePeers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<NetworkPolicyPort>>,
}

/// The peers of a rule; `None` and an empty list both mean everyone.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum RulePeers {
    Ingress {
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<Vec<NetworkPolicyPeer>>,
    },
    Egress {
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<Vec<NetworkPolicyPeer>>,
    },
}

impl NetworkPolicy {
    /// Reads a document whose kind is known to be NetworkPolicy; nothing if it has errors.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let before = context.findings.errors;
        let what = "a NetworkPolicy";
        // Kubernetes 1.24 to 1.27 printed an empty `status`.
        let fields = Fields::Known(&["apiVersion", "kind", "metadata", "spec", "status"]);
        let object = context.object(node, what, fields)?;
        let metadata = match object.value("metadata") {
            Some(node) => ObjectMeta::read(context, node, what, NameRule::Subdomain),
            None => {
                context.missing(&object, what, "metadata");
                None
            }
        };
        let spec = match object.value("spec") {
            Some(node) => NetworkPolicySpec::read(context, node).map(Some),
            None => {
                implicit_subject(context, object.span);
                Some(None)
            }
        };
        let (metadata, spec) = (metadata?, spec?);
        (context.findings.errors == before).then_some(Self {
            api_version: "networking.k8s.io/v1",
            kind: "NetworkPolicy",
            metadata,
            spec,
        })
    }
}

impl NetworkPolicySpec {
    fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let fields = Fields::Known(&["podSelector", "policyTypes", "ingress", "egress"]);
        let object = context.object(node, "a NetworkPolicy's spec", fields)?;
        let pod_selector = match object.value("podSelector") {
            Some(node) => LabelSelector::read(context, node, "podSelector"),
            None => {
                implicit_subject(context, object.span);
                None
            }
        };
        let policy_types = object.value("policyTypes").and_then(|node| read_types(context, node));
        let ingress = read_rules(context, &object, Direction::Ingress);
        let egress = read_rules(context, &object, Direction::Egress);
        let spec = Self { egress, ingress, pod_selector, policy_types };
        for (direction, field, rules) in [
            (Direction::Ingress, "ingress", &spec.ingress),
            (Direction::Egress, "egress", &spec.egress),
        ] {
            let idle = rules.as_ref().is_some_and(|rules| !rules.is_empty());
            if let (true, false, Some(entry)) = (idle, spec.is_about(direction), object.get(field))
            {
                context
                    .warning(
                        Code::IdleRules,
                        entry.key.span,
                        format!("the `{field}` rules never apply"),
                    )
                    .label("`policyTypes` does not name this direction")
                    .help("name it in `policyTypes`, or remove the rules");
            }
        }
        Some(spec)
    }

    /// Whether the policy is about `direction`: as `policyTypes` say; without them always for
    /// ingress, and for egress if there are egress rules (`NetworkPolicySpec.policyTypes`).
    pub(super) fn is_about(&self, direction: Direction) -> bool {
        match self.policy_types.as_deref() {
            None | Some([]) => match direction {
                Direction::Ingress => true,
                Direction::Egress => self.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
            },
            Some(types) => types.contains(&match direction {
                Direction::Ingress => PolicyType::Ingress,
                Direction::Egress => PolicyType::Egress,
            }),
        }
    }
}

fn implicit_subject(context: &mut Context, span: Span) {
    context
        .warning(Code::ImplicitSubject, span, "the policy does not say whom it selects")
        .label("without `podSelector` it selects every workload of its namespace")
        .help("write `podSelector: {}` if that is meant");
}

fn read_types(context: &mut Context, node: &Node) -> Option<Vec<PolicyType>> {
    let words = [("Ingress", PolicyType::Ingress), ("Egress", PolicyType::Egress)];
    let items = context.list(node, "`policyTypes` is a list")?;
    if items.len() > DIRECTIONS {
        context
            .error(Code::NotAllowed, node.span, "`policyTypes` has more than two items")
            .label("there are two directions")
            .help("name each of `Ingress` and `Egress` once at most");
    }
    let read: Vec<_> =
        items.iter().map(|item| context.word(item, "a policy type", &words)).collect();
    read.into_iter().collect()
}

fn read_rules(context: &mut Context, spec: &Object, direction: Direction) -> Option<Vec<Rule>> {
    let field = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    let node = spec.value(field)?;
    let items = context.list(node, &format!("`{field}` is a list of rules"))?;
    Some(items.iter().filter_map(|item| Rule::read(context, item, direction)).collect())
}

impl Rule {
    fn read(context: &mut Context, node: &Node, direction: Direction) -> Option<Self> {
        let (what, field, fields) = match direction {
            Direction::Ingress => ("an ingress rule", "from", &["from", "ports"]),
            Direction::Egress => ("an egress rule", "to", &["to", "ports"]),
        };
        let object = context.object(node, what, Fields::Known(fields))?;
        let peers = object.value(field).and_then(|node| {
            items(context, node, &format!("`{field}` is a list of peers"), NetworkPolicyPeer::read)
        });
        let ports = object.value("ports").and_then(|node| {
            items(context, node, "`ports` is a list of ports", NetworkPolicyPort::read)
        });
        let peers = match direction {
            Direction::Ingress => RulePeers::Ingress { from: peers },
            Direction::Egress => RulePeers::Egress { to: peers },
        };
        Some(Self { span: node.span, peers, ports })
    }
}

/// Reads every item of a list. An item with faults is left out; its document is refused anyway.
fn items<T>(
    context: &mut Context,
    node: &Node,
    what: &str,
    mut read: impl FnMut(&mut Context, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    if let Value::Mapping(entries) = &node.value {
        let help = if entries.is_empty() {
            "leave the field out, or write `[]`, to mean all of them"
        } else {
            "put `- ` before it"
        };
        context
            .error(Code::WrongType, node.span, format!("{what}, not a mapping"))
            .label("an item of a list begins with `-`")
            .help(help);
        return None;
    }
    let items = context.list(node, what)?;
    Some(items.iter().filter_map(|item| read(context, item)).collect())
}
