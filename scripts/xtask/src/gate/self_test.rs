//! `cargo xtask gate --self-test`: does the gate notice?
//!
//! Mistakes that make Ringfence slower are made in a copy of the working tree. The gate has to refuse
//! each, and to name its cause.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::Gate;
use super::report::{End, Output, Report};
use super::trees::Tree;
use crate::ebpf;

/// A mistake.
struct Seed {
    /// What it does.
    name: &'static str,
    /// The file it is in.
    file: &'static str,
    /// Its text before, once in the file, and after.
    before: &'static str,
    after: &'static str,
    /// Whether the kernel's object is built from the file.
    is_in_kernel: bool,
    /// How what the gate finds has to begin.
    causes: &'static [&'static str],
}

const SEEDS: [Seed; 2] = [
    Seed {
        name: "a call of the kernel on the way of every packet",
        file: "dataplane-ebpf/src/main.rs",
        before: "\nfn coarse() -> u32 {\n",
        after: "\nfn coarse() -> u32 {\n    // SAFETY: it takes no arguments and only returns a number.\n    \
                unsafe { bpf_ktime_get_ns() };\n",
        is_in_kernel: true,
        causes: &[
            "helper calls of IPv4 denied first packet, XDP",
            "helper calls of IPv4 established, XDP",
            "helper calls of IPv4 established, tc",
        ],
    },
    Seed {
        name: "a tenth more instructions in the compiler",
        file: "dataplane/src/compile/mod.rs",
        before: "\n    let reads = Reads::of(&policies);\n",
        after: "\n    for number in 0..policies.iter().map(|policy| policy.ingress.len()).sum::<usize>() * 500 {\n        \
                std::hint::black_box(number);\n    }\n    let reads = Reads::of(&policies);\n",
        is_in_kernel: false,
        causes: &["instructions of compile 10000 rules (cluster)"],
    },
];

/// Makes each mistake and compares it with the working tree `head`; the exit code.
pub fn run(gate: &Gate, head: &Tree) -> Result<u8> {
    let mut code = 0;
    for seed in &SEEDS {
        eprintln!("making a mistake: {}", seed.name);
        let slowed = seeded(gate, head, seed)?;
        let names = ["working tree", seed.name];
        let report = gate.compare(names, [head, &slowed], None)?;
        let overlooked = overlooked(seed, &report);
        if overlooked.is_empty() {
            println!("found: {}", seed.name);
            report.findings().iter().for_each(|finding| println!("  {finding}"));
        } else {
            println!("NOT FOUND: {}\n{}", seed.name, report.print(Output::Text));
            overlooked.iter().for_each(|cause| println!("  nothing is said of {cause}"));
            code = 1;
        }
    }
    Ok(code)
}

/// What the report should say and does not.
fn overlooked(seed: &Seed, report: &Report) -> Vec<&'static str> {
    let findings = report.findings();
    let is_said = |cause: &str| findings.iter().any(|finding| finding.starts_with(cause));
    let is_refused = report.end() == End::Regression;
    seed.causes.iter().copied().filter(|cause| !is_refused || !is_said(cause)).collect()
}

/// A copy of a tree with the mistake in it.
fn seeded(gate: &Gate, head: &Tree, seed: &Seed) -> Result<Tree> {
    let folder = gate.own.join("seeded");
    gate.repository.put(head, &folder, "seeded")?;
    let path = folder.join(seed.file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", seed.file))?;
    fs::write(&path, seed.make(&text)?).with_context(|| format!("cannot write {}", seed.file))?;
    if seed.is_in_kernel {
        ebpf::rebuild(&folder, &gate.checkout).context("building the object with the mistake")?;
    }
    gate.repository.of_folder(&folder, "seeded")
}

impl Seed {
    fn make(&self, text: &str) -> Result<String> {
        let times = text.matches(self.before).count();
        ensure!(times == 1, "`{}` has {:?} {times} times and not once", self.file, self.before);
        Ok(text.replacen(self.before, self.after, 1))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::super::row::{Row, Verdict};
    use super::*;

    #[test]
    fn every_mistake_can_still_be_made() {
        for seed in &SEEDS {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let text = fs::read_to_string(root.join(seed.file)).unwrap();
            assert_ne!(seed.make(&text).unwrap(), text, "{}", seed.name);
        }
    }

    #[test]
    fn a_cause_that_is_not_named_is_overlooked() {
        let row = |of: &str, verdict| Row {
            what: "helper calls".to_owned(),
            of: of.to_owned(),
            unit: "",
            base: Some(0.0),
            head: Some(1.0),
            change: None,
            allowed: 0.0,
            verdict,
            note: String::new(),
        };
        let side = || [String::new(), String::new()];
        let of = |rows| Report {
            base: side(),
            head: side(),
            machine: Value::Null,
            rows,
            missing: Vec::new(),
        };
        let all =
            ["IPv4 denied first packet, XDP", "IPv4 established, XDP", "IPv4 established, tc"];
        let worse =
            |count: usize| all[..count].iter().map(|name| row(name, Verdict::Worse)).collect();
        assert_eq!(overlooked(&SEEDS[0], &of(worse(3))), [""; 0]);
        assert_eq!(overlooked(&SEEDS[0], &of(worse(2))), ["helper calls of IPv4 established, tc"]);
        let passed = all.map(|name| row(name, Verdict::Same)).to_vec();
        assert_eq!(overlooked(&SEEDS[0], &of(passed)).len(), 3);
    }
}
