//! What a developer of Ringfence runs: `cargo xtask …`.
#![deny(unsafe_code)]

mod bench;
mod child;
mod ebpf;
mod faults;
mod fuzz;
mod gate;
mod goals;
mod man;
mod nightly;
mod object_diff;
mod results;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a developer of Ringfence runs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Compare Ringfence with iptables, ipset and nftables on this machine, as `cargo bench` does
    Bench(bench::Arguments),
    /// Build the kernel's crates into the checked-in objects
    Ebpf(ebpf::Arguments),
    /// Build the fuzz targets and run each for a while
    Fuzz(fuzz::Arguments),
    /// Make small mistakes in a copy of the engine; the tests have to notice each
    Faults(faults::Arguments),
    /// Compare the working tree with a revision: fail when it is slower
    Gate(gate::Arguments),
    /// Measure the goals of performance on this machine
    Goals(goals::Arguments),
    /// Write the manual pages to target/man
    Man,
    /// Ask about a million generated packets, from another seed each time
    Nightly(nightly::Arguments),
    /// Compare records of measurements, or draw one anew
    Results(results::Arguments),
    /// Install what building the object needs: Debian packages and bpf-linker
    Toolchain(toolchain::install::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Bench(arguments) => return exit_code(bench::run(&arguments)),
        Task::Ebpf(arguments) => ebpf::run(&arguments),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Faults(arguments) => faults::run(&arguments),
        Task::Gate(arguments) => return exit_code(gate::run(&arguments)),
        Task::Goals(arguments) => return exit_code(goals::run(&arguments)),
        Task::Man => man::run(),
        Task::Nightly(arguments) => nightly::run(&arguments),
        Task::Results(arguments) => return exit_code(results::run(&arguments)),
        Task::Toolchain(arguments) => toolchain::install::run(&arguments),
    };
    exit_code(result.map(|()| ExitCode::SUCCESS))
}

fn exit_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
