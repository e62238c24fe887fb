//! One verdict from the oracle, the tables and the filter.

use arbitrary::Unstructured;
use ringfence_dataplane::backend::Arrival;
use ringfence_dataplane::compile::compile;

use super::policies;
use crate::agreement::{Host, Subject};

/// Flows that are asked about at most.
const FLOWS: usize = 32;

/// The bytes are policies, an inventory and flows. Each flow is asked about at the oracle, which
/// reads the policies; at the tables, which are compiled from them; and at the filter, as a frame at
/// every hook that has to decide it.
///
/// # Panics
///
/// When one of them allows what another denies, gives another reason, names a rule that did not
/// decide, or reports what another does not.
pub fn verdict(data: &[u8]) {
    let mut from = Unstructured::new(data);
    let Ok(set) = policies::policy_set(&mut from) else { return };
    let tables = compile(&set).expect("policies this small fit, and one workload is the host");
    let arrival = if from.arbitrary().unwrap_or(false) { Arrival::Xdp } else { Arrival::Tcx };
    let host = Host::of(&tables).seeing(arrival);
    let mut subject = Subject::on(host, &set, &tables);
    for _ in 0..FLOWS {
        if from.is_empty() {
            break;
        }
        let Ok(flow) = policies::flow(&mut from) else { break };
        if flow.source.is_ipv4() == flow.destination.is_ipv4()
            && let Err(found) = subject.ask(&flow)
        {
            panic!("{found}{set:#?}");
        }
    }
}
