//! From the entries of one side to its lines.

use std::collections::BTreeMap;

use ringfence_common::abi::identity::identity;
use ringfence_common::abi::policy::{
    Direction, PolicyEntry, PolicyKey, action, class_table, entry_flags, forms,
};

use super::space::Space;
use super::{Decided, Form, Line, Peers, PortRange, Service, Side};
use crate::compile::Tables;

/// The entries of one side.
pub(super) type Entries = Vec<(PolicyKey, PolicyEntry)>;

/// All entries, by subject and direction.
pub(super) fn by_side(tables: &Tables) -> BTreeMap<(u32, Direction), Entries> {
    let mut sides: BTreeMap<(u32, Direction), Entries> = BTreeMap::new();
    for (key, entry) in &tables.policy {
        sides.entry((key.subject, key.direction())).or_default().push((*key, *entry));
    }
    sides
}

/// What the entries of a side say. Of a form that is not among `forms` no packet asks, so neither
/// do we.
pub(super) fn side(tables: &Tables, space: &Space, forms: u8, entries: &Entries) -> Side {
    let mut default = Decided { allows: false, logs: false, rule: 0 };
    let mut merging = Merging::default();
    for (key, entry) in entries {
        let Some((bit, place)) = asked_as(key) else { continue };
        if forms & bit == 0 {
            continue;
        }
        match place {
            None => default = decided(entry),
            Some((form, service)) => {
                if key.peer == identity::ANY || space.has(key.peer) {
                    let identities = merging.entry((form, decided(entry), service)).or_default();
                    identities.push(key.peer);
                }
            }
        }
    }
    let mut lines: Vec<Line> = merge_services(tables, merging)
        .into_iter()
        .filter_map(|(form, decided, service, identities)| {
            let peers = match identities[..] {
                [identity::ANY] => Peers::Anyone,
                _ => space.peers(&identities)?,
            };
            Some(Line { form, peers, service, decided })
        })
        .collect();
    // No two lines of one form and decision have a service in common, so this orders all.
    lines.sort_by(|a, b| order(a).cmp(&order(b)));
    Side { lines, default }
}

/// The place of a line: by form, refusals first.
fn order(line: &Line) -> (Form, bool, u32, bool, &Service) {
    let Decided { allows, logs, rule } = line.decided;
    (line.form, allows, rule, logs, &line.service)
}

/// A service as entries name it: nothing for everything, a protocol, or one class of its ports.
type KeyService = Option<(u8, Option<u16>)>;

/// Form, decision, service → the identities of the peers, sorted.
type Merging = BTreeMap<(Form, Decided, KeyService), Vec<u32>>;

/// The form of an entry as bit and as place among the lines; the default has no place. Nothing
/// for an entry that no packet ever asks for.
fn asked_as(key: &PolicyKey) -> Option<(u8, Option<(Form, KeyService)>)> {
    let service = key.protocol_and_class();
    let is_anyone = key.peer == identity::ANY;
    let (bit, form) = match service {
        Some((protocol, Some(_))) if class_table(protocol).is_none() => return None,
        Some((_, Some(_))) if is_anyone => (forms::ANY_CLASS, Form::Ports),
        Some((_, Some(_))) => (forms::PEER_CLASS, Form::PeerPorts),
        Some((_, None)) if is_anyone => (forms::ANY_PROTOCOL, Form::Protocol),
        Some((_, None)) => (forms::PEER_PROTOCOL, Form::PeerProtocol),
        None if is_anyone => return Some((forms::ANY, None)),
        None => (forms::PEER, Form::Peer),
    };
    Some((bit, Some((form, service))))
}

fn decided(entry: &PolicyEntry) -> Decided {
    Decided {
        allows: entry.action == action::ALLOW,
        logs: entry.flags & entry_flags::LOG != 0,
        rule: entry.rule,
    }
}

/// Joins the classes of ports about which the same is decided for the same peers.
fn merge_services(tables: &Tables, merging: Merging) -> Vec<(Form, Decided, Service, Vec<u32>)> {
    let mut lines = Vec::new();
    let mut ports: BTreeMap<(Form, Decided, u8, Vec<u32>), Vec<PortRange>> = BTreeMap::new();
    for ((form, decided, service), identities) in merging {
        match service {
            None => lines.push((form, decided, Service::Everything, identities)),
            Some((protocol, None)) => {
                lines.push((form, decided, Service::Protocol(protocol), identities));
            }
            Some((protocol, Some(class))) => {
                // A class that no longer begins anywhere is never asked for.
                let Some(last) = tables.last_port(protocol, class) else { continue };
                let ranges = ports.entry((form, decided, protocol, identities)).or_default();
                match ranges.last_mut() {
                    Some(before) if before.last.checked_add(1) == Some(class) => before.last = last,
                    _ => ranges.push(PortRange { first: class, last }),
                }
            }
        }
    }
    let joined = ports.into_iter().map(|((form, decided, protocol, identities), ranges)| {
        (form, decided, Service::Ports { protocol, ranges }, identities)
    });
    lines.extend(joined);
    lines
}
