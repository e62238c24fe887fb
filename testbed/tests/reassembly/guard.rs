//! The filter before the receiver.

use ringfence_common::abi::config::Hook;
use ringfence_common::track::ticks;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::backend::{Arrival, Desired};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document::{self, Input, Validation};

const RECEIVER: &str = "lab/receiver";

/// The sender may reach one UDP port, the trusted one everything.
const POLICIES: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Workload
metadata: { namespace: lab, name: receiver }
spec: { addresses: [10.9.0.2, "fd09::2"] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { namespace: lab, name: one-port }
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - from: [{ ipBlock: { cidr: 10.9.0.1/32 } }, { ipBlock: { cidr: "fd09::1/128" } }]
      ports: [{ protocol: UDP, port: 5300 }]
    - from: [{ ipBlock: { cidr: 10.9.0.3/32 } }, { ipBlock: { cidr: "fd09::3/128" } }]
"#;

pub struct Guard {
    filter: Filter,
    ifindex: u32,
}

impl Guard {
    pub fn new() -> Self {
        let input = Input::Text { name: "lab.yaml".to_owned(), text: POLICIES.to_owned() };
        let report = document::read(&[input], Validation::Strict);
        let Some(policies) = &report.policies else { panic!("{}", report.render(false)) };
        let tables = compile(policies).expect("the policies compile");
        let mut desired = Desired::all_local(tables, Arrival::Tcx, 1, |_| 2);
        let ifindex = desired.interface_of(RECEIVER).expect("the receiver is described").index;
        desired.settings.pick_up_seconds = 0;
        let tables = desired.host_tables(desired.config(1, 0, 0));
        Self { filter: Filter::new(&tables), ifindex }
    }

    /// Whether a frame may go to the receiver.
    pub fn passes(&mut self, frame: &[u8]) -> bool {
        let outcome = self.filter.decide(frame, Hook::TcEgress, self.ifindex, ticks(10));
        outcome.decision.passes()
    }
}
