//! The model back to documents, and to case files that can be dropped into the corpus.
//!
//! What documents cannot say is not left out in silence: [`policies`] lists it, and a case file
//! that lacks something says so. Reading what was written gives the same answers again.

mod case;
mod cluster_network_policy;
mod network_policy;

use ringfence_dataplane::model::{Labels, Operator, Policy, Selector, Tier};
use serde_json::{Map, Value, json};

pub use self::case::{Question, can_be_probed, case};

/// Documents, and what they lack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// YAML.
    pub text: String,
    /// What could not be said, each with the policy's name and why.
    pub unsaid: Vec<String>,
}

/// Policies as documents: those of the Developer tier as NetworkPolicies, the others as
/// ClusterNetworkPolicies. A rule that documents cannot say is left out and listed; a policy
/// without its subject or isolation would be another one, so it is left out as a whole.
#[must_use]
pub fn policies(policies: &[Policy]) -> Rendered {
    let mut rendered = Rendered::default();
    for policy in policies {
        let mut unsaid = |why: String| rendered.unsaid.push(format!("{}: {why}", policy.name));
        let document = match policy.tier {
            Tier::Developer => network_policy::document(policy, &mut unsaid),
            Tier::Admin | Tier::Baseline => cluster_network_policy::document(policy, &mut unsaid),
            Tier::Failsafe => Err("no document says what always stays open"),
        };
        match document {
            Ok(document) => {
                if !rendered.text.is_empty() {
                    rendered.text.push_str("---\n");
                }
                rendered.text.push_str(&yaml(&document));
            }
            Err(why) => unsaid(format!("left out: {why}")),
        }
    }
    rendered
}

/// One document, with a line break at its end.
fn yaml(value: &Value) -> String {
    let mut text = serde_saphyr::to_string(value).expect("texts, numbers, lists and maps are YAML");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A selector as the API writes it.
fn selector(selector: &Selector) -> Value {
    let (mut labels, mut expressions) = (Map::new(), Vec::new());
    for requirement in selector.requirements() {
        let key = &requirement.key;
        let (operator, values) = match &requirement.operator {
            // Two labels of one key cannot stand side by side.
            Operator::In(values) if values.len() == 1 && !labels.contains_key(key) => {
                labels.extend(values.iter().map(|value| (key.clone(), json!(value))));
                continue;
            }
            Operator::In(values) => ("In", Some(values)),
            Operator::NotIn(values) => ("NotIn", Some(values)),
            Operator::Exists => ("Exists", None),
            Operator::DoesNotExist => ("DoesNotExist", None),
        };
        let mut expression = json!({ "key": key, "operator": operator });
        if let Some(values) = values {
            expression["values"] = json!(values);
        }
        expressions.push(expression);
    }
    let mut selector = Map::new();
    if !labels.is_empty() {
        selector.insert("matchLabels".to_owned(), Value::Object(labels));
    }
    if !expressions.is_empty() {
        selector.insert("matchExpressions".to_owned(), Value::Array(expressions));
    }
    Value::Object(selector)
}

/// Labels as a mapping.
fn labels(labels: &Labels) -> Value {
    json!(labels)
}
