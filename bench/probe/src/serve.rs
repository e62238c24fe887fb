//! Timing on demand, so that two revisions can be timed in turns.

use std::io::{self, BufRead, Write};

use serde::Serialize;

use crate::PROTOCOL;
use crate::workloads::{Ready, Workload};
use ringfence_bench::kernel::{MeasureError, Seat, stay_on_one_cpu};

/// The first line that is written.
#[derive(Debug, Serialize)]
struct Greeting {
    protocol: u32,
    /// The names of what can be timed here.
    workloads: Vec<&'static str>,
    /// Why nothing in the kernel is among them.
    missing: Option<String>,
}

/// Writes a greeting; then reads names of workloads, a line each, and for each runs one batch and
/// writes how many nanoseconds one packet, compile or change took. What the batch needs is made
/// ready when its name is not that of the line before, and one batch goes before which does not
/// count. Ends with the input.
///
/// # Errors
///
/// [`MeasureError`] when something cannot be measured, or something else was done than what was to
/// be measured.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<(), MeasureError> {
    stay_on_one_cpu()?;
    let (seat, missing) = match Seat::take() {
        Ok(seat) => (Some(seat), None),
        Err(MeasureError::Missing(missing)) => (None, Some(missing)),
        Err(error) => return Err(error),
    };
    let here = |workload: &&Workload| seat.is_some() || !workload.is_in_kernel();
    let workloads = Workload::ALL.iter().filter(here).map(|workload| workload.name).collect();
    let greeting = Greeting { protocol: PROTOCOL, workloads, missing };
    let greeting = serde_json::to_string(&greeting);
    say(&mut output, &greeting.map_err(MeasureError::refused("write JSON"))?)?;
    let mut current: Option<(&str, Ready)> = None;
    for name in input.lines() {
        let name = name.map_err(MeasureError::refused("read the name of a workload"))?;
        let workload = Workload::ALL.iter().find(|workload| workload.name == name);
        let unknown = || MeasureError::Missing(format!("there is no workload `{name}`"));
        let workload = workload.ok_or_else(unknown)?;
        let mut ready = match current.take() {
            Some((known, ready)) if known == workload.name => ready,
            // Only one is kept: the large ones need memory.
            _ => warm(workload, seat.as_ref())?,
        };
        say(&mut output, &ready.batch()?.to_string())?;
        current = Some((workload.name, ready));
    }
    Ok(())
}

fn warm(workload: &Workload, seat: Option<&Seat>) -> Result<Ready, MeasureError> {
    let mut ready = workload.prepare(seat)?;
    ready.batch()?;
    Ok(ready)
}

fn say(output: &mut impl Write, line: &str) -> Result<(), MeasureError> {
    let said: io::Result<()> = writeln!(output, "{line}").and_then(|()| output.flush());
    said.map_err(MeasureError::refused("answer"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_line_is_answered_until_one_names_nothing() {
        let name = "decide in this process, denied";
        let mut output = Vec::new();
        let input = format!("{name}\n{name}\nno such workload\n{name}\n");
        let error = serve(input.as_bytes(), &mut output).unwrap_err();
        assert!(matches!(error, MeasureError::Missing(_)), "{error}");
        let text = String::from_utf8(output).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let greeting: Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(greeting["protocol"], PROTOCOL);
        let workloads = greeting["workloads"].as_array().unwrap();
        assert!(workloads.iter().any(|workload| workload == name));
        // All of them, or a reason.
        assert_eq!(workloads.len() == Workload::ALL.len(), greeting["missing"].is_null());
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1..].iter().all(|line| line.parse::<f64>().unwrap() > 0.0), "{text}");
    }
}
