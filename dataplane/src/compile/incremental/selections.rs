//! Selectors and the subjects they select, kept while either come and go.
//!
//! A selector that comes is asked about as few subjects as an index by label leaves, and a subject
//! that comes is asked about as few selectors: those that want one of its labels, and those that
//! want none in particular.

use std::collections::BTreeSet;

use hashbrown::{Equivalent, HashMap};

use super::slots::Slots;
use super::{PolicyId, RuleId, SubjectId};
use crate::compile::IdentityDescription;
use crate::model::{Labels, NAMESPACE_NAME_LABEL, NamespaceScope, Operator, Selector};

/// Position of a selection.
pub(super) type SelectionId = usize;

/// A distinct selector in its scope.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) scope: NamespaceScope,
    pub(super) selector: Selector,
    /// Whom it selects; nobody before [`Selections::evaluate`].
    pub(super) subjects: BTreeSet<SubjectId>,
    /// The policies whose subjects it selects.
    pub(super) policies: BTreeSet<PolicyId>,
    /// The rules whose peers it selects.
    pub(super) rules: BTreeSet<RuleId>,
    /// Whether it has been evaluated.
    evaluated: bool,
}

impl Selection {
    /// Whether nobody needs it.
    pub(super) fn is_idle(&self) -> bool {
        self.policies.is_empty() && self.rules.is_empty()
    }

    fn selects(&self, subject: &IdentityDescription) -> bool {
        let in_scope = match &self.scope {
            NamespaceScope::Named(name) => {
                subject.namespace_labels.get(NAMESPACE_NAME_LABEL) == Some(name)
            }
            NamespaceScope::Selected(selector) => selector.matches(&subject.namespace_labels),
        };
        in_scope && self.selector.matches(&subject.labels)
    }
}

/// A label of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Label {
    of_namespace: bool,
    key: String,
    value: String,
}

/// A label to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Wanted<'a> {
    of_namespace: bool,
    key: &'a str,
    value: &'a str,
}

impl Equivalent<Label> for Wanted<'_> {
    fn equivalent(&self, label: &Label) -> bool {
        (self.of_namespace, self.key, self.value) == (label.of_namespace, &label.key, &label.value)
    }
}

impl Wanted<'_> {
    fn to_label(self) -> Label {
        let Self { of_namespace, key, value } = self;
        Label { of_namespace, key: key.to_owned(), value: value.to_owned() }
    }
}

/// A distinct selector, to look for.
#[derive(Hash)]
struct Distinct<'a>(&'a NamespaceScope, &'a Selector);

impl Equivalent<(NamespaceScope, Selector)> for Distinct<'_> {
    fn equivalent(&self, key: &(NamespaceScope, Selector)) -> bool {
        *self.0 == key.0 && *self.1 == key.1
    }
}

/// Sets of positions by label.
type ByLabel = HashMap<Label, BTreeSet<usize>>;

/// All selectors of policy.
#[derive(Debug, Default)]
pub(super) struct Selections {
    pub(super) all: Slots<Selection>,
    known: HashMap<(NamespaceScope, Selector), SelectionId>,
    subjects_by_label: ByLabel,
    subjects: BTreeSet<SubjectId>,
    /// The evaluated selections that want some label, each by one place where it wants it.
    by_label: ByLabel,
    /// The evaluated selections that want none in particular.
    unlabelled: BTreeSet<SelectionId>,
    /// Those that are new, and those that may be idle.
    new: BTreeSet<SelectionId>,
    left: BTreeSet<SelectionId>,
}

impl Selections {
    /// The selection of a selector, and whether it is new.
    pub(super) fn of(&mut self, scope: &NamespaceScope, selector: &Selector) -> (usize, bool) {
        if let Some(id) = self.known.get(&Distinct(scope, selector)) {
            return (*id, false);
        }
        let id = self.all.add(Selection {
            scope: scope.clone(),
            selector: selector.clone(),
            subjects: BTreeSet::new(),
            policies: BTreeSet::new(),
            rules: BTreeSet::new(),
            evaluated: false,
        });
        self.known.insert((scope.clone(), selector.clone()), id);
        self.new.insert(id);
        (id, true)
    }

    /// A selection that one policy or rule less needs.
    pub(super) fn leave(&mut self, id: SelectionId) {
        self.left.insert(id);
    }

    /// Forgets the selections that nobody needs; they are returned.
    pub(super) fn sweep(&mut self) -> Vec<(SelectionId, Selection)> {
        let left = std::mem::take(&mut self.left);
        let idle: Vec<usize> = left.into_iter().filter(|id| self.all[*id].is_idle()).collect();
        let mut gone = Vec::new();
        for id in idle {
            let Some(selection) = self.all.remove(id) else { continue };
            self.known.remove(&Distinct(&selection.scope, &selection.selector));
            self.new.remove(&id);
            if selection.evaluated {
                match anchor(&selection) {
                    None => _ = self.unlabelled.remove(&id),
                    Some(labels) => labels.iter().for_each(|l| forget(&mut self.by_label, *l, id)),
                }
            }
            gone.push((id, selection));
        }
        gone
    }

