//! The frames of a case.

use std::time::Duration;

use ringfence_dataplane::model::{Direction, PolicySet};

use super::cluster::{Cluster, Differing};
use super::probe::{expectation, reason, workload};
use super::tree::{Node, Value};
use super::walk::{Object, Walk};
use super::{Apply, Frame, Step};

/// Longest `after`: the time after which tick numbers return would be 417 days.
const LONGEST_SECONDS: f64 = 30.0 * 24.0 * 3_600.0;

pub(super) fn read(
    walk: &mut Walk,
    case: &Object,
    cluster: &Cluster,
    policies: &PolicySet,
) -> Vec<Step> {
    let mut policies = policies.clone();
    let mut steps = Vec::new();
    for item in walk.items(case, "frames") {
        let Some(object) = walk.object(item, "a frame") else { continue };
        if let Some(documents) = object.get("apply") {
            let Some(apply) = apply(walk, &object, documents, cluster) else { continue };
            policies = apply.policies.clone();
            steps.push(Step::Apply(apply));
        } else if let Some(frame) = frame(walk, &object, &policies) {
            steps.push(Step::Frame(frame));
        }
    }
    steps
}

fn apply(walk: &mut Walk, object: &Object, node: &Node, cluster: &Cluster) -> Option<Apply> {
    walk.unknown_keys(object, &["name", "apply", "after"]);
    let documents = walk.text(node, "`apply`")?.to_owned();
    Some(Apply {
        place: walk.place(object.at),
        name: walk.name_of(object, "name"),
        policies: cluster.join(walk, node.at, &documents, Differing::DocumentHolds)?,
        documents,
        after: after(walk, object),
    })
}

fn frame(walk: &mut Walk, object: &Object, policies: &PolicySet) -> Option<Frame> {
    const KEYS: [&str; 8] = ["name", "at", "direction", "hex", "expect", "reason", "rule", "after"];
    walk.unknown_keys(object, &KEYS);
    let name = walk.name_of(object, "name");
    let at = walk.required(object, "at");
    let at = at.and_then(|node| workload(walk, node, &policies.inventory));
    let direction = walk.required(object, "direction").and_then(|node| {
        let words = [("ingress", Direction::Ingress), ("egress", Direction::Egress)];
        walk.word(node, "`direction`", &words)
    });
    let bytes = walk.required(object, "hex").and_then(|node| hex(walk, node));
    let expect = expectation(walk, object);
    let reason = reason(walk, object, expect);
    let rule = object.get("rule").and_then(|node| rule(walk, node, policies));
    let after = after(walk, object);
    let place = walk.place(object.at);
    let (at, direction, bytes) = (at?.name.clone(), direction?, bytes?);
    Some(Frame { place, name, at, direction, bytes, expect: expect?, reason, rule, after })
}

fn hex(walk: &mut Walk, node: &Node) -> Option<Vec<u8>> {
    let text = walk.text(node, "`hex`")?;
    let digits: Vec<char> = text.chars().filter(|one| !one.is_whitespace()).collect();
    if let Some((index, odd)) = digits.iter().enumerate().find(|(_, one)| !one.is_ascii_hexdigit())
    {
        let number = index + 1;
        walk.error(
            node.at,
            format!("`hex` has `{odd}` as digit {number}, which is not hexadecimal"),
        );
        return None;
    }
    if !digits.len().is_multiple_of(2) {
        let count = digits.len();
        walk.error(node.at, format!("`hex` has {count} digits, half a byte too many"));
        return None;
    }
    let digit = |one: char| one.to_digit(16).unwrap_or_default() as u8;
    Some(digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
}

/// `rule`, which has to be one of the policies that hold.
fn rule(walk: &mut Walk, node: &Node, policies: &PolicySet) -> Option<String> {
    let text = walk.text(node, "`rule`")?;
    let directions = [Direction::Ingress, Direction::Egress];
    let mut names = policies.policies.iter().flat_map(|policy| {
        directions.into_iter().flat_map(move |direction| {
            let count = policy.rules(direction).len();
            (0..count).map(move |index| policy.rule_name(direction, index).to_string())
        })
    });
    if names.any(|name| name == text) {
        return Some(text.to_owned());
    }
    let message = format!(
        "no policy has a rule `{text}`; rules are named like `networkpolicy/shop/web ingress[0]`"
    );
    walk.error(node.at, message);
    None
}

fn after(walk: &mut Walk, object: &Object) -> Duration {
    let Some(node) = object.get("after") else { return Duration::ZERO };
    let seconds = match node.value {
        Value::Integer(seconds) => seconds as f64,
        Value::Fraction(seconds) => seconds,
        _ => -1.0,
    };
    if (0.0..=LONGEST_SECONDS).contains(&seconds) {
        return Duration::from_secs_f64(seconds);
    }
    let message = format!("`after` has to be a number of seconds, {LONGEST_SECONDS} at most");
    walk.error(node.at, message);
    Duration::ZERO
}
