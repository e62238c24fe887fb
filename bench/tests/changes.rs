//! Changes of policy, measured in small: every form really changes what becomes of packets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_bench::measure::{Effort, Findings, change};
use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};
use ringfence_testbed::require::{self, Tool};

const RULES: usize = 50;

fn case(contender: Contender) -> Case {
    Case {
        contender,
        rules: RULES,
        position: Position::Last,
        mismatch: Mismatch::Address,
        tracking: if contender.is_bare() { Tracking::Stateless } else { Tracking::New },
        family: Family::V4,
    }
}

fn once(contender: Contender, limit: Duration) -> Findings {
    change(&case(contender), 1, &Effort { rounds: 20, time: Duration::from_secs(5), limit })
}

#[test]
fn every_form_of_change_changes_what_becomes_of_packets() {
    let Some(_granted) = require::kernel() else { return };
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    for contender in Contender::ALL {
        if ![Contender::BareIpset, Contender::Userspace].contains(&contender) {
            continue;
        }
        let begin = std::time::Instant::now();
        let found = once(contender, Duration::from_secs(30));
        println!("{contender} {:?}", begin.elapsed());
        for s in &found.samples {
            println!("   {:40} {:8} {:12.1} us", s.variant, s.statistic, s.value / 1e3);
        }
        for s in &found.omissions {
            println!("   OMISSION {:?}", s);
        }
    }
}
