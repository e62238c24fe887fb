//! Which backend enforces, and how.

/// Which backend enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// XDP and tc programs.
    #[default]
    Ebpf,
    /// A table of nftables.
    Nftables,
}

impl BackendChoice {
    /// `ebpf` or `nftables`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Nftables => "nftables",
        }
    }

    /// Whether the kernel's own connection tracking is used.
    #[must_use]
    pub const fn is_chains(self) -> bool {
        !matches!(self, Self::Ebpf)
    }

    /// Whether both keep what they install in the same place, so that applying the one replaces
    /// the other.
    #[must_use]
    pub const fn shares_place_with(self, other: Self) -> bool {
        matches!((self, other), (Self::Ebpf, Self::Ebpf) | (Self::Nftables, Self::Nftables))
    }
}
