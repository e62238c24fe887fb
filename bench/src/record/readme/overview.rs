//! What was asked, what came out, and how to repeat it.

use ringfence_testbed::lab::{Contender, Mismatch};

use super::Page;
use crate::record::figures::{Figures, Question};
use crate::record::{Measurement, Record, Tree, choice, number, statistic};

/// Writes what a reader needs first.
pub fn write(page: &mut Page, record: &Record, figures: &Figures) {
    for warning in warnings(record) {
        page.paragraph(&warning);
    }
    page.paragraph("**Question.** What does one gain with Ringfence's eBPF programs over iptables, ipset, nftables and a filter in user space, on one machine: per packet, per round trip, per change of policy, and when more is sent than gets through? And is what essays claim of iptables and eBPF so?");
    if let Some(answer) = answer(figures) {
        page.paragraph(&format!("**Answer in short.** {answer}"));
    }
    write_repeat(page, record);
}

fn warnings(record: &Record) -> Vec<String> {
    let mut warnings = Vec::new();
    if !record.run.complete {
        warnings.push("**Partial:** the run was stopped before its end. What is here was measured; what is missing was not reached.".to_owned());
    }
    if record.machine.is_busy() {
        warnings.push(format!(
            "**Busy:** the load was {} before the first measurement. Something else was at work; do not quote these figures.",
            record.machine.load
        ));
    }
    if record.run.tree == Tree::Changed {
        warnings.push(format!(
            "**Changed:** files differed from commit {}, so nobody else can check out what was measured.",
            record.run.commit
        ));
    }
    warnings
}

/// What the last rule of 10,000 adds, of a chain and of eBPF.
fn answer(figures: &Figures) -> Option<String> {
    let (rules, chain) = (10_000, choice::chain(figures));
    let added = |contender, mismatch| {
        let question = Question::new(Measurement::Send, "", statistic::MEDIAN).last(mismatch);
        figures.added(&question, contender).remove(&rules).map(|(_, figure)| figure)
    };
    let ours = added(Contender::EbpfTcx, Mismatch::Address)?;
    let of_address = added(chain, Mismatch::Address)?;
    let mut text = format!(
        "With {} rules of which the last matches, a {chain} adds {} to each packet where rules differ in address",
        number::rules(rules),
        number::time(of_address.value)
    );
    if let Some(of_port) = added(chain, Mismatch::Port) {
        text.push_str(&format!(", {} where they differ in port", number::time(of_port.value)));
    }
    text.push_str(&format!("; eBPF at tcx adds {}", number::time(ours.value)));
    let known = ours.value.max(ours.stated.absolute);
    let least = if ours.value < known { "at least " } else { "" };
    text.push_str(&format!(
        " ({least}{} for the first).",
        number::factor(of_address.value / known)
    ));
    let change = |contender| {
        let found = choice::ONE_CHANGE.by_rules(figures, contender);
        found.get(&rules).map(|(_, figure)| figure.value)
    };
    if let (Some(theirs), Some(own)) = (change(chain), change(Contender::EbpfTcx)) {
        text.push_str(&format!(
            " Changing one rule takes {} and {}.",
            number::time(theirs),
            number::time(own)
        ));
    }
    text.push_str(" Ratios travel to other machines, nanoseconds do not.");
    Some(text)
}

fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{seconds:.0} seconds");
    }
    format!("{:.0} minutes", seconds / 60.0)
}

fn write_repeat(page: &mut Page, record: &Record) {
    page.section("Repeat it");
    let checkout = match record.run.tree {
        Tree::Clean => format!("git checkout {}\n", record.run.commit),
        Tree::Changed | Tree::Unknown => String::new(),
    };
    page.code("sh", &format!("{checkout}{}", record.run.command));
    let complete = if record.run.complete { "yes" } else { "no" };
    page.paragraph(&format!(
        "As root, from the root of the repository, on a machine with nothing else to do; it took {} here. Everything happens in network namespaces of its own that end with it. Then `cargo xtask results compare` with the folders of two records says what differs. complete: {complete}.",
        duration(record.run.seconds)
    ));
    let machine = &record.machine;
    let load_after = machine.load_after.map_or("unknown".to_owned(), |load| load.to_string());
    page.list([
        format!(
            "processor: {}, {} cores, virtual machine: {}",
            machine.processor, machine.cores, machine.virtualised
        ),
        format!("memory: {}", number::bytes(machine.memory_bytes as f64)),
        format!("kernel: {}, JIT {}", machine.kernel, machine.jit),
        format!("mitigations: {}", machine.mitigations),
        format!("clock: governor {}, turbo {}", machine.governor, machine.turbo),
        format!("load: {} before, {load_after} after", machine.load),
        format!(
            "tools: {}; {}; {}; {}; {}",
            machine.iptables, machine.iptables_nft, machine.nft, machine.ipset, machine.rustc
        ),
    ]);
}
