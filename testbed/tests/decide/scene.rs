//! A host with a few workloads, and a filter that guards it.
//!
//! `web` sits behind interface 7 alone, `db` and `cache` share interface 8, `partner` is a workload
//! elsewhere, `office` a prefix, `stranger` nobody. Every workload is isolated both ways; what is
//! allowed is said by the test.

use std::net::IpAddr;

use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook, checks};
use ringfence_common::abi::identity::{AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{Direction, Endpoint, PolicyEntry, PolicyKey, action, forms};
use ringfence_common::decide::Outcome;
use ringfence_common::verdict::{Decision, Reason};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_testbed::packet::Frame;

pub use Direction::{Egress, Ingress};

/// An interface and a hook.
pub type At = (u32, Hook);
pub const FROM_WEB: At = (7, Hook::TcIngress);
pub const TO_WEB: At = (7, Hook::TcEgress);
pub const FROM_SHARED: At = (8, Hook::TcIngress);
pub const TO_SHARED: At = (8, Hook::TcEgress);
pub const FROM_UPLINK: At = (2, Hook::Xdp);
pub const TO_UPLINK: At = (2, Hook::TcEgress);

/// Both families.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Web,
    Db,
    Cache,
    Host,
    Partner,
    Office,
    Stranger,
}

use Who::{Cache, Db, Host, Office, Partner, Stranger, Web};

const EVERYONE: [Who; 7] = [Web, Db, Cache, Host, Partner, Office, Stranger];

impl Who {
    pub fn address(self, family: Family) -> IpAddr {
        let (v4, v6) = match self {
            Web => ("10.0.0.1", "fd00::1"),
            Db => ("10.0.0.2", "fd00::2"),
            Cache => ("10.0.0.3", "fd00::3"),
            Host => ("10.0.0.254", "fd00::fe"),
            Partner => ("10.0.9.9", "fd00:9::9"),
            Office => ("192.0.2.9", "2001:db8::9"),
            Stranger => ("198.51.100.1", "2001:db8:ffff::1"),
        };
        if family == Family::V4 { v4.parse().unwrap() } else { v6.parse().unwrap() }
    }

    /// The identity of its address, which is also its subject number.
    pub const fn identity(self) -> u32 {
        match self {
            Web => 1_000,
            Db => 1_001,
            Cache => 1_002,
            Host => 1_003,
            Partner => 1_009,
            Office => 2_000,
            Stranger => identity::WORLD,
        }
    }

    pub const fn endpoint(self) -> u32 {
        match self {
            Web => 300,
            Db => 301,
            Cache => 302,
            Host => endpoint::HOST,
            Partner | Office | Stranger => endpoint::NONE,
        }
    }
}

/// An IP packet between two of them.
pub fn between(source: Who, destination: Who, family: Family) -> Frame {
    Frame::ethernet().ip(source.address(family), destination.address(family))
}

pub struct Scene {
    pub tables: HostTables,
    filter: Filter,
    pub now: u32,
}

impl Scene {
    /// Every workload isolated, nothing allowed, the host open.
    pub fn locked() -> Self {
        let settings = Settings { report: 0, pick_up_seconds: 0, ..Settings::default() };
        let mut tables = HostTables {
            config: settings.config(Mode::Enforce, 1, 0, 0),
            attachments: attachments().into(),
            prefixes: [
                ("192.0.2.0/24".parse().unwrap(), Office.identity()),
                ("2001:db8::/48".parse().unwrap(), Office.identity()),
            ]
            .into(),
            ..HostTables::default()
        };
        for who in EVERYONE.into_iter().filter(|who| !matches!(who, Office | Stranger)) {
            let entry = AddressEntry { identity: who.identity(), endpoint: who.endpoint() };
            for family in FAMILIES {
                tables.addresses.insert(who.address(family), entry);
            }
        }
        for (who, ifindex) in [(Web, 7), (Db, 8), (Cache, 8), (Host, 0)] {
            let forms = if who == Host { 0 } else { !0 };
            let endpoint = Endpoint {
                subject: who.identity(),
                ifindex,
                ingress_forms: forms,
                egress_forms: forms,
                ..Endpoint::default()
            };
            tables.endpoints.insert(who.endpoint(), endpoint);
        }
        let filter = Filter::new(&tables);
        Self { tables, filter, now: 100 }
    }

