//! `metadata` of every object (`k8s.io/apimachinery/pkg/apis/meta/v1` `ObjectMeta`).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::Spanned;
use super::label::{read_annotations, read_labels};
use super::name::NameRule;
use crate::document::codes::Code;
use crate::document::context::{Context, Fields};
use crate::document::yaml::{Entry, Node, Resolved, Value};
use crate::model::{HOST_LABEL, Labels};

/// What a field holds that the API server fills in and that is not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// It is read here.
    Read,
    Text,
    Integer,
    List,
}

/// The fields of `ObjectMeta`.
const SHAPES: [(&str, Shape); 15] = [
    ("annotations", Shape::Read),
    ("creationTimestamp", Shape::Text),
    ("deletionGracePeriodSeconds", Shape::Integer),
    ("deletionTimestamp", Shape::Text),
    ("finalizers", Shape::List),
    ("generateName", Shape::Text),
    ("generation", Shape::Integer),
    ("labels", Shape::Read),
    ("managedFields", Shape::List),
    ("name", Shape::Read),
    ("namespace", Shape::Read),
    ("ownerReferences", Shape::List),
    ("resourceVersion", Shape::Text),
    ("selfLink", Shape::Text),
    ("uid", Shape::Text),
];

/// Their names.
const FIELDS: &[&str] = &{
    let mut names = [""; SHAPES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = SHAPES[index].0;
        index += 1;
    }
    names
};

/// An object's metadata.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::document) struct ObjectMeta {
    pub name: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Spanned<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Labels>,
    /// What the API server keeps there; nothing here depends on it.
    #[serde(flatten)]
    pub other: BTreeMap<String, Json>,
}

impl ObjectMeta {
    /// Reads `metadata`; `what` names the object with its article: "a pod".
    pub fn read(context: &mut Context, node: &Node, what: &str, rule: NameRule) -> Option<Self> {
        let object = context.object(node, "`metadata`", Fields::Known(FIELDS))?;
        let name = match object.value("name") {
            Some(node) => rule.read(context, node, &format!("the name of {what}")),
            None => {
                context.missing(&object, what, "name");
                None
            }
        };
        let namespace = object
            .value("namespace")
            .and_then(|node| NameRule::Label.read(context, node, "a namespace's name"));
        let labels = object
            .value("labels")
            .and_then(|node| read_labels(context, node, &format!("the labels of {what}")));
        let annotations =
            object.value("annotations").and_then(|node| read_annotations(context, node));
        let other = object
            .entries()
            .iter()
            .filter(|entry| !entry.value.is_null())
            .filter_map(|entry| other(context, entry))
            .collect();
        Some(Self { name: name?, namespace, labels, annotations, other })
    }

    /// The namespace, if it is given, else the default one.
    pub fn namespace_or_default(&self, context: &Context) -> String {
        match &self.namespace {
            Some(namespace) => namespace.value.clone(),
            None => context.options.default_namespace.clone(),
        }
    }

    /// The labels of a workload, which is the host or not. Reports the label that only the host
    /// carries, because policy tells the host by it.
    pub fn workload_labels(&self, context: &mut Context, host: bool) -> Labels {
        if !host && self.labels().contains_key(HOST_LABEL) {
            context
                .error(
                    Code::ReservedLabel,
                    self.name.span,
                    format!("`{}` carries the label `{HOST_LABEL}`", self.name.value),
                )
                .label("it is not the host")
                .help("remove the label; the Workload with `host: true` gets it by itself");
        }
        self.labels()
    }

    /// The labels.
    pub fn labels(&self) -> Labels {
        self.labels.clone().unwrap_or_default()
    }
}

/// A field that is kept as it is, if it has the shape that the API gives it.
fn other(context: &mut Context, entry: &Entry) -> Option<(String, Json)> {
    let name = entry.key.text();
    let (_, shape) = SHAPES.iter().find(|(field, _)| *field == name)?;
    let what = format!("`{name}`");
    let good = match shape {
        Shape::Read => false,
        Shape::Text => context.text(&entry.value, &what).is_some(),
        Shape::Integer => context.integer(&entry.value, &what).is_some(),
        Shape::List => context.list(&entry.value, &format!("{what} is a list")).is_some(),
    };
    good.then(|| (name.to_owned(), json(&entry.value)))
}

/// A value as JSON, as Kubernetes converts it. Trees are at most
/// [`DEPTH`](crate::document::limits::DEPTH) deep, so the recursion is not either.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Sequence(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => entries
            .iter()
            .map(|entry| (entry.key.text().to_owned(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null => Json::Null,
            Resolved::Boolean(boolean) => boolean.into(),
            Resolved::Integer(number) => number.into(),
            Resolved::Float => scalar.text.parse::<f64>().map_or(Json::Null, Json::from),
            Resolved::OddInteger | Resolved::Text => scalar.text.as_ref().into(),
        },
    }
}
