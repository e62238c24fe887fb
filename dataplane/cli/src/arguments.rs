//! Arguments that every verb takes, and the list of verbs.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::verb;

/// Host segmentation for Linux: policy by labels, enforced by eBPF or by rule chains.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, propagate_version = true)]
pub struct Arguments {
    /// What every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb; each has a `RINGFENCE_*` variable.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Colour in the output.
    #[arg(
        long,
        global = true,
        env = "RINGFENCE_COLOR",
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub color: Color,
    /// Leave warnings out.
    #[arg(
        short,
        long,
        global = true,
        env = "RINGFENCE_QUIET",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub quiet: bool,
    /// Say more on stderr; twice for everything.
    #[arg(short, long, global = true, env = "RINGFENCE_VERBOSE", action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs. Each has a file of its own below `verb/`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Read policy documents and say what is wrong or odd about them, all at once
    Check(verb::check::Arguments),
    /// Say what a diagnostic means and how to mend it
    Explain(verb::explain::Arguments),
    /// Make this host enforce policy
    Apply(verb::apply::Arguments),
    /// Say what this host enforces, as read from its kernel
    Status(verb::status::Arguments),
    /// Take everything of Ringfence off this host, which opens it
    Off(verb::off::Arguments),
    /// Print policy as rules of iptables, ipset or nftables
    Render(verb::render::Arguments),
    /// Say what policy makes of recorded packets, frame by frame
    Replay(verb::replay::Arguments),
    /// Filter between two interfaces in this process, where eBPF may not be loaded
    RunUserspace(verb::run_userspace::Arguments),
    /// Print what policies become: identities, entries, map sizes
    Compile(verb::compile::Arguments),
    /// Say why a flow is allowed or denied: policies, rules, nearest misses
    Trace(verb::trace::Arguments),
    /// Print who may talk to whom, sources × destinations
    Matrix(verb::matrix::Arguments),
    /// Compare case files with what the backends decide
    Verify(verb::verify::Arguments),
    /// Show the whole story on this machine, in network namespaces of its own
    Demo(verb::demo::Arguments),
    /// Print the script that completes this command in a shell
    Completion(verb::completion::Arguments),
    /// Write the manual pages
    #[command(hide = true)]
    Man(verb::man::Arguments),
}

/// The arguments given on the command line; clap ends the process with 2 on wrong ones.
pub fn parse() -> Arguments {
    Arguments::parse()
}
