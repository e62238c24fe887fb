//! What is rendered means the same when it is read again.

use proptest::prelude::*;
use ringfence_common::verdict::Verdict;
use ringfence_dataplane::model::{Action, Policy, Tier};
use ringfence_dataplane::oracle::Oracle;
use ringfence_testbed::case;
use ringfence_testbed::render::{self, Question};

use crate::flows::Boundaries;
use crate::policies::{self, Kind};
use crate::runs;

/// Probes of each case.
const PROBES: usize = 24;

proptest! {
    #![proptest_config(runs::config(128))]

    #[test]
    fn a_case_file_reads_back_to_the_same_meaning(
        set in policies::policy_set(Kind::Documents),
        seed: u64,
    ) {
        let (oracle, boundaries) = (Oracle::new(&set), Boundaries::of_sets(&[&set]));
        let mut flows = boundaries.sample(PROBES, seed);
        flows.retain(render::can_be_probed);
        // A case that asks nothing is none.
        prop_assume!(!flows.is_empty());
        let questions: Vec<Question> =
            flows.iter().map(|flow| Question { flow: *flow, answer: oracle.decide(flow) }).collect();
        let rendered = render::case("generated", "the oracle", &set, &questions);
        prop_assert!(rendered.unsaid.is_empty(), "{:?}\n{:#?}", rendered.unsaid, set.policies);
        let read = case::read_text("generated.yaml", &rendered.text);
        let cases = match read {
            Ok(cases) => cases,
            Err(errors) => return Err(TestCaseError::fail(format!("{errors}\n{}", rendered.text))),
        };
        prop_assert_eq!(cases.len(), 1);
        let again = Oracle::new(&cases[0].policies);
        for flow in boundaries.sample(PROBES * 8, seed) {
            prop_assert_eq!(again.decide(&flow), oracle.decide(&flow), "{:?}\n{}", flow, rendered.text);
        }
        prop_assert_eq!(cases[0].probes.len(), questions.len());
        for (probe, Question { flow, answer }) in cases[0].probes.iter().zip(&questions) {
            prop_assert_eq!(&probe.pairs, &[(flow.source, flow.destination)]);
            prop_assert_eq!(probe.service.protocol(), flow.protocol);
            prop_assert_eq!(probe.expect == Verdict::Allow, answer.allowed(), "{:?}", flow);
        }
    }

    /// Whatever cannot be said is told, and what is told is not said.
    #[test]
    fn what_documents_cannot_say_is_listed(mut policy in policies::policy(Kind::Everything)) {
        policy.name.name = "some".to_owned();
        let unsaid = |policy: &Policy| render::policies(std::slice::from_ref(policy)).unsaid;
        let rules = policy.ingress.iter().chain(&policy.egress);
        let logs = rules.clone().any(|rule| rule.action == Action::Log);
        let denies = rules.clone().any(|rule| rule.action == Action::Deny);
        let isolates = policy.isolates_ingress || policy.isolates_egress;
        let cannot = match policy.tier {
            Tier::Developer => logs || denies || !isolates || policy.priority > 0,
            Tier::Admin | Tier::Baseline => logs || isolates,
            Tier::Failsafe => true,
        };
        prop_assert!(!cannot || !unsaid(&policy).is_empty(), "{:#?}", policy);
        for line in unsaid(&policy) {
            prop_assert!(line.starts_with("policy/some: "), "{}", line);
        }
    }
}
