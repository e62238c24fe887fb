//! `Namespace` (`k8s.io/api/core/v1`).

use super::Spanned;
use super::meta::ObjectMeta;
use super::name::NameRule;
use crate::document::context::{Context, Fields};
use crate::document::yaml::Node;
use crate::model;

/// What is read of a Namespace: its name and labels.
#[derive(Clone, Debug)]
pub(in crate::document) struct Namespace {
    pub name: Spanned<String>,
    labels: model::Labels,
}

impl Namespace {
    /// Reads a document whose kind is known to be Namespace; nothing if it has errors.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let before = context.findings.errors;
        let what = "a Namespace";
        let fields = Fields::Known(&["apiVersion", "kind", "metadata", "spec", "status"]);
        let object = context.object(node, what, fields)?;
        let Some(metadata) = object.value("metadata") else {
            context.missing(&object, what, "metadata");
            return None;
        };
        let metadata = ObjectMeta::read(context, metadata, what, NameRule::Label)?;
        let labels = metadata.labels();
        (context.findings.errors == before).then_some(Self { name: metadata.name, labels })
    }

    /// The namespace it describes.
    pub fn to_model(&self) -> model::Namespace {
        model::Namespace::new(self.name.value.clone(), self.labels.clone())
    }
}
