//! `ringfence replay CAPTURE -f …`

mod line;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::backend::Settings;
use ringfence_dataplane::backend::userspace::capture::{
    At, CaptureError, Decided, Options, Reader, Record, Replay, Writer,
};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::model::PolicySet;

use self::line::Frame;
use crate::exit::{Failure, Outcome, Result};
use crate::inputs::InputArguments;
use crate::mode::ModeChoice;
use crate::who::Who;

/// Where a frame was seen follows from its addresses: one from a workload is decided by the
/// workload's egress, one to a workload by its ingress, and the first denial decides. Time is the
/// capture's. A frame of which only the first bytes were recorded is decided by those and by its
/// length on the wire.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The capture: pcap or pcapng, of Ethernet frames
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    #[command(flatten)]
    inputs: InputArguments,
    /// Write the frames that are denied into a pcapng file, each with its reason and rule as comment
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The capture is one of this workload's interface: decide everything there and nowhere else
    #[arg(long, value_name = "WHO")]
    at: Option<String>,
    /// With --at: which way all frames go; without it, frames with the workload's address as source
    /// leave it, and all others are for it
    #[arg(long, requires = "at", value_name = "DIRECTION")]
    direction: Option<Way>,
    /// Whether denied frames are denied, or pass and are reported
    #[arg(long, env = "RINGFENCE_MODE", default_value = "enforce", value_name = "MODE")]
    mode: ModeChoice,
    /// Seconds of the capture in which connections older than it are picked up if policy allows
    /// them
    #[arg(
        long,
        default_value_t = 60,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(0..=3_600)
    )]
    pick_up: u32,
    /// How to print
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// To the workload
    Ingress,
    /// From the workload
    Egress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each frame, then totals
    Text,
    /// A JSON object for each frame, then one with totals
    Json,
}

pub fn run(arguments: &Arguments) -> Result {
    let (policies, _) = arguments.inputs.load()?;
    let tables = compile(&policies).map_err(|error| Failure::Usage(error.into()))?;
    let options = Options {
        mode: arguments.mode.into(),
        settings: Settings { pick_up_seconds: arguments.pick_up, ..Settings::default() },
        at: at(arguments, &policies, &tables)?,
    };
    let name = arguments.capture.display();
    let file = File::open(&arguments.capture)
        .with_context(|| format!("cannot open `{name}`"))
        .map_err(Failure::Usage)?;
    // Whatever is wrong with its start: it cannot be read at all.
    let mut reader = Reader::new(file)
        .map_err(|error| Failure::Usage(anyhow::Error::from(error).context(format!("`{name}`"))))?;
    is_another_file(arguments)?;
    let mut denied = arguments.write.as_deref().map(create).transpose()?;
    let mut out = BufWriter::new(anstream::stdout().lock());
    let mut replay = Replay::new(&tables, &options);
    let mut totals = Totals::default();
    let mut end = Ok(Outcome::Success);
    for record in reader.by_ref() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                end = Err(unreadable(&arguments.capture, error));
                break;
            }
        };
        let decided = replay.decide(&record);
        let frame = Frame { record: &record, decided: &decided, tables: &tables };
        match arguments.output {
            Format::Text => writeln!(out, "{}", frame.text(&policies.inventory))?,
            Format::Json => writeln!(out, "{}", frame.json(&policies.inventory))?,
        }
        if let Some(file) = denied.as_mut().filter(|_| !is_allowed(&decided)) {
            file.write(&record, &frame.comment()).with_context(|| cannot_write(arguments))?;
        }
        totals.add(&record, &decided);
    }
    totals.foreign = reader.foreign();
    if let Some(error) = reader.only_foreign().filter(|_| end.is_ok()) {
        end = Err(unreadable(&arguments.capture, error));
    }
    match arguments.output {
        Format::Text => totals.print_text(&mut out)?,
        Format::Json => totals.print_json(&mut out)?,
    }
    out.flush()?;
    if let Some(file) = denied {
        file.finish().with_context(|| cannot_write(arguments))?;
    }
    end
}

fn is_allowed(decided: &Decided) -> bool {
    decided.outcome.decision.verdict == Verdict::Allow
}

