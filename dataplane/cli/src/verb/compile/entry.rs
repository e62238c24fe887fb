//! Policy entries, for people and JSON.

use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::Direction;
use serde::Serialize;

/// One policy entry.
#[derive(Serialize)]
pub struct Entry<'t> {
    /// Whom it protects.
    pub subject: u32,
    /// Which way.
    pub direction: &'static str,
    /// The other end's identity; nothing for anyone.
    pub peer: Option<u32>,
    /// `everything`, `TCP`, `80/TCP`, `81-442/TCP`.
    pub service: String,
    /// `allow` or `deny`.
    pub action: &'static str,
    /// Whether flows it decides are reported.
    pub log: bool,
    /// The rule's name; nothing for a default.
    pub rule: Option<&'t str>,
    /// Where the rule stands.
    pub origin: Option<&'t str>,
}

impl<'t> Entry<'t> {
    /// All entries of `tables`, in order.
    pub fn all(tables: &'t Tables) -> impl Iterator<Item = Self> {
        tables.entries().map(|entry| Self {
            subject: entry.subject,
            direction: match entry.direction {
                Direction::Ingress => "ingress",
                Direction::Egress => "egress",
            },
            peer: entry.peer,
            service: entry.service.to_string(),
            action: if entry.allows { "allow" } else { "deny" },
            log: entry.logs,
            rule: entry.rule.map(|rule| rule.name.as_str()),
            origin: entry.rule.and_then(|rule| rule.origin.as_deref()),
        })
    }
}
