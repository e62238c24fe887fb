//! Any table can become any other, piece by piece, and is then what a fresh host would have.

use ringfence_dataplane::backend::nftables::{Ruleset, ruleset};
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
    let (mut there, mut rendered) = (Ruleset::default(), Ruleset::default());
    let mut in_order = 0;
    for step in 0..80 {
        // A small change every other time: what policy says, and nothing else.
        let after = match step % 2 {
            0 => ruleset(&plans::plan(&mut random)).unwrap(),
            _ => plans::fewer_elements(&mut random, &rendered),
        };
        let changes = if step == 0 { after.installation() } else { after.changes(&there) };
        in_order += usize::from(changes.in_order && !changes.steps.is_empty());
        let whole = changes.whole().to_string();
        host.check(&whole).unwrap_or_else(|said| panic!("step {step}: {said}\n{whole}"));
        changes.steps.iter().for_each(|text| host.give(&text.to_string()));
        fresh.give(&after.replacement().to_string());
        assert_eq!(host.everything(), fresh.everything(), "step {step}:\n{whole}");
        let none = after.changes(&changes.ruleset);
        assert!(none.steps.is_empty() && none.touched == 0, "{}", none.whole());
        (there, rendered) = (changes.ruleset, after);
    }
    assert!(in_order >= 10, "{in_order} of 80 changes were made in order");
}