    /// Adds a subject; the evaluated selections that select it.
    pub(super) fn add_subject(
        &mut self,
        id: SubjectId,
        subject: &IdentityDescription,
    ) -> Vec<SelectionId> {
        self.subjects.insert(id);
        let mut found: Vec<SelectionId> = self.unlabelled.iter().copied().collect();
        for label in labels(subject) {
            found.extend(self.by_label.get(&label).into_iter().flatten());
            insert(&mut self.subjects_by_label, label, id);
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|selection| self.all[*selection].selects(subject));
        for selection in &found {
            self.all[*selection].subjects.insert(id);
        }
        found
    }

    /// Removes a subject that `selections` select.
    pub(super) fn remove_subject(
        &mut self,
        id: SubjectId,
        subject: &IdentityDescription,
        selections: impl IntoIterator<Item = SelectionId>,
    ) {
        self.subjects.remove(&id);
        labels(subject).for_each(|label| forget(&mut self.subjects_by_label, label, id));
        for selection in selections {
            if let Some(selection) = self.all.get_mut(selection) {
                selection.subjects.remove(&id);
            }
        }
    }

    /// Evaluates the new selections, with `describe` the subjects; who is selected by which.
    pub(super) fn evaluate<'a>(
        &mut self,
        describe: impl Fn(SubjectId) -> &'a IdentityDescription,
    ) -> Vec<(SelectionId, SubjectId)> {
        let mut found = Vec::new();
        for id in std::mem::take(&mut self.new) {
            let subjects: BTreeSet<SubjectId> = {
                let selection = &self.all[id];
                let selects = |subject: &SubjectId| selection.selects(describe(*subject));
                match self.fewest(selection) {
                    Some(few) => few.into_iter().filter(selects).collect(),
                    None => self.subjects.iter().copied().filter(selects).collect(),
                }
            };
            found.extend(subjects.iter().map(|subject| (id, *subject)));
            let selection = &mut self.all[id];
            selection.subjects = subjects;
            selection.evaluated = true;
            match anchor(selection) {
                None => _ = self.unlabelled.insert(id),
                Some(labels) => labels.iter().for_each(|l| insert(&mut self.by_label, *l, id)),
            }
        }
        found
    }

    /// The fewest subjects that one of the selection's wishes for a label leaves.
    fn fewest(&self, selection: &Selection) -> Option<Vec<SubjectId>> {
        let subjects = |labels: &Vec<Wanted<'_>>| -> Vec<SubjectId> {
            let lists = labels.iter().filter_map(|label| self.subjects_by_label.get(label));
            lists.flatten().copied().collect()
        };
        wishes(selection).iter().map(subjects).min_by_key(Vec::len)
    }
}

/// The labels that an object carries of which a selection wants one, for every such wish: those of
/// the workload first.
fn wishes(selection: &Selection) -> Vec<Vec<Wanted<'_>>> {
    let named = match &selection.scope {
        NamespaceScope::Named(name) => {
            let label = Wanted { of_namespace: true, key: NAMESPACE_NAME_LABEL, value: name };
            vec![vec![label]]
        }
        NamespaceScope::Selected(selector) => values(selector, true),
    };
    values(&selection.selector, false).into_iter().chain(named).collect()
}

fn values(selector: &Selector, of_namespace: bool) -> Vec<Vec<Wanted<'_>>> {
    let lists = selector.requirements().filter_map(|requirement| match &requirement.operator {
        Operator::In(values) => {
            let label = |value| Wanted { of_namespace, key: &requirement.key, value };
            Some(values.iter().map(|value| label(value.as_str())).collect())
        }
        Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => None,
    });
    lists.collect()
}

/// The one wish by which a selection is found.
fn anchor(selection: &Selection) -> Option<Vec<Wanted<'_>>> {
    wishes(selection).into_iter().min_by_key(Vec::len)
}

fn labels(subject: &IdentityDescription) -> impl Iterator<Item = Wanted<'_>> {
    fn of(labels: &Labels, of_namespace: bool) -> impl Iterator<Item = Wanted<'_>> {
        labels.iter().map(move |(key, value)| Wanted { of_namespace, key, value })
    }
    of(&subject.namespace_labels, true).chain(of(&subject.labels, false))
}

fn insert(index: &mut ByLabel, label: Wanted<'_>, id: usize) {
    if let Some(ids) = index.get_mut(&label) {
        ids.insert(id);
    } else {
        index.insert(label.to_label(), BTreeSet::from([id]));
    }
}

fn forget(index: &mut ByLabel, label: Wanted<'_>, id: usize) {
    if let Some(ids) = index.get_mut(&label) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(&label);
        }
    }
}
