//! What the cases of a corpus have tried, and what they have not.
//!
//! Two tables say what there is to try: matchers, which are what a rule can say, each seen from
//! either direction; and reasons to deny, each at every hook. A matcher has been tried at a hook
//! of a backend when the backend has answered there for a probe that a rule with this matcher
//! decides. A reason has been tried when a frame expects it and the backend has given it there.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::config::Hook;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::hook_name;
use ringfence_dataplane::model::{Action, Direction, Tier};

use self::matchers::matchers_of;
use super::backend::BackendName;
use super::report::{Answered, Item, Report};
use crate::case::{Case, Step};

mod matchers;

/// Peers of a rule.
const PEERS: [&str; 6] = [
    "peer everyone",
    "peer podSelector",
    "peer namespaceSelector",
    "peer namespaceSelector and podSelector",
    "peer ipBlock IPv4",
    "peer ipBlock IPv6",
];

/// Services of a rule.
const SERVICES: [&str; 5] =
    ["service none", "service protocol", "service number", "service name", "service endPort"];

/// Everything else about a rule and what it decides.
const OTHERS: [&str; 14] = [
    "peer ipBlock except IPv4",
    "peer ipBlock except IPv6",
    "operator In",
    "operator NotIn",
    "operator Exists",
    "operator DoesNotExist",
    "protocol TCP",
    "protocol UDP",
    "protocol SCTP",
    "protocol ICMP",
    "protocol ICMPv6",
    "protocol other",
    "family IPv4",
    "family IPv6",
];

/// The rule protects the host.
const HOST: &str = "subject host";

/// What rules of each tier can do.
const TIERS: [(Tier, Action); 7] = [
    (Tier::Failsafe, Action::Allow),
    (Tier::Admin, Action::Allow),
    (Tier::Admin, Action::Deny),
    (Tier::Admin, Action::Pass),
    (Tier::Developer, Action::Allow),
    (Tier::Baseline, Action::Allow),
    (Tier::Baseline, Action::Deny),
];

/// Where a reason cannot be given, and why. Nothing for `hook` means nowhere.
const EXCUSED: [(Reason, Option<Hook>, &str); 7] = [
    (Reason::NotReady, None, "cases have tables before they have frames"),
    (Reason::TableFull, None, "the state tables make room"),
    (Reason::UnknownInterface, None, "frames of a case come to interfaces of the case"),
    (Reason::Spoofed, Some(Hook::TcEgress), "sources are checked where packets arrive"),
    (Reason::RogueRouter, Some(Hook::TcEgress), "routers are refused where workloads send"),
    (Reason::UnknownEndpoint, None, "each workload of a case is alone behind its interface"),
    (Reason::DenyRule, None, "probes ask for it: a matcher of tiers that deny"),
];

/// Who answers where: a backend, and the hook if it knows hooks.
type Place = (BackendName, Option<Hook>);

/// What the cases behind `report` have not tried, a line for each matcher and direction and for
/// each reason, in a stable order. Backends and hooks are those that have answered at all.
#[must_use]
pub fn missing(cases: &[Case], report: &Report) -> Vec<String> {
    let tried = Tried::of(cases, &report.answered);
    let mut lines = Vec::new();
    for direction in [Direction::Egress, Direction::Ingress] {
        let word = match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        for matcher in all_matchers() {
            let decides = |(_, hook): &Place| match hook {
                None => true,
                Some(hook) => decided_at(&matcher, direction).contains(hook),
            };
            let wanted = tried.places.iter().copied().filter(decides).collect();
            let seen = tried.matchers.get(&(matcher.clone(), direction));
            push(&mut lines, &format!("{matcher}, {word}"), &wanted, seen);
        }
    }
    for reason in Reason::ALL.iter().copied().filter(|reason| reason.denies()) {
        let is_excused = |place: &Place| {
            EXCUSED.iter().any(|(excused, hook, _)| {
                *excused == reason && (hook.is_none() || *hook == place.1)
            })
        };
        let wanted: BTreeSet<Place> =
            tried.places.iter().copied().filter(|place| !is_excused(place)).collect();
        let what = format!("reason {}", reason.name());
        push(&mut lines, &what, &wanted, tried.reasons.get(&reason));
    }
    lines
}

/// The hooks that decide a direction of a workload; for matchers of the host's own rules, of the
/// host.
fn decided_at(matcher: &str, direction: Direction) -> &'static [Hook] {
    let of_host = matcher == HOST || matcher == matchers::tier_name(Tier::Failsafe, Action::Allow);
    match (direction, of_host) {
        (Direction::Egress, false) | (Direction::Ingress, true) => &[Hook::Xdp, Hook::TcIngress],
        (Direction::Ingress, false) | (Direction::Egress, true) => &[Hook::TcEgress],
    }
}

/// Adds a line with the places that are wanted and not seen.
fn push(
    lines: &mut Vec<String>,
    what: &str,
    wanted: &BTreeSet<Place>,
    seen: Option<&BTreeSet<Place>>,
) {
    let is_missing = |place: &&Place| !seen.is_some_and(|seen| seen.contains(*place));
    let places: Vec<String> = wanted
        .iter()
        .filter(is_missing)
        .map(|(backend, hook)| match hook {
            Some(hook) => format!("{backend} {}", hook_name(*hook)),
            None => backend.to_string(),
        })
        .collect();
    if !places.is_empty() {
        lines.push(format!("{what}: no case on {}", places.join(", ")));
    }
}

fn all_matchers() -> Vec<String> {
    let plain = PEERS.iter().chain(&SERVICES).chain(&OTHERS).map(|name| (*name).to_owned());
    let plain = plain.chain([HOST.to_owned()]);
    plain.chain(TIERS.map(|(tier, action)| matchers::tier_name(tier, action))).collect()
}

#[derive(Default)]
struct Tried {
    matchers: BTreeMap<(String, Direction), BTreeSet<Place>>,
    reasons: BTreeMap<Reason, BTreeSet<Place>>,
    /// Where anything was ever decided.
    places: BTreeSet<Place>,
}

impl Tried {
    fn of(cases: &[Case], answered: &BTreeSet<Answered>) -> Self {
        let mut tried = Self::default();
        let mut known: BTreeMap<(usize, Item), Vec<(Direction, String)>> = BTreeMap::new();
        for one in answered {
            let Answered { case_index, item, backend, hook, direction, reason } = one.clone();
            let place = (backend, hook);
            let case = &cases[case_index];
            tried.places.insert(place);
            match item {
                Item::Probe(index) => {
                    let matchers = known
                        .entry((case_index, item))
                        .or_insert_with(|| matchers_of(case, &case.probes[index]));
                    for (_, name) in matchers.iter().filter(|(side, _)| *side == direction) {
                        let key = (name.clone(), direction);
                        tried.matchers.entry(key).or_default().insert(place);
                    }
                }
                Item::Frame(index) => {
                    let Step::Frame(frame) = &case.frames[index] else { continue };
                    if frame.reason == Some(reason) {
                        tried.reasons.entry(reason).or_default().insert(place);
                    }
                }
            }
        }
        tried
    }
}
