//! The claims, line by line.

use super::Page;
use crate::record::choice;
use crate::record::claims::{Answer, answers};
use crate::record::figures::Figures;

/// Writes the table of claims.
pub fn write(page: &mut Page, figures: &Figures) {
    page.section("Claimed and measured");
    page.paragraph("Two essays on network segmentation compare iptables with eBPF (Cilium): rule evaluation O(n) against O(1), policy updates by a full chain rebuild against incremental ones, latencies of 5–10 ms at 1K rules and 50–100 ms at 10K against less than 0.1 ms; and service meshes with Cilium: less than 0.5 ms added, no memory but the kernel's. They do not say of what a latency is, so each is held against several readings; the verdict on a claim, in bold, takes *latency* as what the filter adds to a packet, and says of what else it may be true. A reading that was not measured is not answered. Cilium itself, Istio and Linkerd were not run: eBPF is Ringfence's programs at tcx here.");
    let heads = ["claim, and how it is read", "measured", "verdict"].map(str::to_owned);
    let rows: Vec<Vec<String>> = answers(figures).iter().flat_map(rows).collect();
    page.table(&heads, &rows, 3);
    page.paragraph("The exponents are fitted to the logarithms of all figures from 1,000 rules on: 1 is a cost proportional to the rules, 0 one that does not depend on them; from 0.8 on it is called linear, up to 0.2 constant. A change of one rule is called a rebuild from 0.5 on, unless it takes no more than 1 % of loading all rules: then it is incremental. Overload is a fifth more requests than that contender can answer: a slow filter is asked for far fewer of them, and where the filter is fast the queue is before the two ends.");
}

fn rows(answer: &Answer) -> Vec<Vec<String>> {
    let head =
        vec![format!("**{}**", answer.claim), String::new(), format!("**{}**", answer.verdict)];
    let of_readings = answer.readings.iter().map(|reading| {
        let measured = if reading.measured.is_empty() { choice::BLANK } else { &reading.measured };
        vec![format!("· {}", reading.of), measured.to_owned(), reading.verdict.to_string()]
    });
    std::iter::once(head).chain(of_readings).collect()
}
