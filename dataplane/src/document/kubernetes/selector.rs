//! `LabelSelector` (`k8s.io/apimachinery/pkg/apis/meta/v1`).

use serde::Serialize;

use super::Spanned;
use super::label::{check_key, read_labels, read_value};
use crate::document::codes::Code;
use crate::document::context::{Context, Fields};
use crate::document::yaml::Node;
use crate::model::{Labels, Operator, Requirement, Selector};

/// A selector as the API writes it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LabelSelector {
    #[serde(skip_serializing_if = "Option::is_none")]
    match_expressions: Option<Vec<LabelSelectorRequirement>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    match_labels: Option<Labels>,
}

/// An item of `matchExpressions`.
#[derive(Clone, Debug, Serialize)]
struct LabelSelectorRequirement {
    key: String,
    operator: Op,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Op {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

const OPERATORS: [(&str, Op); 4] = [
    ("In", Op::In),
    ("NotIn", Op::NotIn),
    ("Exists", Op::Exists),
    ("DoesNotExist", Op::DoesNotExist),
];

impl LabelSelector {
    /// Reads the selector of field `field`.
    pub fn read(context: &mut Context, node: &Node, field: &str) -> Option<Spanned<Self>> {
        let what = format!("`{field}`");
        let fields = Fields::Known(&["matchLabels", "matchExpressions"]);
        let object = context.object(node, &what, fields)?;
        let labels = object.value("matchLabels");
        let match_labels =
            labels.map(|node| read_labels(context, node, "the labels of a selector"));
        let expressions = object.value("matchExpressions");
        let match_expressions = expressions.map(|node| {
            let items = context.list(node, "`matchExpressions` is a list of requirements")?;
            let read: Vec<_> =
                items.iter().map(|item| LabelSelectorRequirement::read(context, item)).collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
        let value = Self {
            match_labels: match match_labels {
                Some(labels) => Some(labels?),
                None => None,
            },
            match_expressions: match match_expressions {
                Some(expressions) => Some(expressions?),
                None => None,
            },
        };
        Some(Spanned { span: node.span, value })
    }

    /// What it selects.
    pub fn to_model(&self) -> Selector {
        let labels = self.match_labels.iter().flatten().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::In([value.clone()].into()),
        });
        let expressions = self.match_expressions.iter().flatten().map(|expression| {
            let values = expression.values.iter().flatten().cloned().collect();
            let operator = match expression.operator {
                Op::In => Operator::In(values),
                Op::NotIn => Operator::NotIn(values),
                Op::Exists => Operator::Exists,
                Op::DoesNotExist => Operator::DoesNotExist,
            };
            Requirement { key: expression.key.clone(), operator }
        });
        Selector::new(labels.chain(expressions))
    }
}

impl LabelSelectorRequirement {
    fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let what = "a requirement";
        let fields = Fields::Known(&["key", "operator", "values"]);
        let object = context.object(node, what, fields)?;
        let key = match object.value("key") {
            Some(node) => context
                .text(node, "a label's key")
                .filter(|key| check_key(context, key, node.span))
                .map(str::to_owned),
            None => {
                context.missing(&object, what, "key");
                None
            }
        };
        let operator = match object.value("operator") {
            Some(node) => context.word(node, "`operator`", &OPERATORS),
            None => {
                context.missing(&object, what, "operator");
                None
            }
        };
        let values = match object.value("values") {
            Some(node) => {
                let items = context.list(node, "`values` is a list of label values")?;
                let read: Vec<_> = items.iter().map(|item| read_value(context, item)).collect();
                Some(read.into_iter().collect::<Option<Vec<_>>>()?)
            }
            None => None,
        };
        let (key, operator) = (key?, operator?);
        let some = values.as_ref().is_some_and(|values| !values.is_empty());
        let wants = matches!(operator, Op::In | Op::NotIn);
        if some == wants {
            return Some(Self { key, operator, values });
        }
        let span = object.value("values").map_or(object.span, |values| values.span);
        if wants {
            context
                .error(Code::OperatorValues, span, format!("`{operator:?}` needs values"))
                .label("there are none")
                .help("list one value at least, or use `Exists` or `DoesNotExist`");
        } else {
            context
                .error(Code::OperatorValues, span, format!("`{operator:?}` takes no values"))
                .label("these mean nothing")
                .help("remove `values`, or use `In` or `NotIn`");
        }
        None
    }
}
