//! Case files: one situation with known verdicts.
//!
//! A case describes a cluster (policies, namespaces, pods) and says what becomes of connections
//! (`probes`) and of single frames (`frames`) in it. Files are JSON or YAML; a file holds one case,
//! or several with `---` between them.
//!
//! Goals:
//! 1. Whoever runs a case gets something that means something: names are resolved, bytes are bytes,
//!    policies are a model. What is wrong is found here, before anything is run.
//! 2. All that is wrong in all files is reported in one run, each with file, line and column, and
//!    the way out.
//! 3. Files of others are read as they are: unknown keys of a case are kept, unknown keys further
//!    inside are reported and left out.
//!
//! Design: a file becomes a tree of values that know their place (`tree`); a walk over the tree
//! (`walk`) builds the parts of a case (`pods`, `settings`, `probe`, `frame`); policy text goes
//! through [`ringfence_dataplane::document`], joined by the pods of the case (`cluster`).
//!
//! How keys are read is said at the types: [`Case`], [`Pod`], [`Probe`], [`Frame`], [`Apply`].

mod cluster;
mod error;
mod files;
mod frame;
mod pods;
mod probe;
mod sequence;
mod settings;
mod tree;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::model::{Direction, Labels, PolicySet, Protocol, WorkloadName};

pub use self::error::{CaseError, CaseErrors};
pub use self::pods::Pod;
pub use self::settings::ESSENTIAL;

/// A situation and what is expected in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Where the case begins.
    pub place: Place,
    /// `name`; the file's name without its ending where that is absent.
    pub name: String,
    /// `source`: where the expectation comes from.
    pub source: Option<String>,
    /// `policies`, as they are written; empty where there are none.
    pub documents: String,
    /// `default_namespace`, of policies that name none; `default` where that is absent.
    pub default_namespace: String,
    /// `namespaces`: name → labels, without the implicit ones.
    pub namespaces: BTreeMap<String, Labels>,
    /// `pods`, in their order.
    pub pods: Vec<Pod>,
    /// `documents`, namespaces, pods and `failsafe` together: what holds until the first [`Apply`].
    /// `failsafe` lists ports of the host that stay open (`in:22/tcp`); they stay so after it.
    pub policies: PolicySet,
    /// `probes`, in their order; each is asked on empty state.
    pub probes: Vec<Probe>,
    /// `frames`, in their order, on one state.
    pub frames: Vec<Step>,
    /// `mode`: `enforce` (where absent) or `audit`.
    pub mode: Mode,
    /// `established` (`revalidate` where absent, or `keep`), `pick_up` in seconds (0 where absent)
    /// and `essential_off` ([`ESSENTIAL`] names). Everything is reported.
    pub settings: Settings,
    /// `sequence`, `step` and `steps`.
    pub sequence: Option<Sequence>,
    /// Keys that mean nothing here, with their values, in their order.
    pub extra: Vec<(String, serde_json::Value)>,
    /// What is odd about the file and does no harm.
    pub warnings: Vec<Warning>,
    /// What is odd about its policy documents, those of each [`Apply`] among them.
    pub document_warnings: Vec<DocumentWarnings>,
}

/// A place in a case file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A place and what is odd there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

/// What is odd about policy documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentWarnings {
    /// Where the documents stand.
    pub place: Place,
    /// Each warning in one line, with its code.
    pub messages: Vec<String>,
    /// All of them with the lines that they are about, with terminal escapes, as
    /// [`ringfence_dataplane::document::Report::render`] draws them.
    pub drawn: String,
}

/// One of several cases that describe one cluster, one change after another. Such a case need not
/// ask anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Which sequence.
    pub name: String,
    /// Which of its steps, from 1.
    pub step: u32,
    /// How many steps it has.
    pub steps: u32,
}

/// The first packet of a new connection, and what becomes of it.
///
/// Keys: `name`; `from`, `to` (`namespace/pod` or an address); `protocol` (TCP, UDP, SCTP, ICMP,
/// ICMPv6 or a number); `port` (a number, or a name that the destination gives to a port of this
/// protocol); `type` and `code` for ICMP; `expect`, `expect_egress`, `expect_ingress` (`allow`,
/// `deny` or `audit`); `reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where it stands.
    pub place: Place,
    /// `name`.
    pub name: Option<String>,
    /// `from`.
    pub from: End,
    /// `to`.
    pub to: End,
    /// What is asked for.
    pub service: Service,
    /// The addresses between which it is asked: one pair, or one of each family where both ends
    /// have both. It is wrong if it is wrong for any pair.
    pub pairs: Vec<(IpAddr, IpAddr)>,
    /// `expect`: what becomes of the packet after both ends have decided.
    pub expect: Verdict,
    /// `expect_egress`: what the source decides.
    pub expect_egress: Option<Verdict>,
    /// `expect_ingress`: what the destination decides.
    pub expect_ingress: Option<Verdict>,
    /// `reason`: of the first end that does not allow the packet; where both allow it, one of the
    /// two gives this reason.
    pub reason: Option<Reason>,
}

