//! All documents together: whoever is described twice, and whoever shares an address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::codes::Code;
use super::context::Context;
use super::digest::Digest;
use super::kubernetes::{Namespace, PolicyDocument, Spanned};
use super::lint;
use super::report::{DocumentKind, DocumentSummary};
use super::source::Span;
use crate::model::{Inventory, Policy, PolicySet, Workload};

/// What the documents describe.
#[derive(Debug, Default)]
pub(super) struct Collection {
    policies: Vec<PolicyDocument>,
    inventory: Inventory,
    documents: Vec<DocumentSummary>,
    /// Where each object was first described. Pods and Workloads share their names.
    described: BTreeMap<(DocumentKind, String, String), Span>,
    /// Where each address was first given.
    addresses: BTreeMap<IpAddr, Span>,
}

impl Collection {
    pub fn add_policy(
        &mut self,
        context: &mut Context,
        kind: DocumentKind,
        document: PolicyDocument,
    ) {
        let name = document.policy.name.clone();
        let digest = Some(Digest::of(&document.policy));
        if self.describe(context, kind, &name.namespace, &name.name, document.span, digest) {
            self.policies.push(document);
        }
    }

    pub fn add_namespace(&mut self, context: &mut Context, namespace: &Namespace) {
        let Spanned { span, value: name } = &namespace.name;
        if self.describe(context, DocumentKind::Namespace, "", name, *span, None) {
            self.inventory.add_namespace(namespace.to_model());
        }
    }

    pub fn add_workload(
        &mut self,
        context: &mut Context,
        kind: DocumentKind,
        span: Span,
        workload: Workload,
        addresses: &[Spanned<IpAddr>],
    ) {
        let name = workload.name.clone();
        if !self.describe(context, kind, &name.namespace, &name.name, span, None) {
            return;
        }
        let mut taken = false;
        for address in addresses {
            if let Some(owner) = self.inventory.owner(address.value) {
                let first = context.place(self.addresses[&address.value]);
                let owner = owner.name.clone();
                taken = true;
                let message = format!("address `{}` belongs to two workloads", address.value);
                context
                    .error(Code::AddressTaken, address.span, message)
                    .label(format!("`{name}` has it here"))
                    .related(first, format!("`{owner}` has it here"))
                    .help("an address has one owner; remove the workload that is gone");
            }
        }
        if taken {
            return;
        }
        for address in addresses {
            self.addresses.entry(address.value).or_insert(address.span);
        }
        self.inventory
            .add_workload(workload)
            .expect("name and addresses were free when looked up above");
    }

    /// Notes a document; false, with a report, if the object has been described before.
    fn describe(
        &mut self,
        context: &mut Context,
        kind: DocumentKind,
        namespace: &str,
        name: &str,
        span: Span,
        digest: Option<Digest>,
    ) -> bool {
        let space = if kind == DocumentKind::Pod { DocumentKind::Workload } else { kind };
        let key = (space, namespace.to_owned(), name.to_owned());
        if let Some(first) = self.described.get(&key) {
            let first = context.place(*first);
            let full =
                if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
            context
                .error(Code::DuplicateObject, span, format!("{kind} `{full}` is described twice"))
                .label("here again")
                .related(first, "here first")
                .help("remove one of the two, or give it another name or namespace");
            return false;
        }
        self.described.insert(key, span);
        let place = context.place(span);
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.documents.push(DocumentSummary { kind, namespace, name, place, digest });
        true
    }

    /// Everything together, after a look for what cannot have been meant.
    pub fn join(&mut self, context: &mut Context) -> PolicySet {
        let uses = self.policies.iter().flat_map(|document| &document.uses);
        lint::idle::check(context, &self.inventory, uses);
        lint::tiers::check(context, &self.inventory, &self.policies);
        let documents = std::mem::take(&mut self.policies);
        let mut policies: Vec<Policy> =
            documents.into_iter().map(|document| document.policy).collect();
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        PolicySet { policies, inventory: std::mem::take(&mut self.inventory) }
    }

    /// Whether nothing has been described.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The documents that were understood, in the order they were read.
    pub fn into_summaries(self) -> Vec<DocumentSummary> {
        self.documents
    }
}
