//! A ClusterNetworkPolicy as the model has it.
//!
//! - Subjects and peers are pods, and host-networked pods are none of them (the API's text), so
//!   every selector leaves out the host ([`HOST_LABEL`]).
//! - It isolates nobody: what no rule matches is left to the next tier.
//! - Its rules keep their order; the first one that matches counts.

use super::peer::{Peer, Subject};
use super::protocol::Protocol;
use super::rule::{Action, Rule};
use super::{ClusterNetworkPolicy, Tier};
use crate::document::context::Context;
use crate::document::kubernetes::policy_model::{PolicyDocument, Role, TierSpans, Use};
use crate::document::source::Span;
use crate::model::{
    self, HOST_LABEL, IpBlock, NamespaceScope, Operator, Peers, Policy, PolicyName, Ports,
    Requirement, Selector,
};

impl ClusterNetworkPolicy {
    /// The policy it describes.
    pub fn to_model(&self, context: &Context) -> PolicyDocument {
        let (name, spec) = (&self.metadata.name, &self.spec);
        let mut lowering = Lowering { context, uses: Vec::new() };
        let (subject_namespaces, subjects) = lowering.workloads(Role::Subject, &spec.subject.value);
        let mut rules = |rules: &Option<Vec<Rule>>| -> Vec<model::Rule> {
            rules.iter().flatten().map(|rule| lowering.rule(rule)).collect()
        };
        let (ingress, egress) = (rules(&spec.ingress), rules(&spec.egress));
        let policy = Policy {
            name: PolicyName {
                kind: "clusternetworkpolicy".to_owned(),
                namespace: String::new(),
                name: name.value.clone(),
            },
            tier: match spec.tier {
                Tier::Admin => model::Tier::Admin,
                Tier::Baseline => model::Tier::Baseline,
            },
            priority: spec.priority.value,
            subject_namespaces,
            subjects,
            isolates_ingress: false,
            isolates_egress: false,
            ingress,
            egress,
        };
        let actions = |rules: &Option<Vec<Rule>>| -> Vec<Span> {
            rules.iter().flatten().map(|rule| rule.action.span).collect()
        };
        let tier = TierSpans {
            priority: spec.priority.span,
            ingress: actions(&spec.ingress),
            egress: actions(&spec.egress),
        };
        PolicyDocument { span: name.span, policy, uses: lowering.uses, tier: Some(tier) }
    }
}

struct Lowering<'p, 'r> {
    context: &'p Context<'r>,
    uses: Vec<Use>,
}

impl Lowering<'_, '_> {
    fn rule(&mut self, rule: &Rule) -> model::Rule {
        let peers = rule.peers.list().iter().flat_map(|peer| self.peer(peer)).collect();
        let protocols = rule.protocols.as_ref();
        for protocol in protocols.into_iter().flatten() {
            if let Protocol::DestinationNamedPort(name) = protocol {
                let (span, name) = (name.span, name.value.clone());
                self.uses.push(Use::PortName { span, protocol: None, name });
            }
        }
        let origin = self.context.origin(rule.span);
        model::Rule {
            action: match rule.action.value {
                Action::Accept => model::Action::Allow,
                Action::Deny => model::Action::Deny,
                Action::Pass => model::Action::Pass,
            },
            peers: Peers::Any(peers),
            ports: match protocols {
                Some(protocols) => {
                    Ports::Any(protocols.iter().flat_map(Protocol::to_model).collect())
                }
                None => Ports::Everything,
            },
            // A name is any text, so it is shown with its control characters escaped.
            origin: Some(match rule.name.as_deref() {
                Some(name) if !name.is_empty() => format!("{origin} {name:?}"),
                _ => origin,
            }),
        }
    }

    fn peer(&mut self, peer: &Peer) -> Vec<model::Peer> {
        match peer {
            Peer::Workloads(workloads) => {
                let (namespaces, workloads) = self.workloads(Role::Peer, workloads);
                vec![model::Peer::Workloads { namespaces, workloads }]
            }
            Peer::Networks { networks } => networks
                .iter()
                .map(|cidr| IpBlock::new(cidr.net, Vec::new()).expect("nothing is excepted"))
                .map(model::Peer::Block)
                .collect(),
        }
    }

    fn workloads(&mut self, role: Role, subject: &Subject) -> (NamespaceScope, Selector) {
        let (span, namespaces, workloads) = match subject {
            Subject::Namespaces(namespaces) => {
                (namespaces.span, namespaces.value.to_model(), Selector::everything())
            }
            Subject::Pods(pods) => (
                pods.pod_selector.span,
                pods.namespace_selector
                    .as_ref()
                    .map_or_else(Selector::everything, |selector| selector.value.to_model()),
                pods.pod_selector.value.to_model(),
            ),
        };
        let not_the_host =
            Requirement { key: HOST_LABEL.to_owned(), operator: Operator::DoesNotExist };
        let workloads = Selector::new(workloads.requirements().cloned().chain([not_the_host]));
        let namespaces = NamespaceScope::Selected(namespaces);
        self.uses.push(Use::Workloads {
            span,
            role,
            namespaces: namespaces.clone(),
            workloads: workloads.clone(),
        });
        (namespaces, workloads)
    }
}