    /// Adds the rule that `subject` may talk to (or be talked to by) `peer`. `port` is a single
    /// port, or `type << 8 | code`; `None` means every port of the protocol.
    pub fn allow(
        mut self,
        rule: u32,
        subject: Who,
        direction: Direction,
        peer: Who,
        protocol: u8,
        port: Option<u16>,
    ) -> Self {
        let service = match port {
            None => PolicyKey::any_port(direction, protocol),
            Some(port) => {
                let classes = self.tables.classes.entry(protocol).or_default();
                classes.extend([port, port + 1]);
                PolicyKey::service(direction, protocol, port)
            }
        };
        let key = PolicyKey { subject: subject.identity(), peer: peer.identity(), service };
        let entry = PolicyEntry { action: action::ALLOW, rule, ..PolicyEntry::default() };
        self.tables.policy.insert(key, entry);
        self.install();
        self
    }

    /// Isolates both directions of an endpoint, or neither.
    pub fn isolate(mut self, who: Who, isolated: bool) -> Self {
        let endpoint = self.tables.endpoints.get_mut(&who.endpoint()).unwrap();
        let closed = forms::ENFORCED | forms::ISOLATED;
        let bits = if isolated { !0 } else { !closed };
        (endpoint.ingress_forms, endpoint.egress_forms) = (bits, bits);
        self.install();
        self
    }

    pub fn configured(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.tables.config);
        self.install();
        self
    }

    /// Installs the tables as they are now, as the next generation.
    pub fn next_generation(&mut self) {
        self.tables.config.generation = self.tables.config.generation.wrapping_add(1);
        self.install();
    }

    fn install(&mut self) {
        self.filter.install(&self.tables);
    }

    pub fn outcome(&mut self, at: At, frame: &[u8]) -> Outcome {
        self.now = self.now.wrapping_add(1);
        self.filter.decide(frame, at.1, at.0, self.now)
    }

    pub fn see(&mut self, at: At, frame: &Frame) -> Decision {
        self.see_bytes(at, &frame.build())
    }

    pub fn see_bytes(&mut self, at: At, frame: &[u8]) -> Decision {
        self.outcome(at, frame).decision
    }

    /// Sees the frame and demands this decision.
    #[track_caller]
    pub fn expect(&mut self, at: At, frame: &Frame, expected: Decision, what: &str) {
        let decision = self.see(at, frame);
        assert_eq!(decision, expected, "{what}: {:?}", frame.layers());
    }

    pub fn flows(&self) -> usize {
        self.filter.flows()
    }

    pub fn fragmented_packets(&self) -> usize {
        self.filter.fragmented_packets()
    }
}

fn attachments() -> [(AttachmentKey, Attachment); 6] {
    let from_workload =
        checks::SOURCE_INSIDE | checks::WORKLOAD_EGRESS | checks::HOST_INGRESS | checks::NO_ROUTERS;
    let to_workload = checks::WORKLOAD_INGRESS | checks::HOST_EGRESS;
    let rows = [
        (FROM_WEB, from_workload, Web.endpoint()),
        (TO_WEB, to_workload, Web.endpoint()),
        (FROM_SHARED, from_workload, endpoint::UNKNOWN),
        (TO_SHARED, to_workload, endpoint::UNKNOWN),
        (FROM_UPLINK, checks::SOURCE_OUTSIDE | checks::HOST_INGRESS, endpoint::HOST),
        (TO_UPLINK, checks::HOST_EGRESS, endpoint::HOST),
    ];
    rows.map(|((ifindex, hook), checks, endpoint)| {
        (AttachmentKey { ifindex, hook: hook as u32 }, Attachment { checks, endpoint })
    })
}

pub const fn pass(reason: Reason) -> Decision {
    Decision::allow(reason, 0)
}

pub const fn by_rule(rule: u32) -> Decision {
    Decision::allow(Reason::Rule, rule)
}

pub const fn reply(rule: u32) -> Decision {
    Decision::allow(Reason::Reply, rule)
}

pub const fn established(rule: u32) -> Decision {
    Decision::allow(Reason::Established, rule)
}

pub const fn denied(reason: Reason) -> Decision {
    Decision::deny(reason, 0)
}
