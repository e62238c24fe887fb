//! `ringfence run-userspace --between A B -f …`

mod counters;

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use ringfence_dataplane::backend::Settings;
use ringfence_dataplane::backend::userspace::live::{self, Running};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::enforce::{Ends, HostView, Wires, wires};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Failure, Outcome, Result};
use crate::inputs::InputArguments;
use crate::mode::ModeChoice;

/// How often the threads are looked after.
const ROUND: Duration = Duration::from_millis(200);

/// The most sockets that share an interface's frames, unless their group is founded for more
/// (`fanout_add` in Linux net/packet/af_packet.c).
const MOST_THREADS: i64 = 256;

/// Frames are carried from one interface to the other by this process alone: when it ends, nothing
/// passes. SIGHUP reads the documents again and replaces the policy at once; connections that stay
/// allowed live on. With documents that cannot be used the old policy stays. SIGINT and SIGTERM
/// end it and print what passed and what did not.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: InputArguments,
    /// Filter between two interfaces: workloads are behind the first, everybody else is behind the
    /// second; can be repeated, and workloads then say theirs with `interface:`
    #[arg(long, num_args = 2, value_names = ["INSIDE", "OUTSIDE"], required = true)]
    between: Vec<String>,
    /// Whether denied traffic is denied, or passes and is counted
    #[arg(long, env = "RINGFENCE_MODE", default_value = "enforce", value_name = "MODE")]
    mode: ModeChoice,
    /// Let established connections run on when policy no longer allows them
    #[arg(long)]
    keep_established: bool,
    /// Threads, 1 to 256 [default: one for each processor]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    threads: Option<u16>,
    /// How to print the counters
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

pub fn run(arguments: &Arguments) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tables = read(arguments)?;
    let placed = place(arguments, &tables)?;
    // Before anything passes, and after documents that may keep one waiting (stdin): from here on a
    // signal ends the filter and not the process.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let options = live::Options {
        mode: arguments.mode.into(),
        settings: Settings { keep_established: arguments.keep_established, ..Settings::default() },
        threads: threads(arguments)?,
    };
    let mut running = live::start(placed.wires, &tables, options)?;
    say_filtering(arguments, 1);
    // A thread that has stopped ends the filter: what it carried does not pass.
    while running.is_whole() {
        match runtime.block_on(signals.next()) {
            Event::End => break,
            Event::Reload => reload(arguments, &mut running),
            Event::Nothing => {}
        }
    }
    let flows = running.flows();
    let (counters, end) = running.stop();
    match arguments.output {
        Format::Text => counters::print_text(&counters, flows)?,
        Format::Json => counters::print_json(&counters, flows)?,
    }
    end?;
    Ok(Outcome::Success)
}

fn threads(arguments: &Arguments) -> anyhow::Result<NonZeroUsize> {
    let most = MOST_THREADS.unsigned_abs() as usize;
    let chosen = match arguments.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism()?.get().min(most),
    };
    NonZeroUsize::new(chosen).context("a filter without threads filters nothing")
}

fn read(arguments: &Arguments) -> std::result::Result<Tables, Failure> {
    let (policies, _) = arguments.inputs.load()?;
    compile(&policies).map_err(|error| Failure::Usage(error.into()))
}

fn place(arguments: &Arguments, tables: &Tables) -> anyhow::Result<Wires> {
    let ends: Vec<Ends> = arguments
        .between
        .chunks_exact(2)
        .map(|pair| Ends { inside: pair[0].clone(), outside: pair[1].clone() })
        .collect();
    let placed = wires(tables, &ends, &HostView::read()?)?;
    if tracing::enabled!(tracing::Level::WARN) {
        for warning in &placed.warnings {
            anstream::eprintln!("\x1b[1;33mwarning\x1b[0m: {warning}");
        }
    }
    Ok(placed)
}

fn say_filtering(arguments: &Arguments, generation: u32) {
    for pair in arguments.between.chunks_exact(2) {
        anstream::eprintln!(
            "Filtering between {} and {} (generation {generation})",
            pair[0],
            pair[1]
        );
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reload: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Waits a round for a signal.
    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::End,
            _ = self.terminate.recv() => Event::End,
            _ = self.reload.recv() => Event::Reload,
            () = tokio::time::sleep(ROUND) => Event::Nothing,
        }
    }
}

enum Event {
    End,
    Reload,
    Nothing,
}

/// Reads the documents again. The old policy stays where the new cannot be used.
fn reload(arguments: &Arguments, running: &mut Running) {
    match replaced(arguments, running) {
        Ok(generation) => say_filtering(arguments, generation),
        Err(error) => {
            anstream::eprintln!(
                "\x1b[1;31merror\x1b[0m: {error:#}; the policy from before stays in force"
            );
        }
    }
}

fn replaced(arguments: &Arguments, running: &mut Running) -> anyhow::Result<u32> {
    anyhow::ensure!(!arguments.inputs.reads_stdin(), "stdin cannot be read again: give a file");
    let tables = read(arguments).map_err(|failure| match failure {
        Failure::Operation(error) | Failure::Usage(error) => error,
    });
    let tables = tables.context("the new documents cannot be used")?;
    let placed = place(arguments, &tables)?;
    Ok(running.replace(&placed.wires, &tables)?)
}
