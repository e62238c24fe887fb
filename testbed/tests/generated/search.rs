//! The search for a disagreement about packets, and what is made of one: the smallest policy set
//! that still shows it, as a case file.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::{Flow, Oracle};
use ringfence_testbed::agreement::{Compared, Disagreement};
use ringfence_testbed::render::{self, Question, Rendered};

use crate::flows::Boundaries;
use crate::policies::{self, Kind};
use crate::runs;

/// Packets asked about each policy set.
const PACKETS: usize = 64;

/// Each share of the pairs has a seed of its own, so their number does not depend on the machine.
const SHARES: u64 = 4;

/// Asks about packets on a policy set, each a pair.
pub type Ask = fn(&PolicySet, &[Flow]) -> Result<Compared, Box<Disagreement>>;

/// A disagreement, as small as it could be made.
pub struct Found {
    /// Policies and inventory.
    pub set: PolicySet,
    /// What differs on them.
    pub disagreement: Box<Disagreement>,
}

/// How much was tried.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Pairs of a policy set and a packet.
    pub pairs: usize,
    /// What was answered about them.
    pub answers: Compared,
}

impl Tried {
    /// Adds what was tried elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.answers.same += other.answers.same;
        for (limit, count) in &other.answers.limits {
            *self.answers.limits.entry(limit).or_default() += count;
        }
    }
}

/// Asks about so many pairs at least, on all kinds of policy.
///
/// # Panics
///
/// With a case file, when somebody disagrees.
pub fn on_all_kinds(seed: u64, pairs: usize, ask: Ask) -> Tried {
    let of_share = pairs.div_ceil(SHARES as usize);
    let run = |share| {
        let config = runs::seeded(sets_for(of_share), seed.wrapping_mul(SHARES) + share);
        let sets = prop_oneof![
            3 => policies::policy_set(Kind::Everything),
            2 => policies::policy_set(Kind::MostlyNetworkPolicy),
            1 => policies::policy_set(Kind::Documents),
        ];
        search(config, sets, ask)
    };
    let tried: Vec<Tried> = thread::scope(|scope| {
        let shares: Vec<_> = (0..SHARES).map(|share| scope.spawn(move || run(share))).collect();
        let shares = shares.into_iter().map(|share| share.join().unwrap());
        shares.map(|share| share.unwrap_or_else(|found| panic!("{}", found.told(seed)))).collect()
    });
    let mut all = Tried::default();
    tried.iter().for_each(|one| all.add(one));
    assert!(all.pairs >= pairs, "only {} pairs were asked about", all.pairs);
    all
}

/// Policy sets for so many pairs. Those without any address to ask about come now and then.
pub fn sets_for(pairs: usize) -> u32 {
    let sets = u32::try_from(pairs.div_ceil(PACKETS)).unwrap();
    sets + sets / 8 + 1
}

/// Asks about as many of `sets` as `config` says.
pub fn search(
    config: Config,
    sets: impl Strategy<Value = PolicySet>,
    ask: impl Fn(&PolicySet, &[Flow]) -> Result<Compared, Box<Disagreement>>,
) -> Result<Tried, Box<Found>> {
    let (tried, found) = (RefCell::new(Tried::default()), Cell::new(false));
    let result = TestRunner::new(config).run(&(sets, any::<u64>()), |(set, seed)| {
        let boundaries = Boundaries::of_sets(&[&set]);
        // While an example is made smaller, its flow shall not get lost.
        let flows = match found.get() {
            true => probes_first(boundaries.all()),
            false => boundaries.sample(PACKETS, seed),
        };
        let answers = ask(&set, &flows).map_err(|disagreement| {
            found.set(true);
            TestCaseError::fail(disagreement.to_string())
        })?;
        tried.borrow_mut().add(&Tried { pairs: flows.len(), answers });
        Ok(())
    });
    match result {
        Ok(()) => Ok(tried.into_inner()),
        Err(TestError::Fail(_, (set, seed))) => Err(Box::new(find_again(set, seed, ask))),
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
fn find_again(
    set: PolicySet,
    seed: u64,
    ask: impl Fn(&PolicySet, &[Flow]) -> Result<Compared, Box<Disagreement>>,
) -> Found {
    let boundaries = Boundaries::of_sets(&[&set]);
    let flows = probes_first(boundaries.all()).into_iter();
    let flows: Vec<Flow> = flows.chain(boundaries.sample(PACKETS, seed)).collect();
    let disagreement = ask(&set, &flows).expect_err("asking is deterministic");
    Found { set, disagreement }
}

impl Found {
    /// As a case for the corpus.
    pub fn case(&self, seed: u64) -> Rendered {
        let flow = self.disagreement.flow;
        let question = Question { flow, answer: Oracle::new(&self.set).decide(&flow) };
        let source = format!("a disagreement that seed {seed} has found; expected by the oracle");
        render::case("found-by-generator", &source, &self.set, &[question])
    }

    /// Writes the case file.
    pub fn write(&self, seed: u64, folder: &Path) -> PathBuf {
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
