//! Any table can become any other, piece by piece, and is then what a fresh host would have.

use ringfence_dataplane::backend::nftables::ruleset;
use ringfence_testbed::environment;
use ringfence_testbed::random::Random;
use ringfence_testbed::require::{Tool, tools};

use super::host::Host;
use super::plans;

#[test]
fn changes_lead_where_a_fresh_table_begins() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let (host, fresh) = (Host::new(), Host::new());
    let mut random = Random::new(environment::number(environment::SEED).unwrap_or(1));
    let mut before = ruleset(&plans::plan(&mut random)).unwrap();
    host.give(&before.script().to_string());
    let mut in_place = 0;
    for step in 0..60 {
        let after = ruleset(&plans::plan(&mut random)).unwrap();
        let changes = after.changes(&before);
        let text = match &changes {
            Some(changes) => changes.script.to_string(),
            None => after.replacement().to_string(),
        };
        in_place += usize::from(changes.is_some());
        host.check(&text).unwrap_or_else(|said| panic!("step {step}: {said}\n{text}"));
        host.give(&text);
        fresh.give(&after.replacement().to_string());
        assert_eq!(host.everything(), fresh.everything(), "step {step}:\n{text}");
        let none = after.changes(&after).unwrap();
        assert!(none.script.lines.is_empty() && none.touched() == 0, "{}", none.script);
        before = after;
    }
    assert!(in_place >= 50, "{in_place} of 60 changes were in place");
}
