//! What a policy says, as a number.

use std::fmt::{self, Write};

use crate::model::{NamespaceScope, Peer, Peers, Policy, Ports, Rule, Selector};

/// A number that stands for what a policy says. It depends on nothing but the meaning: neither on
/// the file, the place in it and the formatting, nor on the version of this program's compiler, so
/// that it can be kept and compared later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u64);

impl Digest {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The digest of `policy`.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let mut hash = Fnv::default();
        // Writing to a hash cannot fail.
        let _ = write_policy(&mut hash, policy);
        Self(hash.0)
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The canonical text of `policy`: one line per fact, in document order. Names and labels have no
/// spaces or line breaks, so different policies have different texts.
fn write_policy(out: &mut impl Write, policy: &Policy) -> fmt::Result {
    writeln!(out, "{} {:?} {}", policy.name, policy.tier, policy.priority)?;
    writeln!(out, "subjects {}", Workloads(&policy.subject_namespaces, &policy.subjects))?;
    for (direction, isolates, rules) in [
        ("ingress", policy.isolates_ingress, &policy.ingress),
        ("egress", policy.isolates_egress, &policy.egress),
    ] {
        writeln!(out, "{direction} isolated {isolates}")?;
        for rule in rules {
            write_rule(out, rule)?;
        }
    }
    Ok(())
}

fn write_rule(out: &mut impl Write, rule: &Rule) -> fmt::Result {
    writeln!(out, "rule {:?}", rule.action)?;
    match &rule.peers {
        Peers::Everyone => writeln!(out, "everyone")?,
        Peers::Any(peers) => {
            for peer in peers {
                match peer {
                    Peer::Block(block) => writeln!(out, "block {block}")?,
                    Peer::Workloads { namespaces, workloads } => {
                        writeln!(out, "workloads {}", Workloads(namespaces, workloads))?;
                    }
                }
            }
        }
    }
    match &rule.ports {
        Ports::Everything => writeln!(out, "every port"),
        Ports::Any(ports) => ports.iter().try_for_each(|port| writeln!(out, "port {port}")),
    }
}

struct Workloads<'p>(&'p NamespaceScope, &'p Selector);

impl fmt::Display for Workloads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NamespaceScope::Named(name) => write!(f, "in {name} with")?,
            NamespaceScope::Selected(selector) => {
                f.write_str("where")?;
                write_selector(f, selector)?;
                f.write_str(" with")?;
            }
        }
        write_selector(f, self.1)
    }
}

fn write_selector(out: &mut impl Write, selector: &Selector) -> fmt::Result {
    selector.requirements().try_for_each(|requirement| write!(out, " [{requirement}]"))
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; IETF draft-eastlake-fnv).
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