/// The workload whose capture it is.
fn at(
    arguments: &Arguments,
    policies: &PolicySet,
    tables: &Tables,
) -> std::result::Result<Option<At>, Failure> {
    let Some(text) = &arguments.at else { return Ok(None) };
    let who = Who::find(text, &policies.inventory, arguments.inputs.default_namespace())?;
    let mut endpoints = tables.endpoints.iter();
    let found = endpoints.find(|(_, endpoint)| endpoint.name == who.name);
    let Some((number, _)) = found else {
        return Err(Failure::Usage(anyhow!("`{text}` is no workload of the documents")));
    };
    let direction = arguments.direction.map(|way| match way {
        Way::Ingress => Direction::Ingress,
        Way::Egress => Direction::Egress,
    });
    Ok(Some(At { endpoint: *number, direction }))
}

/// A capture of something else is the caller's mistake; one that ends too early is what it is.
fn unreadable(capture: &Path, error: CaptureError) -> Failure {
    let is_input = matches!(error, CaptureError::NotEthernet { .. });
    let error = anyhow::Error::from(error).context(format!("`{}`", capture.display()));
    if is_input { Failure::Usage(error) } else { Failure::Operation(error) }
}

/// Writing empties a file that is there, under whatever name.
fn is_another_file(arguments: &Arguments) -> std::result::Result<(), Failure> {
    let number = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let written = arguments.write.as_deref().and_then(number);
    if written.is_some() && written == number(&arguments.capture) {
        return Err(Failure::Usage(anyhow!("`-w` would overwrite the capture: name another file")));
    }
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<Writer<BufWriter<File>>> {
    let cannot = || format!("cannot write `{}`", path.display());
    let file = File::create(path).with_context(cannot)?;
    Writer::new(BufWriter::new(file)).with_context(cannot)
}

fn cannot_write(arguments: &Arguments) -> String {
    let path = arguments.write.as_deref().unwrap_or(Path::new(""));
    format!("cannot write `{}`", path.display())
}

/// Frames by what became of them.
#[derive(Default)]
struct Totals {
    frames: u64,
    incomplete: u64,
    /// Frames of interfaces that are not Ethernet.
    foreign: u64,
    decided: BTreeMap<(Verdict, Reason), u64>,
}

impl Totals {
    fn add(&mut self, record: &Record, decided: &Decided) {
        let decision = decided.outcome.decision;
        self.frames += 1;
        self.incomplete += u64::from(record.bytes.len() < record.length as usize);
        *self.decided.entry((decision.verdict, decision.reason)).or_default() += 1;
    }

    fn of(&self, verdict: Verdict) -> u64 {
        let of = self.decided.iter().filter(|((of, _), _)| *of == verdict);
        of.map(|(_, count)| count).sum()
    }

    fn print_text(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "\n{} frames: {} allowed, {} denied, {} audited; {} were not recorded whole",
            self.frames,
            self.of(Verdict::Allow),
            self.of(Verdict::Deny),
            self.of(Verdict::Audit),
            self.incomplete
        )?;
        if self.foreign > 0 {
            writeln!(out, "{:>8} not decided: they are not Ethernet frames", self.foreign)?;
        }
        for ((verdict, reason), count) in &self.decided {
            writeln!(out, "{:>8} {:5} {}", count, line::word(*verdict), reason.name())?;
        }
        Ok(())
    }

    fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        let decisions: Vec<serde_json::Value> = self
            .decided
            .iter()
            .map(|((verdict, reason), count)| {
                serde_json::json!({
                    "verdict": line::word(*verdict), "reason": reason.name(), "frames": count,
                })
            })
            .collect();
        let totals = serde_json::json!({
            "frames": self.frames,
            "allowed": self.of(Verdict::Allow),
            "denied": self.of(Verdict::Deny),
            "audited": self.of(Verdict::Audit),
            "incomplete": self.incomplete,
            "notEthernet": self.foreign,
            "decisions": decisions,
        });
        writeln!(out, "{}", serde_json::json!({ "version": 1, "totals": totals }))
    }
}
