//! What is compared, and under which circumstances.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that filters, or a control that does not.
///
/// Those that Ringfence applies itself are whole and stateful: they deny what is spoofed or
/// malformed, they track connections, they report. Those called *bare* are the rules that essays
/// write: one chain or one set, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// Nothing: packets are forwarded.
    None,
    /// A program at tcx that lets everything pass.
    EmptyTcx,
    /// A program at XDP that lets everything pass.
    EmptyXdp,
    /// Ringfence's eBPF programs at tcx.
    EbpfTcx,
    /// Ringfence's eBPF programs at XDP.
    EbpfXdp,
    /// Ringfence's filter in user space, on the wire to the server.
    Userspace,
    /// Ringfence's rules for iptables-legacy, one chain for each direction of a workload.
    IptablesFlat,
    /// Ringfence's rules for iptables-legacy, in chains by what they ask.
    Iptables,
    /// The same rules through iptables-nft.
    IptablesNft,
    /// Ringfence's rules for iptables-legacy with ipset.
    Ipset,
    /// Ringfence's rules for nftables.
    Nftables,
    /// Bare: a chain of iptables-legacy with a rule for each peer.
    BareIptables,
    /// Bare: the same chain through iptables-nft.
    BareIptablesNft,
    /// Bare: an nftables chain with a rule for each peer.
    BareNft,
    /// Bare: one rule of iptables-legacy and a hash of ipset.
    BareIpset,
    /// Bare: one rule of nftables and a set.
    BareNftSet,
}

impl Contender {
    /// All of them, controls first.
    pub const ALL: [Self; 16] = [
        Self::None,
        Self::EmptyTcx,
        Self::EmptyXdp,
        Self::EbpfTcx,
        Self::EbpfXdp,
        Self::Userspace,
        Self::IptablesFlat,
        Self::Iptables,
        Self::IptablesNft,
        Self::Ipset,
        Self::Nftables,
        Self::BareIptables,
        Self::BareIptablesNft,
        Self::BareNft,
        Self::BareIpset,
        Self::BareNftSet,
    ];

    /// What it is called in tables and legends.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::EmptyTcx => "empty program, tcx",
            Self::EmptyXdp => "empty program, XDP",
            Self::EbpfTcx => "eBPF, tcx",
            Self::EbpfXdp => "eBPF, XDP",
            Self::Userspace => "user space",
            Self::IptablesFlat => "iptables, flat",
            Self::Iptables => "iptables",
            Self::IptablesNft => "iptables-nft",
            Self::Ipset => "ipset",
            Self::Nftables => "nftables",
            Self::BareIptables => "bare iptables chain",
            Self::BareIptablesNft => "bare iptables-nft chain",
            Self::BareNft => "bare nftables chain",
            Self::BareIpset => "bare ipset",
            Self::BareNftSet => "bare nftables set",
        }
    }

    /// Whether nothing is filtered.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::None | Self::EmptyTcx | Self::EmptyXdp)
    }

    /// Whether it is a chain or a set and nothing else.
    #[must_use]
    pub const fn is_bare(self) -> bool {
        matches!(
            self,
            Self::BareIptables
                | Self::BareIptablesNft
                | Self::BareNft
                | Self::BareIpset
                | Self::BareNftSet
        )
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// Which of the rules matches the packets that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// The first one.
    First,
    /// The one in the middle.
    Middle,
    /// The last one.
    Last,
    /// None: the packets are denied.
    None,
}

/// Why the other rules do not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mismatch {
    /// They name other addresses, which a chain sees by itself.
    Address,
    /// They name the same address and other ports, for which a chain calls a match.
    Port,
}

/// What the tracking of connections knows of the packets that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracking {
    /// Nothing: connections are not tracked. Only bare rules and controls can do that.
    Stateless,
    /// Nobody has answered yet, so rules are asked of each packet.
    New,
    /// They belong to a connection that was allowed.
    Established,
}

/// The version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One contender under one set of circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Case {
    /// What filters.
    pub contender: Contender,
    /// How many rules it has.
    pub rules: usize,
    /// Which of them matches.
    pub position: Position,
    /// Why the others do not.
    pub mismatch: Mismatch,
    /// What is known of the packets' connection.
    pub tracking: Tracking,
    /// The version of IP.
    pub family: Family,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contender, rules, position, mismatch, tracking, family } = self;
        let position = match position {
            Position::First => "first rule matches",
            Position::Middle => "middle rule matches",
            Position::Last => "last rule matches",
            Position::None => "no rule matches",
        };
        let mismatch = match mismatch {
            Mismatch::Address => "other addresses",
            Mismatch::Port => "other ports",
        };
        let tracking = match tracking {
            Tracking::Stateless => "stateless",
            Tracking::New => "new flow",
            Tracking::Established => "established flow",
        };
        let family = match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        write!(f, "{contender}, {rules} rules, {position}, {mismatch}, {tracking}, {family}")
    }
}
