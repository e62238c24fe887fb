//! `--backend`, and what belongs to it.

use clap::{Args, ValueEnum};
use ringfence_dataplane::backend::iptables::Layout;
use ringfence_dataplane::enforce::BackendChoice;

/// Which backend enforces, as it is asked for.
#[derive(Clone, Copy, Debug, Args)]
pub struct BackendArguments {
    /// What enforces
    #[arg(long, env = "RINGFENCE_BACKEND", default_value = "ebpf", value_name = "BACKEND")]
    backend: Backend,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// XDP and tc programs in the kernel
    Ebpf,
    /// A table of nftables
    Nftables,
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
        match arguments.backend {
            Backend::Ebpf => Self::Ebpf,
            Backend::Nftables => Self::Nftables,
        }
    }
}
