//! Labels: what a workload or namespace is, as key and value.

use std::collections::BTreeMap;

/// The labels of one object. Ordered, so that everything made from them is deterministic.
pub type Labels = BTreeMap<String, String>;
