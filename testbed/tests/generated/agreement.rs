//! Oracle, compiled tables and filter agree about every packet: the search for a disagreement, and
//! what is made of one, the smallest policy set that still shows it, as a case file.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::{Flow, Oracle};
use ringfence_testbed::agreement::{Disagreement, Subject, tables_of};
use ringfence_testbed::environment::SEED;
use ringfence_testbed::render::{self, Question, Rendered};

use crate::flows::Boundaries;
use crate::policies::{self, Kind};
use crate::runs;

/// Packets asked about each policy set.
const PACKETS: usize = 64;

/// Pairs where the environment does not say how many: enough in a minute.
const PAIRS: usize = 60_000;

/// Each share of the pairs has a seed of its own, so their number does not depend on the machine.
const SHARES: u64 = 4;

/// A disagreement, as small as it could be made.
struct Found {
    set: PolicySet,
    disagreement: Box<Disagreement>,
}

#[test]
fn oracle_tables_and_filter_agree_about_generated_packets() {
    let (seed, pairs, started) = (runs::seed(), runs::pairs(PAIRS), Instant::now());
    println!("seed {seed}: {}={seed} {}={pairs} repeats this", SEED, runs::PAIRS);
    let of_share = pairs.div_ceil(SHARES as usize);
    let run = |share| {
        let config = runs::seeded(sets_for(of_share), seed.wrapping_mul(SHARES) + share);
        let sets = prop_oneof![
            3 => policies::policy_set(Kind::Everything),
            2 => policies::policy_set(Kind::MostlyNetworkPolicy),
            1 => policies::policy_set(Kind::Documents),
        ];
        search(config, sets, tables_of)
    };
    let asked: usize = thread::scope(|scope| {
        let shares: Vec<_> = (0..SHARES).map(|share| scope.spawn(move || run(share))).collect();
        let shares = shares.into_iter().map(|share| share.join().unwrap());
        shares.map(|share| share.unwrap_or_else(|found| panic!("{}", found.told(seed)))).sum()
    });
    println!("{asked} pairs agree, in {:?}", started.elapsed());
    assert!(asked >= pairs, "only {asked} pairs were asked about");
}

/// Policy sets for so many pairs. Those without any address to ask about come now and then.
fn sets_for(pairs: usize) -> u32 {
    let sets = u32::try_from(pairs.div_ceil(PACKETS)).unwrap();
    sets + sets / 8 + 1
}

/// Asks about as many of `sets` as `config` says; how many pairs it were. `compile` makes the
/// tables that are held against the oracle.
fn search(
    config: Config,
    sets: impl Strategy<Value = PolicySet>,
    compile: impl Fn(&PolicySet) -> Tables,
) -> Result<usize, Box<Found>> {
    let (asked, found) = (Cell::new(0), Cell::new(false));
    let result = TestRunner::new(config).run(&(sets, any::<u64>()), |(set, seed)| {
        let boundaries = Boundaries::of_sets(&[&set]);
        // While an example is made smaller, its flow shall not get lost.
        let flows = match found.get() {
            true => probes_first(boundaries.all()),
            false => boundaries.sample(PACKETS, seed),
        };
        let tables = compile(&set);
        let mut subject = Subject::new(&set, &tables);
        for flow in &flows {
            if let Err(disagreement) = subject.ask(flow) {
                found.set(true);
                return Err(TestCaseError::fail(disagreement.to_string()));
            }
            asked.set(asked.get() + 1);
        }
        Ok(())
    });
    match result {
        Ok(()) => Ok(asked.get()),
        Err(TestError::Fail(_, (set, seed))) => Err(Box::new(find_again(set, seed, compile))),
        Err(TestError::Abort(why)) => panic!("nothing was tried: {why}"),
    }
}

/// What a case can ask about comes before the rest.
fn probes_first(mut flows: Vec<Flow>) -> Vec<Flow> {
    flows.sort_by_key(|flow| !render::can_be_probed(flow));
    flows
}

/// The disagreement that the set shows: where nothing was made smaller it may be one that only its
/// own sample asks about.
fn find_again(set: PolicySet, seed: u64, compile: impl Fn(&PolicySet) -> Tables) -> Found {
    let tables = compile(&set);
    let boundaries = Boundaries::of_sets(&[&set]);
    let mut subject = Subject::new(&set, &tables);
    let mut flows =
        probes_first(boundaries.all()).into_iter().chain(boundaries.sample(PACKETS, seed));
    let disagreement = flows.find_map(|flow| subject.ask(&flow).err());
    let disagreement = disagreement.expect("asking is deterministic");
    drop(subject);
    Found { set, disagreement }
}

impl Found {
    /// As a case for the corpus.
    fn case(&self, seed: u64) -> Rendered {
        let flow = self.disagreement.flow;
        let question = Question { flow, answer: Oracle::new(&self.set).decide(&flow) };
        let source = format!("a disagreement that seed {seed} has found; expected by the oracle");
        render::case("found-by-generator", &source, &self.set, &[question])
    }

    /// Writes the case file.
    fn write(&self, seed: u64, folder: &Path) -> PathBuf {
        let path = folder.join(format!("disagreement-{seed}.yaml"));
        fs::write(&path, self.case(seed).text).unwrap();
        path
    }

    /// All there is to say, after the case file has been written.
    fn told(&self, seed: u64) -> String {
        let path = self.write(seed, Path::new(env!("CARGO_TARGET_TMPDIR")));
        format!(
            "{}the case is in {}: move it to testbed/corpus with the change that mends it\n{}",
            self.disagreement,
            path.display(),
            self.case(seed).text
        )
    }
}

mod tests {
    use ringfence_dataplane::model::{IpBlock, Peer, Peers, PolicySet};
    use ringfence_dataplane::oracle::Oracle;
    use ringfence_testbed::case;

    use proptest::test_runner::Config;

    use super::{search, sets_for, tables_of};
    use crate::policies::{self, Kind};
    use crate::runs;

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
        let wrong = |set: &PolicySet| tables_of(&without_exceptions(set));
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
