//! Rule chains as a backend: tables become text, the text is read back and walked
//! ([`crate::chain_eval`]).
//!
//! Every interface keeps its own view of connections, as if it were the only one of this host on
//! the packet's way: an end decides by itself. Non-IP frames never meet a chain, so switching them
//! off means nothing here.
//!
//! The time at which a case begins is always the same.

pub mod reading;
pub mod texts;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use ringfence_common::abi::config::essential;
use ringfence_common::verdict::Verdict;
use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::{Desired, Mode, Role, Settings};
use ringfence_dataplane::model::{Direction, PolicySet};

use self::reading::{Connection, Question, is_picked_up};
use super::backend::{Answer, At, Backend, BackendName, Said, SuiteError, Way};
use super::host::Host;
use crate::case::{Case, Place};
use crate::chain_eval::conntrack::{self, Conntrack, State as Ct, Tracked};
use crate::chain_eval::hooks::{self, Side, hook_of};
use crate::chain_eval::packet::{self, FRAGMENT, Packet, flags, protocol};
use crate::chain_eval::{Hook, Ruleset, Seen};

/// The uplink's number; workloads have those after it.
const UPLINK: u32 = 1;

/// The uplink's name.
const UPLINK_NAME: &str = "uplink";

/// When cases begin, in seconds since the epoch: 2026-01-01, 00:00 UTC.
const BEGINNING: u64 = 1_767_225_600;

/// What is left of cases that a tool has no words for.
pub type Failed = Box<dyn Error + Send + Sync>;

/// Makes text of a plan and reads it.
pub type Rendered = fn(&Plan) -> Result<Box<dyn Ruleset>, Failed>;

/// A host whose rules are text.
pub struct Chains {
    backend: BackendName,
    render: Rendered,
    state: Option<State>,
}

struct State {
    host: Host,
    case: String,
    place: Place,
    settings: Settings,
    mode: Mode,
    rules: Box<dyn Ruleset>,
    /// Workload → interface.
    names: BTreeMap<String, String>,
    host_addresses: Vec<IpAddr>,
    /// By interface.
    views: BTreeMap<String, View>,
    passed: Duration,
}

/// The connections of one interface.
#[derive(Default)]
struct View {
    conntrack: Conntrack,
    /// By their numbers.
    connections: BTreeMap<u32, Connection>,
    /// Whether fragments were seen, whose connections nobody knows.
    has_missed: bool,
}

/// Why what follows fragments is not certain.
const MISSED: &str = "frames before it were fragments, which no chain sees before they are whole";

/// Why sources and destinations that no wire may carry can pass where packets leave.
const LEAVES: &str = "addresses that no wire may carry are refused where packets arrive";

impl Chains {
    pub fn new(backend: BackendName, render: Rendered) -> Self {
        Self { backend, render, state: None }
    }
}

impl Backend for Chains {
    fn begin(&mut self, case: &Case) -> Result<(), SuiteError> {
        let mut settings = case.settings;
        settings.essential |= essential::NON_IP;
        let seconds = u64::from(settings.pick_up_seconds);
        settings.pick_up_until = (seconds > 0).then_some(BEGINNING + seconds);
        let hosts = case.policies.inventory.workloads().filter(|workload| workload.host);
        let mut state = State {
            host: Host::new(case, Way::Tc),
            case: case.name.clone(),
            place: case.place.clone(),
            settings,
            mode: case.mode,
            rules: Box::new(NoRules),
            names: BTreeMap::new(),
            host_addresses: hosts.flat_map(|host| host.addresses.iter().copied()).collect(),
            views: BTreeMap::new(),
            passed: Duration::ZERO,
        };
        state.install(&case.policies, self.backend, self.render)?;
        self.state = Some(state);
        Ok(())
    }

