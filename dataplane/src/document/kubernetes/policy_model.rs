//! A NetworkPolicy as the model has it.

use super::Spanned;
use super::network_policy::{NetworkPolicy, NetworkPolicySpec, Rule, RulePeers};
use super::peer::{IpBlock, NetworkPolicyPeer};
use super::port::{IntOrString, NetworkPolicyPort};
use crate::document::context::Context;
use crate::document::source::Span;
use crate::model;
use crate::model::{
    Action, Direction, NamespaceScope, Peer, Peers, Policy, PolicyName, Ports, Selector, Tier,
};

/// A policy, and what in its document has to be looked at again when all documents are known.
#[derive(Clone, Debug)]
pub(in crate::document) struct PolicyDocument {
    /// Where its name stands.
    pub span: Span,
    pub policy: Policy,
    pub uses: Vec<Use>,
    /// Where a ClusterNetworkPolicy says what orders it among the others.
    pub tier: Option<TierSpans>,
}

/// Where a policy of a tier of its own says what orders it.
#[derive(Clone, Debug)]
pub(in crate::document) struct TierSpans {
    /// Its priority.
    pub priority: Span,
    /// The actions of its ingress rules.
    pub ingress: Vec<Span>,
    /// The actions of its egress rules.
    pub egress: Vec<Span>,
}

impl TierSpans {
    /// The actions of the rules of one direction.
    pub fn actions(&self, direction: Direction) -> &[Span] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// A place that depends on what workloads there are.
#[derive(Clone, Debug)]
pub(in crate::document) enum Use {
    /// A selector of workloads.
    Workloads { span: Span, role: Role, namespaces: NamespaceScope, workloads: Selector },
    /// A port's name, of one protocol or of any.
    PortName { span: Span, protocol: Option<model::Protocol>, name: String },
}

/// What a selector is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::document) enum Role {
    Subject,
    Peer,
}

impl NetworkPolicy {
    /// The policy it describes.
    pub fn to_model(&self, context: &Context) -> PolicyDocument {
        let namespace = self.metadata.namespace_or_default(context);
        let name = &self.metadata.name;
        let empty = NetworkPolicySpec::default();
        let spec = self.spec.as_ref().unwrap_or(&empty);
        let mut lowering = Lowering { context, namespace: &namespace, uses: Vec::new() };
        let subjects = match &spec.pod_selector {
            Some(selector) => selector.value.to_model(),
            None => Selector::everything(),
        };
        let subject_namespaces = NamespaceScope::Named(namespace.clone());
        lowering.uses.push(Use::Workloads {
            span: spec.pod_selector.as_ref().map_or(name.span, |selector| selector.span),
            role: Role::Subject,
            namespaces: subject_namespaces.clone(),
            workloads: subjects.clone(),
        });
        // Rules of a direction that the policy is not about mean nothing in the API.
        let mut rules = |direction, rules: &Option<Vec<Rule>>| -> Vec<model::Rule> {
            let rules = rules.iter().flatten().filter(|_| spec.is_about(direction));
            rules.map(|rule| lowering.rule(rule)).collect()
        };
        let ingress = rules(Direction::Ingress, &spec.ingress);
        let egress = rules(Direction::Egress, &spec.egress);
        let policy = Policy {
            name: PolicyName {
                kind: "networkpolicy".to_owned(),
                namespace: namespace.clone(),
                name: name.value.clone(),
            },
            tier: Tier::Developer,
            priority: 0,
            subject_namespaces,
            subjects,
            isolates_ingress: spec.is_about(Direction::Ingress),
            isolates_egress: spec.is_about(Direction::Egress),
            ingress,
            egress,
        };
        PolicyDocument { span: name.span, policy, uses: lowering.uses, tier: None }
    }
}

struct Lowering<'p, 'r> {
    context: &'p Context<'r>,
    namespace: &'p str,
    uses: Vec<Use>,
}

impl Lowering<'_, '_> {
    fn rule(&mut self, rule: &Rule) -> model::Rule {
        let peers = match &rule.peers {
            RulePeers::Ingress { from: peers } | RulePeers::Egress { to: peers } => peers,
        };
        let peers: Vec<Peer> = peers.iter().flatten().map(|peer| self.peer(peer)).collect();
        let ports = rule.ports.iter().flatten();
        let ports: Vec<_> = ports.map(|port| self.port(port)).collect();
        model::Rule {
            action: Action::Allow,
            peers: if peers.is_empty() { Peers::Everyone } else { Peers::Any(peers) },
            ports: if ports.is_empty() { Ports::Everything } else { Ports::Any(ports) },
            origin: Some(self.context.origin(rule.span)),
        }
    }

    fn peer(&mut self, peer: &NetworkPolicyPeer) -> Peer {
        if let Some(block) = &peer.ip_block {
            return Peer::Block(block.to_model());
        }
        let workloads = match &peer.pod_selector {
            Some(selector) => selector.value.to_model(),
            None => Selector::everything(),
        };
        let namespaces = match &peer.namespace_selector {
            Some(selector) => NamespaceScope::Selected(selector.value.to_model()),
            None => NamespaceScope::Named(self.namespace.to_owned()),
        };
        let written = peer.pod_selector.as_ref().or(peer.namespace_selector.as_ref());
        if let Some(Spanned { span, .. }) = written {
            self.uses.push(Use::Workloads {
                span: *span,
                role: Role::Peer,
                namespaces: namespaces.clone(),
                workloads: workloads.clone(),
            });
        }
        Peer::Workloads { namespaces, workloads }
    }

    fn port(&mut self, port: &NetworkPolicyPort) -> model::PortMatch {
        if let Some(Spanned { span, value: IntOrString::Name(name) }) = &port.port {
            let protocol = Some(port.protocol());
            self.uses.push(Use::PortName { span: *span, protocol, name: name.clone() });
        }
        port.to_model()
    }
}

impl IpBlock {
    fn to_model(&self) -> model::IpBlock {
        let except = self.except.iter().flatten().map(|except| except.net).collect();
        model::IpBlock::new(self.cidr.net, except)
            .expect("exceptions outside the block were refused when reading")
    }
}
