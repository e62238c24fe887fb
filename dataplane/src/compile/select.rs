//! Selectors to subjects, peers to identities; each distinct selector is evaluated once.

use hashbrown::HashMap;

use super::blocks::{BlockIndex, Blocks};
use super::identities::{Identities, PeerIndex, SubjectIndex};
use crate::model::{
    self, IpBlock, Labels, NAMESPACE_NAME_LABEL, NamespaceScope, Operator, Selector,
};

/// Subjects by label and identities by block.
pub(super) struct Index<'a> {
    identities: &'a Identities,
    by_namespace_label: HashMap<(&'a str, &'a str), Vec<SubjectIndex>>,
    by_label: HashMap<(&'a str, &'a str), Vec<SubjectIndex>>,
    block_indices: HashMap<&'a IpBlock, BlockIndex>,
    by_block: Vec<Vec<PeerIndex>>,
    selected: HashMap<(&'a NamespaceScope, &'a Selector), Vec<SubjectIndex>>,
}

impl<'a> Index<'a> {
    /// An index of `identities`.
    pub(super) fn new(identities: &'a Identities, blocks: &Blocks<'a>) -> Self {
        let subjects = || identities.subjects.iter().map(|subject| &subject.description);
        let mut by_block = vec![Vec::new(); blocks.list.len()];
        for (index, peer) in identities.peers.iter().enumerate() {
            for block in &blocks.sets[peer.blocks] {
                by_block[*block].push(index);
            }
        }
        Self {
            identities,
            by_namespace_label: by_label(subjects().map(|subject| &subject.namespace_labels)),
            by_label: by_label(subjects().map(|subject| &subject.labels)),
            block_indices: blocks.list.iter().enumerate().map(|(i, block)| (*block, i)).collect(),
            by_block,
            selected: HashMap::new(),
        }
    }

    /// The subjects that `selector` selects in `namespaces`, in order.
    pub(super) fn subjects(
        &mut self,
        namespaces: &'a NamespaceScope,
        selector: &'a Selector,
    ) -> &[SubjectIndex] {
        if !self.selected.contains_key(&(namespaces, selector)) {
            let subjects = self.select(namespaces, selector);
            self.selected.insert((namespaces, selector), subjects);
        }
        &self.selected[&(namespaces, selector)]
    }

    /// The identities that one of `peers` matches, in order.
    pub(super) fn peers(&mut self, peers: &'a [model::Peer]) -> Vec<PeerIndex> {
        let identities = self.identities;
        let mut found = Vec::new();
        for peer in peers {
            match peer {
                model::Peer::Workloads { namespaces, workloads } => {
                    for subject in self.subjects(namespaces, workloads) {
                        found.extend(&identities.subjects[*subject].peers);
                    }
                }
                model::Peer::Block(block) => {
                    found.extend(&self.by_block[self.block_indices[block]]);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Evaluates a selector, on as few subjects as an index by label leaves.
    fn select(&self, namespaces: &NamespaceScope, selector: &Selector) -> Vec<SubjectIndex> {
        let matches = |subject: &SubjectIndex| {
            let description = &self.identities.subjects[*subject].description;
            let in_scope = match namespaces {
                NamespaceScope::Named(name) => {
                    description.namespace_labels.get(NAMESPACE_NAME_LABEL) == Some(name)
                }
                NamespaceScope::Selected(selector) => {
                    selector.matches(&description.namespace_labels)
                }
            };
            in_scope && selector.matches(&description.labels)
        };
        let by_scope = match namespaces {
            NamespaceScope::Named(name) => {
                Some(candidates(&self.by_namespace_label, NAMESPACE_NAME_LABEL, [name]))
            }
            NamespaceScope::Selected(selector) => fewest(&self.by_namespace_label, selector),
        };
        let by_selector = fewest(&self.by_label, selector);
        match by_scope.into_iter().chain(by_selector).min_by_key(Vec::len) {
            Some(mut few) => {
                few.retain(matches);
                few.sort_unstable();
                few
            }
            None => (0..self.identities.subjects.len()).filter(|s| matches(s)).collect(),
        }
    }
}

fn by_label<'a>(
    labels: impl Iterator<Item = &'a Labels>,
) -> HashMap<(&'a str, &'a str), Vec<SubjectIndex>> {
    let mut index: HashMap<_, Vec<SubjectIndex>> = HashMap::new();
    for (subject, labels) in labels.enumerate() {
        for (key, value) in labels {
            index.entry((key.as_str(), value.as_str())).or_default().push(subject);
        }
    }
    index
}

/// The subjects that carry one of `values` under `key`; an object has one value at most, so no
/// subject comes twice.
fn candidates<'v>(
    index: &HashMap<(&str, &str), Vec<SubjectIndex>>,
    key: &str,
    values: impl IntoIterator<Item = &'v String>,
) -> Vec<SubjectIndex> {
    let lists = values.into_iter().filter_map(|value| index.get(&(key, value.as_str())));
    lists.flatten().copied().collect()
}

/// The fewest subjects that one of the selector's `In` requirements leaves; `None` without any.
fn fewest(
    index: &HashMap<(&str, &str), Vec<SubjectIndex>>,
    selector: &Selector,
) -> Option<Vec<SubjectIndex>> {
    selector
        .requirements()
        .filter_map(|requirement| match &requirement.operator {
            Operator::In(values) => Some(candidates(index, &requirement.key, values)),
            Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => None,
        })
        .min_by_key(Vec::len)
}
