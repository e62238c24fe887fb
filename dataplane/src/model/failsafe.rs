//! What of the host stays open whatever policy says (safety P4).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{
    Action, Direction, HOST_LABEL, NamespaceScope, Operator, Peers, Policy, PolicyName, PolicySet,
    PortMatch, PortRange, Ports, Protocol, Requirement, Rule, Selector, Tier, Workload,
};

/// Ports of the host itself that stay open to everyone, asked before all policy. They never
/// concern other workloads or what the host forwards, and they isolate nobody.
///
/// Nothing adds them by itself: whoever reads documents for a host adds them to the policies.
///
/// Written as `in:22/tcp,out:53/udp,out:67-68/udp`; `tcp/22` means the same as `22/tcp`, and `none`
/// is the empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failsafe {
    open: BTreeSet<OpenPorts>,
}

/// Ports that stay open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenPorts {
    /// Ingress: the host's own ports. Egress: those of others.
    pub direction: Direction,
    /// The protocol.
    pub protocol: Protocol,
    /// The ports.
    pub ports: PortRange,
}

/// Why a list of ports that stay open cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailsafeError {
    /// The item that is wrong.
    pub item: String,
}

impl fmt::Display for FailsafeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no port that stays open; write `in:` or `out:`, then a port or a range and \
             the protocol, as in `in:22/tcp,out:53/udp,out:67-68/udp`, or `none`",
            self.item
        )
    }
}

impl std::error::Error for FailsafeError {}

/// A way in for whoever looks after the host, and names and addresses for the host itself.
impl Default for Failsafe {
    fn default() -> Self {
        let range = |first, last| PortRange::new(first, last).expect("the ports are in order");
        Self::new([
            (Direction::Ingress, Protocol::Tcp, range(22, 22)),
            (Direction::Egress, Protocol::Udp, range(53, 53)),
            (Direction::Egress, Protocol::Udp, range(67, 68)),
        ])
    }
}

impl Failsafe {
    /// What failsafe policies are called.
    pub const KIND: &'static str = "failsafe";

    /// The list of `open`.
    pub fn new(open: impl IntoIterator<Item = (Direction, Protocol, PortRange)>) -> Self {
        let open = open.into_iter();
        let open =
            open.map(|(direction, protocol, ports)| OpenPorts { direction, protocol, ports });
        Self { open: open.collect() }
    }

    /// Nothing stays open.
    #[must_use]
    pub fn none() -> Self {
        Self { open: BTreeSet::new() }
    }

    /// The ports, in order.
    pub fn open(&self) -> impl Iterator<Item = OpenPorts> + '_ {
        self.open.iter().copied()
    }

    /// Adds to `set` the policy that keeps the ports open, for the directions of the host that
    /// policy says something about. Gives its name; nothing if there is nothing to keep open.
    pub fn add_to(&self, set: &mut PolicySet) -> Option<PolicyName> {
        let rules = |direction| match host_is_concerned(set, direction) {
            true => self.rules(direction),
            false => Vec::new(),
        };
        let (ingress, egress) = (rules(Direction::Ingress), rules(Direction::Egress));
        if ingress.is_empty() && egress.is_empty() {
            return None;
        }
        let exists = Requirement { key: HOST_LABEL.to_owned(), operator: Operator::Exists };
        let name = PolicyName {
            kind: Self::KIND.to_owned(),
            namespace: String::new(),
            name: "host".to_owned(),
        };
        set.policies.push(Policy {
            name: name.clone(),
            tier: Tier::Failsafe,
            priority: 0,
            subject_namespaces: NamespaceScope::Selected(Selector::everything()),
            subjects: Selector::new([exists]),
            isolates_ingress: false,
            isolates_egress: false,
            ingress,
            egress,
        });
        set.policies.sort_by(|a, b| a.name.cmp(&b.name));
        Some(name)
    }

    /// One rule for each item, so that each is counted and named by itself.
    fn rules(&self, direction: Direction) -> Vec<Rule> {
        let open = self.open().filter(|open| open.direction == direction);
        let rule = |open: OpenPorts| Rule {
            action: Action::Allow,
            peers: Peers::Everyone,
            ports: Ports::Any(vec![PortMatch::Range(open.protocol, open.ports)]),
            origin: Some(format!("{} {open}", Self::KIND)),
        };
        open.map(rule).collect()
    }
}

/// Whether a policy says something about `direction` of the host.
fn host_is_concerned(set: &PolicySet, direction: Direction) -> bool {
    let selects = |policy: &Policy, host: &Workload| {
        let namespace = set.inventory.namespace(&host.name.namespace);
        let in_scope = namespace
            .is_some_and(|one| policy.subject_namespaces.contains(one.name(), one.labels()));
        in_scope && policy.subjects.matches(&host.labels)
    };
    let speaks =
        |policy: &Policy| policy.isolates(direction) || !policy.rules(direction).is_empty();
    let mut hosts = set.inventory.workloads().filter(|workload| workload.host);
    hosts.any(|host| set.policies.iter().any(|policy| speaks(policy) && selects(policy, host)))
}

/// `in:22/tcp`, `out:67-68/udp`.
impl fmt::Display for OpenPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Ingress => "in",
            Direction::Egress => "out",
        };
        write!(f, "{direction}:{}/{}", self.ports, self.protocol.to_string().to_lowercase())
    }
}