    fn forget(&mut self) -> Result<(), SuiteError> {
        if let Some(state) = &mut self.state {
            state.views.clear();
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), SuiteError> {
        if let Some(state) = &mut self.state {
            state.passed += time;
            state.views.values_mut().for_each(|view| view.conntrack.wait(time));
        }
        Ok(())
    }

    fn apply(&mut self, policies: &PolicySet) -> Result<(), SuiteError> {
        if let Some(state) = &mut self.state {
            state.install(policies, self.backend, self.render)?;
            match state.mode {
                Mode::Enforce if !state.settings.keep_established => state.revoke(),
                Mode::Enforce => {}
                Mode::Audit => {
                    let views = state.views.values_mut();
                    let known = views.flat_map(|view| view.connections.values_mut());
                    known.for_each(|connection| connection.audited = true);
                }
            }
        }
        Ok(())
    }

    fn see(
        &mut self,
        at: At<'_>,
        direction: Direction,
        frame: &[u8],
    ) -> Result<Answer, SuiteError> {
        let state = self.state.as_mut().ok_or(SuiteError::NoCase)?;
        let name = state.name(at)?;
        let view = state.views.entry(name.clone()).or_default();
        let packet = match Packet::read(frame) {
            Ok(packet) => packet,
            Err(unseen) => {
                view.has_missed |= unseen == FRAGMENT;
                return Ok(Answer::Inapplicable(unseen.0));
            }
        };
        let side = if at.arrives(direction) { Side::Arrives(&name) } else { Side::Leaves(&name) };
        let hook = hook_of(&packet, side, &state.host_addresses);
        let leaves = matches!(side, Side::Leaves(_)) && hook != Hook::Output;
        if let Some(unseen) = hooks::unrouted(&packet).filter(|_| leaves) {
            return Ok(Answer::Inapplicable(unseen.0));
        }
        let is_odd = is_reserved(packet.destination) && leaves;
        let limit = packet::oddity(&frame[14..], packet.is_v6())
            .or(is_odd.then_some(LEAVES))
            .or(view.has_missed.then_some(MISSED));
        let now = time(state.passed);
        let asked = Asked { rules: &*state.rules, addresses: &state.host_addresses, now };
        let said = view.see(&asked, &packet, (side, at), limit);
        let backend = self.backend;
        Ok(Answer::Said(said.map_err(|comment| SuiteError::Unmarked { backend, comment })?))
    }
}

impl View {
    fn see(
        &mut self,
        host: &Asked<'_>,
        packet: &Packet,
        (side, at): (Side<'_>, At<'_>),
        limit: Option<&'static str>,
    ) -> Result<Said, String> {
        let Asked { rules, addresses, now } = *host;
        let walked = hooks::walk(rules, &mut self.conntrack, packet, side, addresses, now);
        let tracked = walked.tracked;
        let number = tracked.and_then(|tracked| tracked.connection);
        let connection = number.and_then(|number| self.connections.get(&number));
        let hook = hook_of(packet, side, addresses);
        let question = Question { walked: &walked, packet, at, hook, connection, limit };
        let said = reading::read(&question)?;
        if let (Some(number), Some(tracked)) = (number, tracked) {
            let connection = self.connections.entry(number).or_insert_with(|| Connection {
                arrived: matches!(side, Side::Arrives(_)),
                picked_up: is_picked_up(packet, &tracked),
                ..Connection::default()
            });
            connection.audited |= said.verdict == Verdict::Audit;
            connection.rules.clone_from(&said.rules);
        }
        Ok(said)
    }
}

/// What a packet is asked against.
#[derive(Clone, Copy)]
struct Asked<'s> {
    rules: &'s dyn Ruleset,
    addresses: &'s [IpAddr],
    now: Timestamp,
}

impl State {
    fn install(
        &mut self,
        policies: &PolicySet,
        backend: BackendName,
        render: Rendered,
    ) -> Result<(), SuiteError> {
        let desired = self.host.desired(policies, numbers)?;
        let desired = self.named(desired);
        self.rules = render(&Plan::of(&desired)).map_err(|source| SuiteError::Text {
            backend,
            place: self.place.clone(),
            case: self.case.clone(),
            source,
        })?;
        Ok(())
    }

    /// The state with names that interfaces can have.
    fn named(&mut self, mut desired: Desired) -> Desired {
        for interface in &mut desired.interfaces {
            let name = match interface.role {
                Role::Uplink => UPLINK_NAME.to_owned(),
                Role::Workload => format!("wl{}", interface.index - UPLINK - 1),
            };
            let workload = std::mem::replace(&mut interface.name, name.clone());
            self.names.insert(workload, name);
        }
        Desired { settings: self.settings, ..desired }
    }

    fn name(&self, at: At<'_>) -> Result<String, SuiteError> {
        let At::Workload(name) = at else { return Ok(UPLINK_NAME.to_owned()) };
        let name = name.to_string();
        self.names.get(&name).cloned().ok_or(SuiteError::Nowhere(name))
    }

    /// Deletes the connections that the new rules refuse, as the engine does after it has applied
    /// them (semantics 3): each is asked about as if it were opened now.
    fn revoke(&mut self) {
        let now = time(self.passed);
        let Self { rules, views, host_addresses: host, .. } = self;
        for (name, View { conntrack, connections, .. }) in views {
            conntrack.delete(|opening, number| {
                let arrives = connections.get(&number).is_some_and(|known| known.arrived);
                let side = if arrives { Side::Arrives(name) } else { Side::Leaves(name) };
                let (input, output) = match side {
                    Side::Arrives(name) => (Some(name), None),
                    Side::Leaves(name) => (None, Some(name)),
                };
                let tracked = Tracked {
                    state: Ct::New,
                    direction: Some(conntrack::Direction::Original),
                    ..Tracked::UNASKED
                };
                let packet = &as_opener(opening);
                let hook = hook_of(packet, side, host);
                rules.verdict(&Seen { hook, packet, tracked, input, output, host, now }).dropped
            });
        }
    }
}

/// The packet as one that opens its connection: TCP that was picked up in the middle did not.
fn as_opener(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    if packet.protocol == Some(protocol::TCP)
        && let Some(bits) = packet.transport.get_mut(13)
    {
        *bits = flags::SYN;
    }
    packet
}

/// A host without rules.
struct NoRules;

impl Ruleset for NoRules {
    fn verdict(&self, _: &Seen<'_>) -> crate::chain_eval::Verdict {
        crate::chain_eval::Verdict::default()
    }
}

/// The time at which a case is when `passed` has passed.
fn time(passed: Duration) -> Timestamp {
    let seconds = BEGINNING + passed.as_secs();
    Timestamp::from_second(seconds as i64).expect("cases end within a few years of 2026")
}

/// Whether an IPv6 destination is `::` or embeds IPv4 (RFC 4291 §2.5).
fn is_reserved(address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    address.is_unspecified() || address.to_ipv4_mapped().is_some()
}

fn numbers(count: usize) -> Result<(u32, Vec<u32>), SuiteError> {
    Ok((UPLINK, (0..count as u32).map(|place| UPLINK + 1 + place).collect()))
}
