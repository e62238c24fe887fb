//! Oracle, compiled tables and filter agree about every packet.

use std::time::Instant;

use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::Flow;
use ringfence_testbed::agreement::{Compared, Disagreement, Subject, tables_of};
use ringfence_testbed::environment::SEED;

use crate::runs;
use crate::search::on_all_kinds;

/// Pairs where the environment does not say how many: enough in a minute.
const PAIRS: usize = 60_000;

#[test]
fn oracle_tables_and_filter_agree_about_generated_packets() {
    let (seed, pairs, started) = (runs::seed(), runs::pairs(PAIRS), Instant::now());
    println!("seed {seed}: {}={seed} {}={pairs} repeats this", SEED, runs::PAIRS);
    let tried = on_all_kinds(seed, pairs, |set, flows| asked(set, &tables_of(set), flows));
    println!("{} pairs agree, in {:?}", tried.pairs, started.elapsed());
}

/// Holds `tables` against the oracle of `set`.
fn asked(set: &PolicySet, tables: &Tables, flows: &[Flow]) -> Result<Compared, Box<Disagreement>> {
    let mut subject = Subject::new(set, tables);
    flows.iter().try_for_each(|flow| subject.ask(flow))?;
    Ok(Compared { same: flows.len(), ..Compared::default() })
}

mod tests {
    use ringfence_dataplane::model::{IpBlock, Peer, Peers, PolicySet};
    use ringfence_dataplane::oracle::{Flow, Oracle};
    use ringfence_testbed::case;

    use proptest::test_runner::Config;

    use super::{asked, tables_of};
    use crate::policies::{self, Kind};
    use crate::runs;
    use crate::search::{search, sets_for};

    /// As a compiler would that ignores exceptions.
    fn without_exceptions(set: &PolicySet) -> PolicySet {
        let mut set = set.clone();
        for policy in &mut set.policies {
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                let Peers::Any(peers) = &mut rule.peers else { continue };
                for peer in peers {
                    if let Peer::Block(block) = peer {
                        *block = IpBlock::new(block.block(), Vec::new()).unwrap();
                    }
                }
            }
        }
        set
    }

    #[test]
    fn a_disagreement_becomes_a_small_case_that_reads_back() {
        let wrong = |set: &PolicySet, flows: &[Flow]| {
            asked(set, &tables_of(&without_exceptions(set)), flows)
        };
        let config = Config { max_shrink_iters: runs::STEPS, ..runs::seeded(sets_for(20_000), 7) };
        let sets = policies::policy_set(Kind::Documents);
        let Err(found) = search(config, sets, wrong) else {
            panic!("nobody has noticed that exceptions are ignored");
        };
        let rules: usize =
            found.set.policies.iter().map(|one| one.ingress.len() + one.egress.len()).sum();
        let size = (found.set.policies.len(), rules, found.set.inventory.workloads().count());
        assert_eq!(size, (1, 1, 1), "policies, rules and workloads of {:#?}", found.set);

        let folder = tempfile::tempdir().unwrap();
        let path = found.write(7, folder.path());
        let cases = case::read(&[path]).unwrap_or_else(|errors| panic!("{errors}"));
        let [case] = &cases[..] else { panic!("{} cases", cases.len()) };
        let [probe] = &case.probes[..] else { panic!("{} probes", case.probes.len()) };
        let flow = found.disagreement.flow;
        assert_eq!(probe.pairs, [(flow.source, flow.destination)]);
        let allowed = Oracle::new(&found.set).decide(&flow).allowed();
        assert_eq!(probe.expect == ringfence_common::verdict::Verdict::Allow, allowed);
        let rendered = found.case(7);
        assert_eq!(rendered.unsaid, Vec::<String>::new(), "documents can say all of it");
        let read = Oracle::new(&case.policies).decide(&flow);
        assert_eq!(read, Oracle::new(&found.set).decide(&flow), "{}", rendered.text);
    }
}
