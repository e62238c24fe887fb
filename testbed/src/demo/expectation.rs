//! What must come of each question, from the policy's own text.

use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::{Flow, Oracle};

use crate::connectivity::Probe;
use crate::topology::Place;

/// Answers from the oracle, which reads the policies and never sees a compiled table.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    oracle: Oracle<'a>,
    places: &'a [Place],
}

impl<'a> Expectation<'a> {
    /// Expectations of probes between `places` under `policies`.
    #[must_use]
    pub fn new(policies: &'a PolicySet, places: &'a [Place]) -> Self {
        Self { oracle: Oracle::new(policies), places }
    }

    /// Whether policy allows the flow that `probe` opens; there is none between places of
    /// different families.
    #[must_use]
    pub fn allows(&self, probe: &Probe) -> bool {
        let address = |place: usize| self.places[place].address(probe.family);
        let (Some(source), Some(destination)) = (address(probe.source), address(probe.destination))
        else {
            return false;
        };
        let protocol = probe.transport.number();
        let flow = Flow { source, destination, protocol, port: Some(probe.port) };
        self.oracle.decide(&flow).allowed()
    }
}
