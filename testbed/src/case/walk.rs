//! From a tree of values to a case, with everything that is wrong on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ringfence_dataplane::document;
use ringfence_dataplane::model::Labels;
use serde_saphyr::Location;

use super::cluster::{Cluster, Differing, Stated};
use super::tree::{self, Key, Node, Value};
use super::{
    Case, CaseError, DocumentWarnings, Place, Sequence, Warning, frame, pods, probe, settings,
};

/// Keys of a case that mean something.
const KEYS: [&str; 16] = [
    "name",
    "source",
    "policies",
    "namespaces",
    "pods",
    "probes",
    "frames",
    "default_namespace",
    "sequence",
    "step",
    "steps",
    "mode",
    "established",
    "pick_up",
    "essential_off",
    "failsafe",
];

/// The cases of `text` that have no errors; the errors of the others.
pub fn cases(file: &str, text: &str, errors: &mut Vec<CaseError>) -> Vec<Case> {
    let file: Arc<str> = file.into();
    let documents = match tree::parse(text) {
        Ok(documents) => documents,
        Err(error) => {
            let at = error.location().unwrap_or(Location::UNKNOWN);
            let place = place(&file, at);
            let message = tree::in_words(&error);
            errors.push(CaseError::Wrong { place, message });
            return Vec::new();
        }
    };
    if documents.is_empty() {
        let what = "holds no case; give at least `pods`, and `probes` or `frames`".to_owned();
        errors.push(CaseError::Empty { path: file.to_string(), what });
    }
    let read = |document: &Node| {
        let before = errors.len();
        let mut walk = Walk {
            file: file.clone(),
            errors: &mut *errors,
            warnings: Vec::new(),
            document_warnings: Vec::new(),
        };
        let case = walk.case(document);
        case.filter(|_| errors.len() == before)
    };
    documents.iter().filter_map(read).collect()
}

/// A walk over one case.
pub struct Walk<'e> {
    file: Arc<str>,
    errors: &'e mut Vec<CaseError>,
    warnings: Vec<Warning>,
    document_warnings: Vec<DocumentWarnings>,
}

/// A mapping whose keys have meanings.
#[derive(Clone, Copy)]
pub struct Object<'n> {
    /// Where it begins.
    pub at: Location,
    /// What it is, for sentences: `a probe`.
    pub what: &'static str,
    entries: &'n [(Key, Node)],
}

impl<'n> Object<'n> {
    /// The value of `key`; nothing where it is absent or null.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        let (_, node) = self.entries.iter().find(|(known, _)| known.text == key)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }
}