impl fmt::Display for Failsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.open.is_empty() {
            return f.write_str("none");
        }
        for (index, open) in self.open.iter().enumerate() {
            write!(f, "{}{open}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for OpenPorts {
    type Err = FailsafeError;

    fn from_str(text: &str) -> Result<Self, FailsafeError> {
        let read = || {
            let (direction, service) = text.split_once(':')?;
            let direction = match direction {
                "in" => Direction::Ingress,
                "out" => Direction::Egress,
                _ => return None,
            };
            let (first, second) = service.split_once('/')?;
            let (protocol, ports) = match (protocol(first), protocol(second)) {
                (Some(protocol), None) => (protocol, second),
                (None, Some(protocol)) => (protocol, first),
                _ => return None,
            };
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let ports = PortRange::new(port(first)?, port(last)?)?;
            Some(Self { direction, protocol, ports })
        };
        read().ok_or_else(|| FailsafeError { item: text.to_owned() })
    }
}

impl FromStr for Failsafe {
    type Err = FailsafeError;

    fn from_str(text: &str) -> Result<Self, FailsafeError> {
        if text.trim() == "none" {
            return Ok(Self::none());
        }
        let items = text.split(',').map(|item| item.trim().parse());
        Ok(Self { open: items.collect::<Result<_, _>>()? })
    }
}

fn protocol(text: &str) -> Option<Protocol> {
    let is = |protocol: &Protocol| protocol.to_string().eq_ignore_ascii_case(text);
    Protocol::ALL.into_iter().find(is)
}

/// A port in digits alone; 0 is no port that anybody could keep open.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Namespace, WorkloadName};

    #[test]
    fn a_list_is_read_in_either_order_and_written_in_one() {
        let default = Failsafe::default();
        assert_eq!(default.to_string(), "in:22/tcp,out:53/udp,out:67-68/udp");
        assert_eq!(default.to_string().parse(), Ok(default.clone()));
        assert_eq!("out:udp/67-68, in:tcp/22,out:53/UDP".parse(), Ok(default));
        assert_eq!("none".parse(), Ok(Failsafe::none()));
        assert_eq!(Failsafe::none().to_string(), "none");
        assert_eq!("in:1-65535/sctp".parse::<Failsafe>().unwrap().open().count(), 1);
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_item() {
        for (list, item) in [
            ("", ""),
            ("22/tcp", "22/tcp"),
            ("in:22/tcp,", ""),
            ("in:22", "in:22"),
            ("in:0/tcp", "in:0/tcp"),
            ("in:+22/tcp", "in:+22/tcp"),
            ("in:23-22/tcp", "in:23-22/tcp"),
            ("in:65536/tcp", "in:65536/tcp"),
            ("in:22/tcp,inn:23/tcp", "inn:23/tcp"),
            ("out:echo/icmp", "out:echo/icmp"),
            ("in:tcp/udp", "in:tcp/udp"),
            ("none,in:22/tcp", "none"),
        ] {
            let expected = Err(FailsafeError { item: item.to_owned() });
            assert_eq!(list.parse::<Failsafe>(), expected, "{list}");
        }
    }

    fn set(host: bool, isolates: [bool; 2]) -> PolicySet {
        let mut set = PolicySet::default();
        set.inventory.add_namespace(Namespace::new("infra", Labels::new()));
        let workload = Workload {
            name: WorkloadName::new("infra", "node"),
            labels: Labels::new(),
            addresses: Vec::new(),
            ports: Vec::new(),
            interface: None,
            host,
        };
        set.inventory.add_workload(workload).expect("the inventory is empty");
        set.policies.push(Policy {
            name: PolicyName { kind: "p".into(), namespace: "infra".into(), name: "p".into() },
            tier: Tier::Developer,
            priority: 0,
            subject_namespaces: NamespaceScope::Named("infra".into()),
            subjects: Selector::everything(),
            isolates_ingress: isolates[0],
            isolates_egress: isolates[1],
            ingress: Vec::new(),
            egress: Vec::new(),
        });
        set
    }

    #[test]
    fn only_directions_of_the_host_that_policy_speaks_of_are_kept_open() {
        for (host, isolates, expected) in [
            (true, [true, true], Some([1, 2])),
            (true, [true, false], Some([1, 0])),
            (true, [false, true], Some([0, 2])),
            (true, [false, false], None),
            (false, [true, true], None),
        ] {
            let mut set = set(host, isolates);
            let name = Failsafe::default().add_to(&mut set);
            let added = set.policies.iter().find(|policy| Some(&policy.name) == name.as_ref());
            let rules = added.map(|policy| [policy.ingress.len(), policy.egress.len()]);
            assert_eq!(rules, expected, "host {host}, isolated {isolates:?}");
            if let Some(policy) = added {
                assert!(!policy.isolates_ingress && !policy.isolates_egress);
                assert_eq!(policy.name.to_string(), "failsafe/host");
            }
        }
        let mut set = set(true, [true, true]);
        assert_eq!(Failsafe::none().add_to(&mut set), None);
        assert_eq!(set.policies.len(), 1);
    }
}
