//! One verdict from the oracle, the tables and the filter.

use std::net::IpAddr;

use arbitrary::Unstructured;
use ringfence_common::abi::config::Hook;
use ringfence_common::abi::identity::endpoint;
use ringfence_common::track::ticks;
use ringfence_common::verdict::{Decision, Reason};
use ringfence_dataplane::backend::Arrival;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::compile::{Answers, Tables, compile};
use ringfence_dataplane::model::PolicySet;
use ringfence_dataplane::oracle::{Flow, Oracle, Side};

use super::home::{Home, UPLINK};
use super::policies;
use crate::packet::first_packet;

/// Flows that are asked about at most.
const FLOWS: usize = 32;

/// Ports from which DHCP comes and to which it goes: essential traffic, of which policy is not asked.
const DHCP: [u16; 4] = [67, 68, 546, 547];

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
    let home = Home::new(&tables, arrival);
    let mut question = Question {
        set: &set,
        tables: &tables,
        answers: Answers::new(&tables),
        filter: Filter::new(&home.tables),
        home,
    };
    for _ in 0..FLOWS {
        if from.is_empty() {
            break;
        }
        let Ok(flow) = policies::flow(&mut from) else { break };
        if flow.source.is_ipv4() == flow.destination.is_ipv4() {
            question.ask(&flow);
        }
    }
}

struct Question<'a> {
    set: &'a PolicySet,
    tables: &'a Tables,
    answers: Answers<'a>,
    home: Home,
    filter: Filter,
}

impl Question<'_> {
    fn ask(&mut self, flow: &Flow) {
        let truth = Oracle::new(self.set).decide(flow);
        let port = flow.port.unwrap_or(0);
        let sides = self.answers.ask(flow.source, flow.destination, flow.protocol, port);
        self.compare("tables, egress", flow, &truth.egress, sides.egress);
        self.compare("tables, ingress", flow, &truth.ingress, sides.ingress);
        if flow.port.is_some_and(|port| DHCP.contains(&port)) {
            return;
        }
        let Some(frame) = first_packet(flow) else { return };
        for (hook, ifindex, sides) in self.places(flow) {
            let decided = sides.iter().find(|egress| !side(&truth, **egress).allowed);
            let Some(egress) = decided.or(sides.last()) else { continue };
            self.filter.clear();
            let outcome = self.filter.decide(&frame, hook, ifindex, ticks(10));
            let place = format!("filter, {hook:?} of interface {ifindex}");
            self.compare(&place, flow, side(&truth, *egress), outcome.decision);
        }
    }

    /// Where a flow is seen, and which sides each place decides, egress (true) before ingress.
    fn places(&self, flow: &Flow) -> Vec<(Hook, u32, Vec<bool>)> {
        let (from, to) = (self.owner(flow.source), self.owner(flow.destination));
        if from == endpoint::HOST && to == endpoint::HOST {
            return Vec::new();
        }
        let workload = |number| number != endpoint::NONE && number != endpoint::HOST;
        let interface = |number| self.home.interface(number);
        let mut places = Vec::new();
        if workload(from) {
            let host = (to == endpoint::HOST).then_some(false);
            let sides = [true].into_iter().chain(host).collect();
            places.push((self.home.arrival, interface(from), sides));
        }
        if workload(to) {
            let host = (from == endpoint::HOST).then_some(true);
            let sides = host.into_iter().chain([false]).collect();
            places.push((Hook::TcEgress, interface(to), sides));
        }
        if from == endpoint::NONE && to == endpoint::HOST {
            places.push((self.home.arrival, UPLINK, vec![false]));
        }
        if from == endpoint::HOST && to == endpoint::NONE {
            places.push((Hook::TcEgress, UPLINK, vec![true]));
        }
        places
    }

    fn owner(&self, address: IpAddr) -> u32 {
        self.home.tables.addresses.get(&address).map_or(endpoint::NONE, |entry| entry.endpoint)
    }

    fn compare(&self, who: &str, flow: &Flow, truth: &Side, decision: Decision) {
        let rule = self.tables.rules.get(&decision.rule).map(|rule| rule.name.as_str());
        let rules: Vec<String> = truth.rules.iter().map(ToString::to_string).collect();
        let essential = matches!(truth.reason, Reason::SelfTraffic | Reason::HostToWorkload);
        let agrees = decision.passes() == truth.allowed
            && decision.reason == truth.reason
            && rule.is_some() == (decision.rule != 0)
            && rule.map_or(rules.is_empty(), |rule| rules.iter().any(|one| one == rule))
            && (essential || decision.log == truth.logged);
        assert!(
            agrees,
            "{who}: {decision:?} by {rule:?}, but the oracle says {truth:?} about {flow:?} in\n{:#?}",
            self.set
        );
    }
}

fn side(answer: &ringfence_dataplane::oracle::Answer, egress: bool) -> &Side {
    if egress { &answer.egress } else { &answer.ingress }
}