/// One end of a probe. An address that a pod has is that pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// `namespace/name`.
    Workload(WorkloadName),
    /// An address.
    Address(IpAddr),
}

/// What a probe asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A port of a protocol that has ports.
    Port {
        /// The protocol.
        protocol: Protocol,
        /// The port at the destination.
        port: u16,
        /// The name by which the case calls the port.
        name: Option<String>,
    },
    /// An ICMP or ICMPv6 message.
    Icmp {
        /// Whether it is ICMPv6.
        v6: bool,
        /// `type`; echo request where absent.
        kind: u8,
        /// `code`; 0 where absent.
        code: u8,
    },
    /// Any other protocol, by its number.
    Other(u8),
}

/// One item of `frames`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame is seen.
    Frame(Frame),
    /// Other policies are applied.
    Apply(Apply),
}

/// A frame, and what the end that sees it decides.
///
/// Keys: `name`; `at` (`namespace/pod`); `direction` (`ingress` or `egress`, seen from `at`);
/// `hex` (the whole Ethernet frame; white space means nothing); `expect`; `reason`; `rule`; `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it stands.
    pub place: Place,
    /// `name`.
    pub name: Option<String>,
    /// `at`: who sees it.
    pub at: WorkloadName,
    /// `direction`: the egress of a workload is what arrives at its interface. The host sees its
    /// frames at the uplink.
    pub direction: Direction,
    /// `hex`.
    pub bytes: Vec<u8>,
    /// `expect`.
    pub expect: Verdict,
    /// `reason`.
    pub reason: Option<Reason>,
    /// `rule`, as `networkpolicy/shop/web ingress[0]`.
    pub rule: Option<String>,
    /// `after`: how long nothing has happened when it is seen.
    pub after: Duration,
}

/// From here on other policies hold; what is remembered of earlier frames stays.
///
/// Keys: `name`; `apply` (policy documents; the namespaces and pods of the case stay); `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    /// Where it stands.
    pub place: Place,
    /// `name`.
    pub name: Option<String>,
    /// `apply`.
    pub documents: String,
    /// The documents, and the namespaces and pods of the case.
    pub policies: PolicySet,
    /// `after`: how long nothing has happened when it is applied.
    pub after: Duration,
}

/// Reads all cases of `paths`: files, and the `*.yaml`, `*.yml` and `*.json` files of folders and
/// their subfolders, in lexical order; `-` is standard input. A file that several paths lead to is
/// read once.
///
/// # Errors
///
/// [`CaseErrors`] with everything that is wrong with any of them.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Case>, CaseErrors> {
    let mut errors = Vec::new();
    let mut cases = Vec::new();
    for path in files::list(paths, &mut errors) {
        if let Some(text) = files::text(&path, &mut errors) {
            cases.extend(walk::cases(&files::name(&path), &text, &mut errors));
        }
    }
    finish(cases, errors)
}

/// Reads the cases of `text`; errors call it `file`.
///
/// # Errors
///
/// [`CaseErrors`] with everything that is wrong with it.
pub fn read_text(file: &str, text: &str) -> Result<Vec<Case>, CaseErrors> {
    let mut errors = Vec::new();
    let cases = walk::cases(file, text, &mut errors);
    finish(cases, errors)
}

fn finish(mut cases: Vec<Case>, mut errors: Vec<CaseError>) -> Result<Vec<Case>, CaseErrors> {
    sequence::check(&mut cases, &mut errors);
    if errors.is_empty() { Ok(cases) } else { Err(CaseErrors(errors)) }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Service {
    /// The IP protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        match self {
            Self::Port { protocol, .. } => protocol.number(),
            Self::Icmp { v6: false, .. } => 1,
            Self::Icmp { v6: true, .. } => 58,
            Self::Other(number) => *number,
        }
    }

    /// The destination port, where the protocol has ports.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Port { port, .. } => Some(*port),
            Self::Icmp { .. } | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { protocol, port, name: None } => write!(f, "{port}/{protocol}"),
            Self::Port { protocol, port, name: Some(name) } => {
                write!(f, "{name} ({port})/{protocol}")
            }
            Self::Icmp { v6, kind, code } => {
                write!(f, "{} type {kind} code {code}", if *v6 { "ICMPv6" } else { "ICMP" })
            }
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

/// `shop/web -> shop/api 8080/TCP`, after the probe's name if it has one.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}: ")?;
        }
        write!(f, "{} -> {} {}", self.from, self.to, self.service)
    }
}

/// `shop/web ingress, 60 bytes`, after the frame's name if it has one.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}: ")?;
        }
        let direction = match self.direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        write!(f, "{} {direction}, {} bytes", self.at, self.bytes.len())
    }
}

impl Case {
    /// The frames among [`Case::frames`].
    pub fn seen(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter_map(|step| match step {
            Step::Frame(frame) => Some(frame),
            Step::Apply(_) => None,
        })
    }
}

#[cfg(test)]
mod tests;
