//! The shop's documents, and who is outside.

use std::net::{Ipv4Addr, Ipv6Addr};

use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::PolicySet;

use super::DemoError;
use crate::topology::Outsider;

/// The ports that everybody listens on: DNS, PostgreSQL, Redis, HTTP, metrics.
pub const PORTS: [u16; 5] = [53, 5432, 6379, 8080, 9100];

/// The document that [`change`] puts in the place of the shop's own of that name.
const CHANGED: &str = "50-api-server.yaml";

macro_rules! manifests {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../manifests/", $folder, "/", $name)))),+]
    };
}

/// The folder `testbed/manifests/shop`.
const SHOP: &[(&str, &str)] = manifests!("shop":
    "00-namespaces.yaml",
    "10-workloads.yaml",
    "20-default-deny.yaml",
    "30-dns.yaml",
    "40-web-frontend.yaml",
    "50-api-server.yaml",
    "60-data.yaml",
    "70-monitoring.yaml",
    "80-stores.yaml",
    "90-hvac.yaml",
);

/// The folder `testbed/manifests/change`.
const CHANGE: &[(&str, &str)] = manifests!("change": "50-api-server.yaml");

/// Policies and the documents they were read from.
#[derive(Debug)]
pub struct Documents {
    /// The policies, and whom they are about.
    pub policies: PolicySet,
    /// What came of reading the documents.
    pub report: document::Report,
}

/// The shop as it is first.
///
/// # Errors
///
/// [`DemoError::Documents`] when the documents have errors.
pub fn shop() -> Result<Documents, DemoError> {
    read(SHOP)
}

/// The shop with its one changed policy.
///
/// # Errors
///
/// [`DemoError::Documents`] when the documents have errors.
pub fn change() -> Result<Documents, DemoError> {
    let kept = SHOP.iter().filter(|(name, _)| *name != CHANGED);
    read(&kept.chain(CHANGE).copied().collect::<Vec<_>>())
}

fn read(documents: &[(&str, &str)]) -> Result<Documents, DemoError> {
    let inputs: Vec<Input> = documents
        .iter()
        .map(|(name, text)| Input::Text { name: (*name).to_owned(), text: (*text).to_owned() })
        .collect();
    let mut report = document::read(&inputs, Validation::Strict);
    match report.policies.take() {
        Some(policies) => Ok(Documents { policies, report }),
        None => Err(DemoError::Documents(report.render(false))),
    }
}

/// Who is behind the uplink: the air conditioning's vendor, and anybody on the Internet.
#[must_use]
pub fn outsiders() -> Vec<Outsider> {
    vec![
        Outsider {
            name: "vendor".into(),
            addresses: vec![
                Ipv4Addr::new(203, 0, 113, 10).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10).into(),
            ],
        },
        Outsider {
            name: "internet".into(),
            addresses: vec![
                Ipv4Addr::new(198, 51, 100, 10).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, 0x10).into(),
            ],
        },
    ]
}
