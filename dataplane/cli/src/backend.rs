//! `--backend`, and what belongs to it.

use clap::{Args, ValueEnum};
use ringfence_dataplane::backend::iptables::Layout;
use ringfence_dataplane::backend::xtables::Variant;
use ringfence_dataplane::enforce::BackendChoice;

/// Which backend enforces, as it is asked for.
#[derive(Clone, Copy, Debug, Args)]
pub struct BackendArguments {
    /// What enforces
    #[arg(long, env = "RINGFENCE_BACKEND", default_value = "ebpf", value_name = "BACKEND")]
    backend: Backend,
    /// Which iptables the backends iptables and ipset use; `auto` is what `iptables -V` says
    #[arg(long, env = "RINGFENCE_IPTABLES", default_value = "auto", value_name = "VARIANT")]
    iptables: VariantChoice,
    /// How the backend iptables arranges the rules of policy
    #[arg(long, env = "RINGFENCE_LAYOUT", default_value = "structured", value_name = "LAYOUT")]
    layout: LayoutChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// XDP and tc programs in the kernel
    Ebpf,
    /// Chains of iptables and ip6tables
    Iptables,
    /// Chains of iptables and ip6tables, with peers and ports in sets
    Ipset,
    /// A table of nftables
    Nftables,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VariantChoice {
    /// What `iptables` is on this host
    Auto,
    /// iptables-legacy
    Legacy,
    /// iptables-nft
    Nft,
}

/// How rules of iptables are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayoutChoice {
    /// A chain for each endpoint and direction
    Structured,
    /// One list of rules, one for each peer address and port
    Flat,
}

impl From<LayoutChoice> for Layout {
    fn from(choice: LayoutChoice) -> Self {
        match choice {
            LayoutChoice::Structured => Self::Structured,
            LayoutChoice::Flat => Self::Flat,
        }
    }
}

impl From<BackendArguments> for BackendChoice {
    fn from(arguments: BackendArguments) -> Self {
        let variant = match arguments.iptables {
            VariantChoice::Auto => None,
            VariantChoice::Legacy => Some(Variant::Legacy),
            VariantChoice::Nft => Some(Variant::Nft),
        };
        match arguments.backend {
            Backend::Ebpf => Self::Ebpf,
            Backend::Iptables => Self::Iptables { variant, layout: arguments.layout.into() },
            Backend::Ipset => Self::Ipset { variant },
            Backend::Nftables => Self::Nftables,
        }
    }
}