impl Walk<'_> {
    fn case(&mut self, root: &Node) -> Option<Case> {
        let case = self.object(root, "a case")?;
        let before = self.errors.len();
        let namespaces = self.namespaces(&case);
        let pods = pods::read(self, &case);
        let default_namespace = self.default_namespace(&case);
        let (mode, settings) = settings::read(self, &case);
        let failsafe = settings::failsafe(self, &case);
        let documents = self.optional_text(&case, "policies").unwrap_or_default().to_owned();
        let at = case.get("policies").map_or(case.at, |node| node.at);
        let cluster = Cluster::new(self, &namespaces, &pods, &default_namespace, &failsafe);
        let policies = cluster.join(self, at, &documents, Differing::Wrong);
        let (probes, frames) = match &policies {
            Some(policies) => {
                (probe::read(self, &case, policies), frame::read(self, &case, &cluster, policies))
            }
            None => (Vec::new(), Vec::new()),
        };
        let asks = !probes.is_empty() || !frames.is_empty() || case.get("sequence").is_some();
        if !asks && self.errors.len() == before {
            self.error(case.at, "the case asks nothing; give it `probes` or `frames`");
        }
        self.slips(&case);
        let (name, sequence) = (self.name(&case), self.sequence(&case));
        let extra = case.entries.iter().filter(|(key, _)| !KEYS.contains(&key.text.as_str()));
        Some(Case {
            place: self.place(case.at),
            name,
            source: self.optional_text(&case, "source").map(str::to_owned),
            documents,
            default_namespace,
            pods,
            policies: policies?,
            namespaces: namespaces
                .into_iter()
                .map(|(name, stated)| (name, stated.labels.unwrap_or_default()))
                .collect(),
            probes,
            frames,
            mode,
            settings,
            sequence,
            document_warnings: std::mem::take(&mut self.document_warnings),
            extra: extra.map(|(key, node)| (key.text.clone(), node.value.to_json())).collect(),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    /// Warns of keys that mean nothing and are like one that does.
    fn slips(&mut self, case: &Object) {
        for (key, _) in case.entries {
            let like = suggestion(&key.text, KEYS);
            if !KEYS.contains(&key.text.as_str()) && !like.is_empty() {
                let message =
                    format!("a case has no key `{}`{like}; it is kept and means nothing", key.text);
                self.warning(key.at, message);
            }
        }
    }

    fn name(&mut self, case: &Object) -> String {
        let stem = Path::new(&*self.file).file_stem().unwrap_or_default();
        let stem = stem.to_string_lossy().into_owned();
        self.name_of(case, "name").unwrap_or(stem)
    }

    /// The name under `key`, which is printed and has to be one line.
    pub fn name_of(&mut self, object: &Object, key: &str) -> Option<String> {
        let node = object.get(key)?;
        let name = self.text(node, &format!("`{key}`"))?;
        if let Some(control) = name.chars().find(|one| one.is_control()) {
            let number = u32::from(control);
            let message = format!("`{key}` has the control character U+{number:04X}; leave it out");
            self.error(node.at, message);
        }
        Some(name.to_owned())
    }

    fn namespaces(&mut self, case: &Object) -> BTreeMap<String, Stated> {
        let Some(node) = case.get("namespaces") else { return BTreeMap::new() };
        let Some(entries) = self.entries(node, "`namespaces`") else { return BTreeMap::new() };
        let mut namespaces = BTreeMap::new();
        for (key, labels) in entries {
            self.namespace_name(key.at, &key.text);
            let is_stated = !matches!(labels.value, Value::Null);
            let labels = is_stated.then(|| self.labels(labels));
            namespaces.insert(key.text.clone(), Stated { place: self.place(key.at), labels });
        }
        namespaces
    }

    fn default_namespace(&mut self, case: &Object) -> String {
        let Some(node) = case.get("default_namespace") else { return "default".to_owned() };
        let name = self.text(node, "`default_namespace`").unwrap_or("default");
        self.namespace_name(node.at, name);
        name.to_owned()
    }

    /// Says so if `name` cannot be a namespace's.
    pub fn namespace_name(&mut self, at: Location, name: &str) {
        if !document::is_namespace_name(name) {
            let message = format!(
                "`{name}` cannot be the name of a namespace: up to 63 lower-case letters, digits \
                 and `-`, with a letter or digit at both ends"
            );
            self.error(at, message);
        }
    }

    fn sequence(&mut self, case: &Object) -> Option<Sequence> {
        if case.get("sequence").is_none() {
            for key in ["step", "steps"] {
                if let Some(node) = case.get(key) {
                    let message = format!("`{key}` means nothing without `sequence`; add its name");
                    self.warning(node.at, message);
                }
            }
            return None;
        }
        let name = self.name_of(case, "sequence")?;
        let step = self.required(case, "step")?;
        let step = self.number(step, "`step`", 1..=u32::MAX.into())? as u32;
        let steps = self.required(case, "steps")?;
        let steps = self.number(steps, "`steps`", step.into()..=u32::MAX.into())? as u32;
        Some(Sequence { name, step, steps })
    }

    /// Labels: text to text.
    pub fn labels(&mut self, node: &Node) -> Labels {
        if matches!(node.value, Value::Null) {
            return Labels::new();
        }
        let entries = self.entries(node, "labels").unwrap_or_default();
        let label = |(key, value): &(Key, Node)| {
            let value = self.text(value, "a label's value")?;
            Some((key.text.clone(), value.to_owned()))
        };
        entries.iter().filter_map(label).collect()
    }

    /// The mapping that `node` is.
    pub fn object<'n>(&mut self, node: &'n Node, what: &'static str) -> Option<Object<'n>> {
        let entries = self.entries(node, what)?;
        Some(Object { at: node.at, what, entries })
    }

    fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        if let Value::Mapping(entries) = &node.value {
            return Some(entries);
        }
        self.other_type(node, what, "a mapping")
    }

    /// The items of the list under `key`; none where it is absent.
    pub fn items<'n>(&mut self, object: &Object<'n>, key: &str) -> &'n [Node] {
        let Some(node) = object.get(key) else { return &[] };
        if let Value::List(items) = &node.value {
            return items;
        }
        self.other_type::<()>(node, &format!("`{key}`"), "a list");
        &[]
    }

    /// The value under a key that has to be there.
    pub fn required<'n>(&mut self, object: &Object<'n>, key: &str) -> Option<&'n Node> {
        let found = object.get(key);
        if found.is_none() {
            self.error(object.at, format!("{} has no `{key}`; add it", object.what));
        }
        found
    }

    /// The text under a key that may be absent.
    pub fn optional_text<'n>(&mut self, object: &Object<'n>, key: &str) -> Option<&'n str> {
        let node = object.get(key)?;
        self.text(node, &format!("`{key}`"))
    }

    /// The text that `node` is.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        if let Value::Text(text) = &node.value {
            return Some(text);
        }
        let wanted = match node.value {
            Value::List(_) | Value::Mapping(_) => "text",
            _ => "text; put it in quotes",
        };
        self.other_type(node, what, wanted)
    }

    /// The number that `node` is.
    pub fn number(
        &mut self,
        node: &Node,
        what: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        if let Value::Text(text) = &node.value
            && let Ok(number) = text.parse::<u64>()
        {
            let message = format!("{what} is text; write {number} without quotes");
            self.error(node.at, message);
            return None;
        }
        let Value::Integer(number) = node.value else {
            return self.other_type(node, what, "a number");
        };
        let fitting = u64::try_from(number).ok().filter(|number| range.contains(number));
        if fitting.is_none() {
            let (least, most) = range.into_inner();
            let message = format!("{what} is {number}; it has to be {least} to {most}");
            self.error(node.at, message);
        }
        fitting
    }

    /// What the word in `node` stands for.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        if found.is_none() {
            let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let message = format!("{what} is `{text}`; it has to be {}", known.join(" or "));
            self.error(node.at, message);
        }
        found.map(|(_, value)| *value)
    }

    fn other_type<T>(&mut self, node: &Node, what: &str, wanted: &str) -> Option<T> {
        let message = format!("{what} is {}; it has to be {wanted}", node.value.describe());
        self.error(node.at, message);
        None
    }

    /// Warns of keys that mean nothing.
    pub fn unknown_keys(&mut self, object: &Object, known: &[&str]) {
        for (key, _) in object.entries {
            if known.contains(&key.text.as_str()) {
                continue;
            }
            let like = suggestion(&key.text, known.iter().copied());
            let message =
                format!("{} has no key `{}`{like}; it is left out", object.what, key.text);
            self.warning(key.at, message);
        }
    }

    /// Notes what may be a slip at `at`.
    pub fn warning(&mut self, at: Location, message: impl Into<String>) {
        self.warnings.push(Warning { place: self.place(at), message: visible(message) });
    }

    /// Notes what is wrong with the value at `at`.
    pub fn error(&mut self, at: Location, message: impl Into<String>) {
        self.error_at(self.place(at), message);
    }

    /// Notes what is wrong at a place.
    pub fn error_at(&mut self, place: Place, message: impl Into<String>) {
        self.errors.push(CaseError::Wrong { place, message: visible(message) });
    }

    /// Notes that documents cannot be used.
    pub fn documents_error(&mut self, at: Location, diagnostics: String) {
        let place = self.place(at);
        self.errors.push(CaseError::Documents { place, diagnostics });
    }

    /// Notes what is odd about documents that can be used.
    pub fn documents_warning(&mut self, at: Location, report: &document::Report) {
        if !report.diagnostics.is_empty() {
            let messages = report.diagnostics.iter().map(|found| {
                let line = found.place.as_ref().map_or(1, |place| place.line);
                let (code, message) = (found.code, &found.message);
                format!("{code}: {message} (line {line} of these documents)")
            });
            self.document_warnings.push(DocumentWarnings {
                place: self.place(at),
                messages: messages.collect(),
                drawn: report.render(true),
            });
        }
    }

    /// The place of a value.
    pub fn place(&self, at: Location) -> Place {
        place(&self.file, at)
    }
}

/// `message` without the control characters that it quotes from a file.
fn visible(message: impl Into<String>) -> String {
    message.into().replace(char::is_control, "\u{fffd}")
}

fn place(file: &Arc<str>, at: Location) -> Place {
    let clamp = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Place { file: file.clone(), line: clamp(at.line()), column: clamp(at.column()) }
}

/// `, did you mean …`, if one of `known` is like `word`.
pub fn suggestion<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let most = (word.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|known| (strsim::osa_distance(word, known), known));
    let nearest = distances.filter(|(distance, _)| *distance <= most).min();
    nearest.map_or_else(String::new, |(_, known)| format!(" (did you mean `{known}`?)"))
}
