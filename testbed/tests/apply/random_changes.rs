//! Any way to a state leads to the same maps as the straight one.

use ringfence_common::abi::config::Config;
use ringfence_dataplane::backend::How;
use ringfence_dataplane::backend::host::HostTables;
use ringfence_testbed::random::Random;
use ringfence_testbed::require;

use crate::host::{Documents, Host};

const CHANGES: u32 = 100;

const APPS: [&str; 4] = ["web", "api", "db", "spare"];

/// What the documents say; each change is one step away from what was before.
struct World {
    random: Random,
    /// Labels and, for those on this host, the number in the address.
    workloads: Vec<Option<(&'static str, u8, &'static str)>>,
    policies: Vec<Option<String>>,
}

impl World {
    fn new() -> Self {
        let workload = |name, number| Some((name, number, name));
        let workloads =
            vec![workload("web", 11), workload("api", 12), workload("db", 13), None, None];
        Self { random: Random::new(0x5eed), workloads, policies: vec![None; 6] }
    }

    fn change(&mut self) {
        let random = &mut self.random;
        if random.below(3) == 0 {
            let place = random.below(5);
            // The last two are elsewhere: there is no interface for them.
            let (name, number) =
                [("web", 11), ("api", 12), ("db", 13), ("far", 99), ("farther", 98)][place];
            self.workloads[place] = match random.below(4) {
                0 => None,
                _ => Some((name, number, *random.pick(&APPS))),
            };
        } else {
            let place = random.below(6);
            self.policies[place] = match random.below(5) {
                0 => None,
                _ => Some(policy(random, place)),
            };
        }
    }

    fn documents(&self) -> Documents {
        let mut text = String::from(
            "---\n{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: shop, \
             name: node}, spec: {host: true, addresses: [10.20.0.1, \"fd20::1\"]}}\n",
        );
        for (name, number, app) in self.workloads.iter().flatten() {
            text.push_str(&format!(
                "---\n{{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {{namespace: \
                 shop, name: {name}, labels: {{app: {app}}}}}, spec: {{addresses: [10.20.0.{number}, \
                 \"fd20::{number}\"]}}}}\n"
            ));
        }
        for policy in self.policies.iter().flatten() {
            text.push_str(policy);
        }
        Documents::new(&text)
    }
}

fn policy(random: &mut Random, place: usize) -> String {
    let subject = random.pick(&["{}", "{matchLabels: {app: db}}", "{matchLabels: {app: api}}"]);
    let peer = match random.below(4) {
        0 => "{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}".to_owned(),
        1 => "{ipBlock: {cidr: \"2001:db8::/32\"}}".to_owned(),
        _ => format!("{{podSelector: {{matchLabels: {{app: {}}}}}}}", random.pick(&APPS)),
    };
    let protocol = random.pick(&["TCP", "UDP"]);
    let first = 5_000 + random.below(20);
    let port = match random.below(3) {
        0 => format!("ports: [{{protocol: {protocol}, port: {first}, endPort: {}}}]", first + 100),
        1 => format!("ports: [{{protocol: {protocol}, port: {first}}}]"),
        _ => "ports: []".to_owned(),
    };
    let (kind, field, peers) = if random.below(2) == 0 {
        ("Ingress", "ingress", "from")
    } else {
        ("Egress", "egress", "to")
    };
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{namespace: shop, \
         name: p{place}}}, spec: {{podSelector: {subject}, policyTypes: [{kind}], {field}: \
         [{{{peers}: [{peer}], {port}}}]}}}}\n"
    )
}

fn without_config(contents: HostTables) -> HostTables {
    HostTables { config: Config::default(), ..contents }
}

#[test]
fn many_small_steps_end_where_one_ends() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let mut world = World::new();
    let mut documents = world.documents();
    let mut generation = host.apply(&documents).generation;
    assert_eq!(generation, 1);
    let mut ways = [0; 3];
    for change in 0..CHANGES {
        world.change();
        documents = world.documents();
        // This compares all maps with the desired state.
        let summary = host.apply(&documents);
        let grows = u32::from(summary.how != How::Nothing);
        assert_eq!(summary.generation, generation + grows, "change {change}: {summary:?}");
        assert_eq!(summary.touched == 0, summary.how == How::Nothing, "{summary:?}");
        generation = summary.generation;
        ways[summary.how as usize] += 1;
    }
    println!("{ways:?} times nothing, in place, switched");
    // Few of these changes are one store: most bring or take a kind of entries of an endpoint, which
    // stands at its hooks as well.
    assert!(ways[How::InPlace as usize] >= 1 && ways[How::Switched as usize] >= 10, "{ways:?}");
    let stepwise = without_config(host.contents());
    host.assert_verdicts(Some(&documents));
    host.off();
    assert_eq!(host.apply(&documents).generation, 1);
    assert_eq!(without_config(host.contents()), stepwise);
}
