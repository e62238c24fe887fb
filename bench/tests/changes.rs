//! Changes of policy, measured in small: every form really changes what becomes of packets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use ringfence_bench::measure::{change, disturbance, memory};
use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking};
use ringfence_testbed::require::{self, Tool};

const RULES: usize = 50;

fn case(contender: Contender, rules: usize) -> Case {
    Case {
        contender,
        rules,
        position: Position::Last,
        mismatch: Mismatch::Address,
        tracking: if contender.is_bare() { Tracking::Stateless } else { Tracking::New },
        family: Family::V4,
    }
}

#[test]
fn try_memory() {
    let limit = Duration::from_secs(60);
    for rules in [1_000] {
        for contender in Contender::ALL {
            if ![
                Contender::EbpfTcx,
                Contender::Userspace,
                Contender::BareIpset,
                Contender::BareIptables,
                Contender::BareNftSet,
            ]
            .contains(&contender)
            {
                continue;
            }
            let begin = std::time::Instant::now();
            let found =
                memory::measure(&case(contender, rules), 1, &memory::Effort { rounds: 3, limit });
            println!("{contender} {rules} {:?}", begin.elapsed());
            for name in ["kernel", "kernel, by difference", "process", "fixed", "hosts"] {
                let v: Vec<f64> = found
                    .samples
                    .iter()
                    .filter(|s| s.statistic == name)
                    .map(|s| s.value / if name == "hosts" { 1.0 } else { rules as f64 })
                    .collect();
                if !v.is_empty() {
                    println!("   {name:30} {v:.1?}");
                }
            }
            for s in &found.omissions {
                println!("   OMISSION {:?}", s);
            }
        }
    }
}
#[test]
fn try_disturbance() {
    let limit = Duration::from_secs(60);
    for contender in Contender::ALL {
        if ![
            Contender::EbpfTcx,
            Contender::Userspace,
            Contender::BareIpset,
            Contender::BareIptables,
            Contender::BareNftSet,
        ]
        .contains(&contender)
        {
            continue;
        }
        let begin = std::time::Instant::now();
        let found = disturbance::measure(
            &case(contender, 200),
            1,
            &disturbance::Effort { changes: 20, time: Duration::from_secs(1), limit },
        );
        println!("{contender} {:?}", begin.elapsed());
        for s in &found.samples {
            println!("   {:40} {:8} {:12.1}", s.variant, s.statistic, s.value);
        }
        for s in &found.omissions {
            println!("   OMISSION {:?}", s);
        }
    }
}
