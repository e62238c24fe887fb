//! Which backend enforces, and how.

use crate::backend::iptables::Layout;
use crate::backend::xtables::Variant;

/// Which backend enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// XDP and tc programs.
    #[default]
    Ebpf,
    /// Chains of iptables and ip6tables.
    Iptables {
        /// Which iptables; nothing for the one that the host calls `iptables`.
        variant: Option<Variant>,
        /// How the rules are arranged.
        layout: Layout,
    },
    /// Chains of iptables and ip6tables, with peers and ports in sets.
    Ipset {
        /// As for [`BackendChoice::Iptables`].
        variant: Option<Variant>,
    },
    /// A table of nftables.
    Nftables,
}

impl BackendChoice {
    /// `ebpf`, `iptables`, `ipset` or `nftables`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Iptables { .. } => "iptables",
            Self::Ipset { .. } => "ipset",
            Self::Nftables => "nftables",
        }
    }

    /// Where it keeps what it installs: `ebpf`, `iptables and ipset` or `nftables`.
    pub(super) const fn place_name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Iptables { .. } | Self::Ipset { .. } => "iptables and ipset",
            Self::Nftables => "nftables",
        }
    }

    /// Whether the kernel's own connection tracking is used.
    #[must_use]
    pub const fn is_chains(self) -> bool {
        !matches!(self, Self::Ebpf)
    }

    /// Whether both keep what they install in the same place, so that applying the one replaces
    /// the other: iptables and ipset have chains of the same names.
    #[must_use]
    pub const fn shares_place_with(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Ebpf, Self::Ebpf)
                | (Self::Nftables, Self::Nftables)
                | (
                    Self::Iptables { .. } | Self::Ipset { .. },
                    Self::Iptables { .. } | Self::Ipset { .. }
                )
        )
    }
}
