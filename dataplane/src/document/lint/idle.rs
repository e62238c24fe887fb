//! Selectors that select nobody and port names that nobody has. Only with an inventory; without
//! one nobody is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::codes::Code;
use crate::document::context::Context;
use crate::document::kubernetes::{Role, Use};
use crate::model::{Inventory, NamespaceScope, Operator, Protocol, Selector, Workload};

/// Warns about each of `uses` that comes to nothing in `inventory`.
pub(in crate::document) fn check<'u>(
    context: &mut Context,
    inventory: &Inventory,
    uses: impl Iterator<Item = &'u Use>,
) {
    if inventory.workloads().next().is_none() {
        return;
    }
    let index = Index::new(inventory);
    for place in uses {
        match place {
            Use::Workloads { span, role, namespaces, workloads }
                if !index.selects(namespaces, workloads) =>
            {
                let scope = match namespaces {
                    NamespaceScope::Named(name) => format!("in namespace `{name}`"),
                    NamespaceScope::Selected(_) => "in the namespaces it selects".to_owned(),
                };
                let (code, message, effect) = match role {
                    Role::Subject => {
                        (Code::IdlePolicy, "the policy selects nobody", "it protects nobody")
                    }
                    Role::Peer => (Code::IdlePeer, "the peer selects nobody", "it matches nobody"),
                };
                let nobody = if workloads.is_everything() {
                    format!("there is no workload {scope}")
                } else {
                    format!("no workload {scope} is `{workloads}`")
                };
                context
                    .warning(code, *span, message)
                    .label(format!("{nobody}; {effect}"))
                    .help("check the labels for a slip; or the workloads are not among the inputs");
            }
            Use::PortName { span, protocol, name } if !index.names(*protocol, name) => {
                let message = match protocol {
                    Some(protocol) => format!("no workload has a {protocol} port named `{name}`"),
                    None => format!("no workload has a port named `{name}`"),
                };
                context
                    .warning(Code::IdlePortName, *span, message)
                    .label("this matches nothing")
                    .help("name the port in a workload's `ports`, or give its number");
            }
            Use::Workloads { .. } | Use::PortName { .. } => {}
        }
    }
}

/// Workloads by what selectors ask for, so that each selector looks at few of them.
struct Index<'i> {
    inventory: &'i Inventory,
    /// Key, then value.
    by_label: BTreeMap<&'i str, BTreeMap<&'i str, Vec<&'i Workload>>>,
    by_namespace: BTreeMap<&'i str, Vec<&'i Workload>>,
    all: Vec<&'i Workload>,
    ports: BTreeSet<(Protocol, &'i str)>,
}

impl<'i> Index<'i> {
    fn new(inventory: &'i Inventory) -> Self {
        let mut index = Self {
            inventory,
            by_label: BTreeMap::new(),
            by_namespace: BTreeMap::new(),
            all: inventory.workloads().collect(),
            ports: BTreeSet::new(),
        };
        for workload in inventory.workloads() {
            index.by_namespace.entry(&workload.name.namespace).or_default().push(workload);
            for (key, value) in &workload.labels {
                let values = index.by_label.entry(key).or_default();
                values.entry(value).or_default().push(workload);
            }
            let ports = workload.ports.iter().map(|port| (port.protocol, port.name.as_str()));
            index.ports.extend(ports);
        }
        index
    }

    /// Whether any workload in scope is selected.
    fn selects(&self, scope: &NamespaceScope, selector: &Selector) -> bool {
        self.candidates(scope, selector).iter().any(|workload| {
            let namespace = self.inventory.namespace(&workload.name.namespace);
            namespace.is_some_and(|namespace| scope.contains(namespace.name(), namespace.labels()))
                && selector.matches(&workload.labels)
        })
    }

    /// Whether a workload calls a port `name`, one of `protocol` if that is given.
    fn names(&self, protocol: Option<Protocol>, name: &str) -> bool {
        let is = |protocol| self.ports.contains(&(protocol, name));
        protocol.map_or_else(|| Protocol::ALL.into_iter().any(is), is)
    }

    /// A set of workloads that holds all those selected, as small as is easily found.
    fn candidates<'s>(&'s self, scope: &NamespaceScope, selector: &Selector) -> &'s [&'i Workload] {
        let by_label = selector.requirements().filter_map(|requirement| {
            let Operator::In(values) = &requirement.operator else { return None };
            let value = values.first().filter(|_| values.len() == 1)?;
            let values = self.by_label.get(requirement.key.as_str());
            let found = values.and_then(|values| values.get(value.as_str()));
            Some(found.map(Vec::as_slice).unwrap_or_default())
        });
        let by_namespace = match scope {
            NamespaceScope::Named(name) => {
                Some(self.by_namespace.get(name.as_str()).map(Vec::as_slice).unwrap_or_default())
            }
            NamespaceScope::Selected(_) => None,
        };
        by_label.chain(by_namespace).min_by_key(|found| found.len()).unwrap_or(&self.all)
    }
}
