//! What the oracle says about sequences written by hand: what is written here was not made by any
//! program.

use std::time::Duration;

use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::{Direction, PolicySet, WorkloadName};
use ringfence_dataplane::oracle::{Connections, Essential, Established, Mode, Reason, Settings};
use ringfence_testbed::packet::{Frame, quote};

use Direction::{Egress, Ingress};

/// `web` takes TCP port 443 from everyone and asks `dns` by UDP port 53; nothing else is allowed.
const DOCUMENTS: &str = "
apiVersion: ringfence.dev/v1alpha1
kind: Workload
metadata: { namespace: shop, name: web, labels: { app: web } }
spec: { addresses: [10.1.0.1] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Workload
metadata: { namespace: shop, name: dns, labels: { app: dns } }
spec: { addresses: [10.1.0.2] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { namespace: shop, name: web }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress, Egress]
  ingress: [{ ports: [{ port: 443 }] }]
  egress: [{ to: [{ podSelector: { matchLabels: { app: dns } } }], ports: [{ protocol: UDP, port: 53 }] }]
";

const INGRESS_RULE: &str = "networkpolicy/shop/web ingress[0]";

fn policies() -> PolicySet {
    let input = Input::Text { name: "by-hand.yaml".to_owned(), text: DOCUMENTS.to_owned() };
    let report = document::read(&[input], Validation::Strict);
    report.policies.clone().unwrap_or_else(|| panic!("{}", report.render(false)))
}

/// The oracle at `web`, and the clock.
struct Web {
    oracle: Connections,
    now: Duration,
}

impl Web {
    fn new(settings: Settings) -> Self {
        Self { oracle: Connections::new(&policies(), settings), now: Duration::ZERO }
    }

    #[track_caller]
    fn sees(&mut self, direction: Direction, frame: &Frame, expected: Reason) {
        self.sees_bytes(direction, &frame.build(), expected);
    }

    #[track_caller]
    fn sees_bytes(&mut self, direction: Direction, frame: &[u8], expected: Reason) {
        let web = WorkloadName::new("shop", "web");
        let seen = self.oracle.see(&web, direction, frame, self.now);
        assert_eq!(seen.reason, expected, "{seen:?}");
    }

    fn after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

/// From the client to `web`, and back.
fn to() -> Frame {
    ip("192.0.2.1", "10.1.0.1").tcp(40_000, 443)
}

fn back() -> Frame {
    ip("10.1.0.1", "192.0.2.1").tcp(443, 40_000)
}

fn ip(source: &str, destination: &str) -> Frame {
    Frame::ethernet().ip(source.parse().unwrap(), destination.parse().unwrap())
}

fn handshake() -> Web {
    let mut web = Web::new(Settings::default());
    web.sees(Ingress, &to().sequence(100).syn(), Reason::Rule);
    web.sees(Egress, &back().sequence(500).syn().ack(101), Reason::Reply);
    web.sees(Ingress, &to().sequence(101).ack(501), Reason::Established);
    web
}

#[test]
fn a_connection_passes_both_ways_and_names_its_rule() {
    let mut web = handshake();
    let name = WorkloadName::new("shop", "web");
    let data = back().sequence(501).ack(101).payload(9).build();
    let seen = web.oracle.see(&name, Egress, &data, web.now);
    let rules: Vec<String> = seen.rules.iter().map(ToString::to_string).collect();
    assert_eq!((seen.reason, rules.as_slice()), (Reason::Reply, &[INGRESS_RULE.to_owned()][..]));
}

#[test]
fn a_handshake_that_is_not_answered_is_forgotten() {
    for (seconds, expected) in [(120, Reason::Established), (121, Reason::Rule)] {
        let mut web = Web::new(Settings::default());
        web.sees(Ingress, &to().sequence(100).syn(), Reason::Rule);
        web.after(seconds);
        web.sees(Ingress, &to().sequence(100).syn(), expected);
        web.sees(Ingress, &to().sequence(101).ack(1), Reason::InvalidTransition);
    }
}

#[test]
fn resets_end_a_connection_in_the_window_alone() {
    let mut web = handshake();
    web.sees(Ingress, &to().sequence(90_000).rst(), Reason::OutOfWindow);
    web.sees(Ingress, &to().sequence(101).ack(501).payload(1), Reason::Established);
    web.sees(Ingress, &to().sequence(102).rst(), Reason::Established);
    web.sees(Egress, &back().sequence(501).ack(102), Reason::InvalidTransition);
    web.sees(Ingress, &to().sequence(9).syn(), Reason::Rule);
}

#[test]
fn a_syn_opens_the_ports_again_after_both_fins_and_not_before() {
    let mut web = handshake();
    web.sees(Ingress, &to().sequence(101).ack(501).fin(), Reason::Established);
    web.sees(Ingress, &to().sequence(70_000).syn(), Reason::Established);
    web.sees(Egress, &back().sequence(501).ack(102).fin(), Reason::Reply);
    web.sees(Ingress, &to().sequence(70_000).syn(), Reason::Rule);
}

#[test]
fn what_no_connection_is_for_is_denied_but_in_the_pick_up_window() {
    let mut web = Web::new(Settings::default());
    web.sees(Egress, &back().ack(1), Reason::NoConnection);
    let mut web = Web::new(Settings { pick_up: Duration::from_secs(60), ..Settings::default() });
    web.after(59);
    web.sees(Egress, &back().ack(1), Reason::PickedUp);
    web.sees(Ingress, &to().ack(1), Reason::Established);
    web.after(1);
    web.sees(Egress, &ip("10.1.0.1", "192.0.2.2").tcp(443, 9).ack(1), Reason::NoConnection);
}

#[test]
fn datagrams_are_answered_until_they_fall_silent() {
    let question = ip("10.1.0.1", "10.1.0.2").udp(9_000, 53);
    let answer = ip("10.1.0.2", "10.1.0.1").udp(53, 9_000);
    let mut web = Web::new(Settings::default());
    web.sees(Ingress, &answer, Reason::NoRule);
    web.sees(Egress, &question, Reason::Rule);
    web.after(30);
    web.sees(Ingress, &answer, Reason::Reply);
    web.after(120);
    web.sees(Egress, &question, Reason::Established);
    web.after(121);
    web.sees(Ingress, &answer, Reason::NoRule);
}

#[test]
fn errors_are_about_what_their_receiver_has_sent() {
    let question = ip("10.1.0.1", "10.1.0.2").udp(9_000, 53).payload(20);
    let quoted = quote(&question.build(), 28);
    let error = |quoted: &[u8]| ip("198.51.100.9", "10.1.0.1").too_big(1_280, quoted);
    let mut web = Web::new(Settings::default());
    web.sees(Ingress, &error(&quoted), Reason::Unrelated);
    web.sees(Egress, &question, Reason::Rule);
    web.sees(Ingress, &error(&quoted), Reason::Related);
    web.sees(Ingress, &error(&quoted[..27]), Reason::MalformedEmbedded);
    let turned = quote(&ip("10.1.0.2", "10.1.0.1").udp(53, 9_000).build(), 28);
    web.sees(Ingress, &error(&turned), Reason::Unrelated);
    let off = [Essential::RelatedErrors].into();
    let mut web = Web::new(Settings { essential_off: off, ..Settings::default() });
    web.sees(Egress, &question, Reason::Rule);
    web.sees(Ingress, &error(&quoted), Reason::EssentialOff);
}

#[test]
fn policy_that_changes_reaches_the_next_packet_unless_connections_are_kept() {
    let closed = PolicySet {
        policies: policies()
            .policies
            .into_iter()
            .map(|mut policy| {
                policy.ingress.clear();
                policy
            })
            .collect(),
        ..policies()
    };
    let data = to().sequence(101).ack(501).payload(1);
    let mut web = handshake();
    web.oracle.replace(&closed);
    web.sees(Ingress, &data, Reason::Revoked);
    web.sees(Ingress, &data, Reason::Revoked);
    web.sees(Egress, &back().sequence(501).ack(101), Reason::Revoked);

    let keep = Settings { established: Established::Keep, ..Settings::default() };
    let mut web = Web::new(keep);
    web.sees(Ingress, &to().sequence(100).syn(), Reason::Rule);
    web.oracle.replace(&closed);
    web.sees(Egress, &back().sequence(500).syn().ack(101), Reason::Reply);
}

#[test]
fn audit_tells_what_the_first_packet_would_have_been_denied_for() {
    use ringfence_dataplane::oracle::Verdict;
    let mut web = Web::new(Settings { mode: Mode::Audit, ..Settings::default() });
    let name = WorkloadName::new("shop", "web");
    let ssh = ip("192.0.2.1", "10.1.0.1").tcp(40_000, 22).sequence(1).syn();
    let answer = ip("10.1.0.1", "192.0.2.1").tcp(22, 40_000).sequence(8).syn().ack(2);
    for (direction, frame) in [(Ingress, ssh), (Egress, answer)] {
        let seen = web.oracle.see(&name, direction, &frame.build(), web.now);
        assert_eq!((seen.verdict, seen.reason), (Verdict::Audit, Reason::NoRule));
    }
}

#[test]
fn later_fragments_follow_their_first() {
    let pieces = ip("10.1.0.1", "10.1.0.2").udp(9_000, 53).payload(40).fragments(7, 16);
    let mut web = Web::new(Settings::default());
    web.sees_bytes(Egress, &pieces[1], Reason::UnknownFragment);
    web.sees_bytes(Egress, &pieces[0], Reason::Rule);
    web.sees_bytes(Egress, &pieces[2], Reason::Fragment);
    web.sees_bytes(Ingress, &pieces[1], Reason::UnknownFragment);
    web.sees_bytes(Egress, &pieces[2], Reason::OverlappingFragment);
    web.sees_bytes(Egress, &pieces[1], Reason::OverlappingFragment);
    web.after(31);
    web.sees_bytes(Egress, &pieces[1], Reason::UnknownFragment);
}

#[test]
fn nobody_knows_an_interface_that_is_not_there_and_sources_are_checked() {
    let mut web = Web::new(Settings::default());
    let frame = to().syn().build();
    let nowhere = WorkloadName::new("shop", "ghost");
    let seen = web.oracle.see(&nowhere, Ingress, &frame, web.now);
    assert_eq!(seen.reason, Reason::UnknownInterface);
    web.sees(Egress, &to().syn(), Reason::Spoofed);
    web.sees(Egress, &ip("127.0.0.1", "10.1.0.2").udp(1, 53), Reason::Martian);
    web.sees_bytes(Egress, &frame[..13], Reason::TruncatedEthernet);
}
