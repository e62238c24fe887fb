//! The rules that essays write: a chain or a set in the way of forwarded packets, and at its end
//! the server's packets are dropped.
//!
//! ```text
//!   [state established: accept]     only where connections are tracked
//!   peer, port of rule 1: accept    or one rule for a set of all of them
//!   …
//!   for the server: drop
//! ```
//!
//! Without the first line nothing asks for the state of connections, so the kernel does not track
//! them in that namespace.

use std::fmt::Write as _;

use ringfence_dataplane::backend::chains::Script;

use super::asked::{Allowed, server};
use super::{Asked, Contender, Family, Tracking};
use crate::workload::Transport;

/// The set's name, and that of nftables' table.
pub(super) const NAME: &str = "lab";

/// A tool and the text that it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BareText {
    /// The tool.
    pub tool: &'static str,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// The text for its standard input.
    pub script: Script,
}

/// What puts a bare contender into the kernel, in this order; nothing for one that is not bare.
#[must_use]
pub fn bare_texts(asked: impl Into<Asked>) -> Vec<BareText> {
    let asked = asked.into();
    let v6 = asked.case.family == Family::V6;
    let restore = |tool| BareText { tool, arguments: &[], script: chain(&asked) };
    let legacy = if v6 { "ip6tables-legacy-restore" } else { "iptables-legacy-restore" };
    match asked.case.contender {
        Contender::BareIptables => vec![restore(legacy)],
        Contender::BareIptablesNft => {
            vec![restore(if v6 { "ip6tables-nft-restore" } else { "iptables-nft-restore" })]
        }
        Contender::BareIpset => vec![
            BareText { tool: "ipset", arguments: &["restore"], script: ipset(&asked) },
            restore(legacy),
        ],
        Contender::BareNft | Contender::BareNftSet => {
            vec![BareText { tool: "nft", arguments: &["-f", "-"], script: nft(&asked) }]
        }
        _ => Vec::new(),
    }
}

/// `ip` or `ip6`, as nftables calls tables.
pub(super) fn table_family(asked: &Asked) -> &'static str {
    match asked.case.family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn is_tracked(asked: &Asked) -> bool {
    asked.case.tracking != Tracking::Stateless
}

fn protocol(asked: &Asked) -> &'static str {
    match asked.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}

/// For iptables-restore.
fn chain(asked: &Asked) -> Script {
    let (server, protocol) = (server(asked.case.family), protocol(asked));
    let mut script = Script::default();
    script.line("*filter");
    if is_tracked(asked) {
        script.line("-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT");
    }
    if asked.case.contender == Contender::BareIpset {
        script.line(format!(
            "-A FORWARD -d {server} -p {protocol} -m set --match-set {NAME} src,dst -j ACCEPT"
        ));
    } else {
        for Allowed { peer, port } in asked.rules() {
            script.line(format!(
                "-A FORWARD -s {peer} -d {server} -p {protocol} -m {protocol} --dport {port} -j \
                 ACCEPT"
            ));
        }
    }
    script.line(format!("-A FORWARD -d {server} -j DROP"));
    script.line("COMMIT");
    script
}

fn ipset(asked: &Asked) -> Script {
    let family = match asked.case.family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    };
    // The room that is asked for at first is what ipset(8) takes by itself; it grows.
    let most = asked.case.rules.max(1);
    let mut script = Script::default();
    script.line(format!("create {NAME} hash:ip,port family {family} maxelem {most}"));
    for Allowed { peer, port } in asked.rules() {
        script.line(format!("add {NAME} {peer},{}:{port}", protocol(asked)));
    }
    script
}

/// For nft. The last rule counts what it drops.
fn nft(asked: &Asked) -> Script {
    let (family, server, protocol) =
        (table_family(asked), server(asked.case.family), protocol(asked));
    let mut script = Script::default();
    script.line(format!("table {family} {NAME} {{"));
    if asked.case.contender == Contender::BareNftSet {
        let address = if family == "ip" { "ipv4_addr" } else { "ipv6_addr" };
        script.line(format!("set peers {{ type {address} . inet_service;"));
        let mut elements = String::new();
        for Allowed { peer, port } in asked.rules() {
            let comma = if elements.is_empty() { "" } else { ", " };
            let _ = write!(elements, "{comma}{peer} . {port}");
        }
        if !elements.is_empty() {
            script.line(format!("elements = {{ {elements} }}"));
        }
        script.line("}");
    }
    script.line("chain forward { type filter hook forward priority filter; policy accept;");
    if is_tracked(asked) {
        script.line("ct state established accept");
    }
    if asked.case.contender == Contender::BareNftSet {
        script.line(format!(
            "{family} daddr {server} {family} saddr . {protocol} dport @peers accept"
        ));
    } else {
        for Allowed { peer, port } in asked.rules() {
            script.line(format!(
                "{family} saddr {peer} {family} daddr {server} {protocol} dport {port} accept"
            ));
        }
    }
    script.line(format!("{family} daddr {server} counter drop"));
    script.line("}");
    script.line("}");
    script
}
