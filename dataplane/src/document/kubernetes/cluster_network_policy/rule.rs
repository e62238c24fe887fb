//! Rules: `ClusterNetworkPolicyIngressRule` and `ClusterNetworkPolicyEgressRule`.

use serde::Serialize;

use super::super::Spanned;
use super::list;
use super::peer::Peer;
use super::protocol::Protocol;
use crate::document::codes::Code;
use crate::document::context::{Context, Fields, Object};
use crate::document::source::Span;
use crate::document::yaml::{Node, Value};
use crate::model::Direction;

/// The longest name of a rule, in characters.
const NAME_LENGTH: usize = 100;

/// An item of `ingress` or `egress`; which of the two, its peers tell by their field's name.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rule {
    #[serde(skip)]
    pub span: Span,
    pub action: Spanned<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(flatten)]
    pub peers: Peers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Protocol>>,
}

/// The values of `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Action {
    Accept,
    Deny,
    Pass,
}

/// The peers of a rule, one at least.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Peers {
    From(Vec<Peer>),
    To(Vec<Peer>),
}

impl Peers {
    /// The peers, whichever way.
    pub fn list(&self) -> &[Peer] {
        match self {
            Self::From(peers) | Self::To(peers) => peers,
        }
    }
}

/// Reads the rules of one direction of `spec`.
pub(super) fn read_all(
    context: &mut Context,
    spec: &Object,
    direction: Direction,
) -> Option<Vec<Rule>> {
    let field = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    let read = |context: &mut Context, item: &Node| Rule::read(context, item, direction);
    list::read(context, spec.get(field)?, "rules", read)
}

impl Rule {
    fn read(context: &mut Context, node: &Node, direction: Direction) -> Option<Self> {
        let (what, fields) = match direction {
            Direction::Ingress => {
                ("an ingress rule", &["name", "action", "from", "protocols"] as &'static [_])
            }
            Direction::Egress => {
                ("an egress rule", &["name", "action", "to", "protocols"] as &'static [_])
            }
        };
        let object = context.object(node, what, Fields::Known(fields))?;
        let action = match object.value("action") {
            Some(node) => read_action(context, node),
            None => {
                context.missing(&object, what, "action");
                None
            }
        };
        let name = object.value("name").map(|node| read_name(context, node));
        let peers = read_peers(context, &object, what, direction);
        let protocols = object.get("protocols").map(|entry| {
            let help = "leave the field out to mean every protocol";
            list::read_some(context, entry, "protocols", help, Protocol::read)
        });
        // What is there must be right; what is absent may be.
        let rule = Self {
            span: node.span,
            action: action?,
            name: name.map_or(Some(None), |read| read.map(Some))?,
            peers: peers?,
            protocols: protocols.map_or(Some(None), |read| read.map(Some))?,
        };
        rule.check_named_ports(context);
        Some(rule)
    }

    /// The API's rule for egress: addresses have no named ports.
    fn check_named_ports(&self, context: &mut Context) {
        let networks = self.peers.list().iter().any(|peer| matches!(peer, Peer::Networks { .. }));
        for protocol in self.protocols.iter().flatten().filter(|_| networks) {
            if let Protocol::DestinationNamedPort(name) = protocol {
                context
                    .error(
                        Code::NamedPortOfNetwork,
                        name.span,
                        format!("the port name `{}` does not go with `networks`", name.value),
                    )
                    .label("addresses have no named ports")
                    .help("give the port's number, or make two rules of it");
            }
        }
    }
}

fn read_action(context: &mut Context, node: &Node) -> Option<Spanned<Action>> {
    let actions = [("Accept", Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)];
    if let Value::Scalar(scalar) = &node.value
        && scalar.text.eq_ignore_ascii_case("allow")
    {
        context
            .error(Code::NotAllowed, node.span, format!("`action` cannot be `{}`", scalar.text))
            .label("the word of v1alpha1")
            .help("write `Accept`");
        return None;
    }
    let value = context.word(node, "`action`", &actions)?;
    Some(Spanned { span: node.span, value })
}

fn read_name(context: &mut Context, node: &Node) -> Option<String> {
    let name = context.text(node, "a rule's name")?;
    let length = name.chars().count();
    if length > NAME_LENGTH {
        context
            .error(Code::NotAllowed, node.span, format!("the rule's name has {length} characters"))
            .label(format!("names have {NAME_LENGTH} at most"))
            .help("give it a shorter name, and say the rest in a comment");
        return None;
    }
    Some(name.to_owned())
}

fn read_peers(
    context: &mut Context,
    rule: &Object,
    what: &str,
    direction: Direction,
) -> Option<Peers> {
    type Read = fn(&mut Context, &Node) -> Option<Peer>;
    let (field, read_peer, everybody): (_, Read, _) = match direction {
        Direction::Ingress => (
            "from",
            Peer::read_ingress,
            "name the peers; `from: [ { namespaces: {} } ]` means every workload",
        ),
        Direction::Egress => (
            "to",
            Peer::read_egress,
            "name the peers; `to: [ { networks: [ 0.0.0.0/0, \"::/0\" ] } ]` means every address",
        ),
    };
    let Some(entry) = rule.get(field) else {
        context.missing(rule, what, field);
        return None;
    };
    let peers = list::read_some(context, entry, "peers", everybody, read_peer)?;
    Some(match direction {
        Direction::Ingress => Peers::From(peers),
        Direction::Egress => Peers::To(peers),
    })
}
