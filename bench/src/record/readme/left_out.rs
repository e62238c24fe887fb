//! What was not measured.

use super::Page;
use crate::record::{Record, choice};

/// What is never measured here, whatever the machine.
const NEVER: [&str; 4] = [
    "Cilium, Calico, Istio and Linkerd: not run; what is said of eBPF is Ringfence's.",
    "Network cards, more than one queue, packets from another machine: everything is veth on one machine.",
    "Observability: no figure says how much can be seen.",
    "Mixes of packet sizes, and real traffic: packets are small and of few flows, unless said otherwise.",
];

/// Writes what was left out, grouped by reason.
pub fn write(page: &mut Page, record: &Record) {
    page.section("Left out");
    page.paragraph("Never measured here:");
    page.list(NEVER.map(str::to_owned));
    let lines = choice::left_out(&record.omissions);
    if lines.is_empty() {
        page.paragraph("In this run nothing of the plan was left out.");
        return;
    }
    page.paragraph("Of the plan, in this run (`left-out.csv` has every case):");
    page.list(lines);
}
