//! Mode and settings of a case.

use ringfence_common::abi::config::{essential, report};
use ringfence_common::abi::limits;
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::model::{Failsafe, OpenPorts};

use super::walk::{Object, Walk, suggestion};

/// The essential rules (semantics 8) by the names that `essential_off` uses, with their bits.
pub const ESSENTIAL: [(&str, u32); 7] = [
    ("non-ip", essential::NON_IP),
    ("neighbour-discovery", essential::NEIGHBOUR_DISCOVERY),
    ("multicast-listener", essential::MULTICAST_LISTENER),
    ("related-errors", essential::RELATED_ERRORS),
    ("dhcp", essential::DHCP),
    ("self", essential::SELF),
    ("host-to-workload", essential::HOST_TO_WORKLOAD),
];

/// `failsafe`: ports of the host that stay open, as the command writes them.
pub(super) fn failsafe(walk: &mut Walk, case: &Object) -> Failsafe {
    let mut open = Vec::new();
    for item in walk.items(case, "failsafe") {
        let Some(text) = walk.text(item, "a port that stays open") else { continue };
        match text.parse::<OpenPorts>() {
            Ok(OpenPorts { direction, protocol, ports }) => open.push((direction, protocol, ports)),
            Err(error) => walk.error(item.at, error.to_string()),
        }
    }
    Failsafe::new(open)
}

pub(super) fn read(walk: &mut Walk, case: &Object) -> (Mode, Settings) {
    let mode = case.get("mode").and_then(|node| {
        walk.word(node, "`mode`", &[("enforce", Mode::Enforce), ("audit", Mode::Audit)])
    });
    let keep = case.get("established").and_then(|node| {
        walk.word(node, "`established`", &[("revalidate", false), ("keep", true)])
    });
    let pick_up = case
        .get("pick_up")
        .and_then(|node| walk.number(node, "`pick_up`", 0..=limits::PICK_UP_SECONDS));
    let settings = Settings {
        essential: essential(walk, case),
        report: report::ALL,
        keep_established: keep.unwrap_or_default(),
        pick_up_seconds: pick_up.unwrap_or_default() as u32,
        pick_up_until: None,
    };
    (mode.unwrap_or_default(), settings)
}

fn essential(walk: &mut Walk, case: &Object) -> u32 {
    let mut left = essential::ALL;
    for item in walk.items(case, "essential_off") {
        let Some(name) = walk.text(item, "the name of an essential rule") else { continue };
        match ESSENTIAL.iter().find(|(known, _)| *known == name) {
            Some((_, bit)) => left &= !bit,
            None => {
                let names = ESSENTIAL.map(|(name, _)| name);
                let like = suggestion(name, names);
                let message = format!(
                    "there is no essential rule `{name}`{like}; the rules are {}",
                    names.join(", ")
                );
                walk.error(item.at, message);
            }
        }
    }
    left
}
