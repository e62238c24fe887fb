//! Inputs to begin with: frames of every kind, the repository's documents, policies at random.

use ringfence_dataplane::backend::host::HostTables;

use super::packet::{HEADER, home, setting};
use crate::packet::generate::{Generated, Generator, World};
use crate::random::Random;

/// An input and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The target's name.
    pub target: &'static str,
    /// A name of its own within the target.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Documents whose pieces are worth recombining.
const DOCUMENTS: [(&str, &str); 9] = [
    ("namespaces", include_str!("../../manifests/shop/00-namespaces.yaml")),
    ("workloads", include_str!("../../manifests/shop/10-workloads.yaml")),
    ("default-deny", include_str!("../../manifests/shop/20-default-deny.yaml")),
    ("dns", include_str!("../../manifests/shop/30-dns.yaml")),
    ("api-server", include_str!("../../manifests/shop/50-api-server.yaml")),
    ("data", include_str!("../../manifests/shop/60-data.yaml")),
    ("monitoring", include_str!("../../manifests/shop/70-monitoring.yaml")),
    ("hvac", include_str!("../../manifests/shop/90-hvac.yaml")),
    ("everything", include_str!("../../manifests/agreement/policies.yaml")),
];

/// A list in the other notation, which has a reader of its own.
const JSON: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1",
"kind": "Namespace", "metadata": {"name": "a", "labels": {"team": "x"}}}]}"#;

const GENERATED_INPUTS: usize = 60;
const FRAMES_OF_AN_INPUT: usize = 12;
const POLICY_BYTES: usize = 600;

/// The seeds of all targets; the same every time.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name: String, bytes| seeds.push(Seed { target, name, bytes });
    for (name, text) in DOCUMENTS.into_iter().chain([("list", JSON)]) {
        add("documents", name.to_owned(), [b"2", text.as_bytes()].concat());
    }
    for number in 0..GENERATED_INPUTS {
        add("packet", format!("conversation-{number}"), conversation(number));
    }
    let mut random = Random::new(1);
    for number in 0..GENERATED_INPUTS {
        add("verdict", format!("policies-{number}"), random.bytes(POLICY_BYTES));
    }
    seeds
}

/// Frames one after the other, each where it comes in and where it goes out.
fn conversation(number: usize) -> Vec<u8> {
    let first = number as u8 & setting::ALL;
    let tables: &HostTables = &home(first).tables;
    let world = World::new(tables, super::home::UPLINK, 0);
    let mut bytes = vec![first];
    for packet in Generator::new(&world, number as u64).take(FRAMES_OF_AN_INPUT) {
        add_frame(&mut bytes, &packet, packet.from, 0);
        add_frame(&mut bytes, &packet, packet.to, 1);
    }
    bytes
}

fn add_frame(bytes: &mut Vec<u8>, packet: &Generated, ifindex: u32, leaves: u8) {
    let [high, low] = (packet.frame.len() as u16).to_be_bytes();
    let header: [u8; HEADER] = [(ifindex as u8) << 1 | leaves, 0, high, low];
    bytes.extend(header);
    bytes.extend(&packet.frame);
}
