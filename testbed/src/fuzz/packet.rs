//! Any frames, at any hook of any interface.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use ringfence_common::abi::config::{Hook, essential, flags};
use ringfence_common::abi::limits;
use ringfence_common::decide::Outcome;
use ringfence_common::packet::{Packet, PacketRead as _, parse, parse_embedded};
use ringfence_common::track::ticks;
use ringfence_common::verdict::{Reason, Verdict};
use ringfence_dataplane::backend::host::HostTables;
use ringfence_dataplane::backend::userspace::Filter;
use ringfence_dataplane::backend::{Arrival, clock};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::document::{self, Input, Validation};
use ringfence_dataplane::model::{Direction, PolicySet, WorkloadName};
use ringfence_dataplane::oracle::{Connections, Essential, Established, Mode, Seen, Settings};

use super::home::{Home, UPLINK};

/// Bits of the first byte: how the filter is set up.
pub(super) mod setting {
    pub const XDP: u8 = 1 << 0;
    pub const AUDIT: u8 = 1 << 1;
    pub const NOTHING_ESSENTIAL: u8 = 1 << 2;
    pub const KEEP_ESTABLISHED: u8 = 1 << 3;
    pub const PICK_UP: u8 = 1 << 4;
    pub const ALL: u8 = (1 << 5) - 1;
}

/// A frame as it stands in the input: place, seconds since the last one, length, bytes. The lowest
/// bit of the place is whether the frame leaves, the others choose the interface.
pub(super) const HEADER: usize = 4;

/// Frames of one input that are looked at: enough for a connection with fragments and errors.
const FRAMES: usize = 64;

/// Cuts of each frame that are tried: all up to the end of ordinary headers, then a few more.
const CUTS: usize = 120;
const MORE_CUTS: usize = 8;

/// The tick at which the first frame may come.
const BEGINNING: u32 = 1_000;

/// What a second of the input is: no number of them is as long as any time that connections last,
/// so that nobody has to be exact to a tick.
const SECOND: Duration = Duration::from_millis(1_010);

const POLICIES: &str = include_str!("../../manifests/agreement/policies.yaml");

/// The policies that the agreement test installs.
struct Ground {
    policies: PolicySet,
    tables: Tables,
    /// For both places where frames can arrive.
    homes: [Home; 2],
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let input = Input::Text { name: "policies.yaml".to_owned(), text: POLICIES.to_owned() };
    let report = document::read(&[input], Validation::Strict);
    let policies = report.policies.expect("the agreement test reads these documents too");
    let tables = compile(&policies).expect("and compiles them");
    let homes = [Arrival::Tcx, Arrival::Xdp].map(|arrival| Home::new(&tables, arrival));
    Ground { policies, tables, homes }
});

/// The host whose filter decides the frames of an input that begins with `first`.
pub(super) fn home(first: u8) -> &'static Home {
    &GROUND.homes[usize::from(first & setting::XDP)]
}

/// The first byte is the setting, then come frames, each with where and when it is seen.
///
/// # Panics
///
/// When a header that was read lies outside its frame; when a frame cut short is read as anything
/// but the same packet; when two filters with the same past decide differently, or otherwise than
/// the oracle does by reading the policies and the frames literally; when a verdict and its reason
/// contradict each other; when the filter remembers more than its limits.
pub fn packet(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let first = first & setting::ALL;
    FILTERS.with_borrow_mut(|all| {
        let filters = all.entry(first).or_insert_with(|| Filters::new(home(first), first));
        filters.play(home(first), rest);
    });
}

thread_local! {
    /// By setting: arranging tables for looking up takes longer than deciding many frames.
    static FILTERS: RefCell<BTreeMap<u8, Filters>> = const { RefCell::new(BTreeMap::new()) };
}

/// Filters over the same tables.
struct Filters {
    tables: HostTables,
    /// Two of the same past, and the oracle.
    alike: [Filter; 2],
    oracle: Connections,
    /// One that never has a past.
    fresh: Filter,
    /// One that never has a past and audits where the others enforce, or the other way round.
    other_mode: Filter,
}

impl Filters {
    fn new(home: &Home, first: u8) -> Self {
        let tables = configured(home, first);
        let mut other = tables.clone();
        other.config.flags ^= flags::AUDIT;
        let filter = || Filter::new(&tables);
        let (alike, fresh) = ([filter(), filter()], filter());
        let oracle = Connections::new(&GROUND.policies, literal_settings(first));
        Self { alike, oracle, fresh, other_mode: Filter::new(&other), tables }
    }

    /// Decides the frames of an input one after the other.
    fn play(&mut self, home: &Home, mut rest: &[u8]) {
        let mut now = Duration::ZERO;
        self.alike.iter_mut().for_each(Filter::clear);
        self.oracle.forget();
        for _ in 0..FRAMES {
            let Some((place, seconds, frame, behind)) = step(rest) else { break };
            rest = behind;
            now += SECOND * u32::from(seconds);
            let (hook, ifindex) = place_of(home, place);
            check_parse(frame);
            let tick = BEGINNING + clock::ticks_in(now);
            let [outcome, again] =
                self.alike.each_mut().map(|filter| filter.decide(frame, hook, ifindex, tick));
            assert_eq!(parts(&outcome), parts(&again), "two filters of the same past");
            check_outcome(&outcome, &self.tables);
            if let Some((at, direction)) = seen_by(home, hook, ifindex) {
                let seen = self.oracle.see(&at, direction, frame, now);
                check_against(&seen, &outcome, &at);
            }
            self.check_alone(frame, hook, ifindex);
            assert!(self.alike[0].flows() <= limits::FLOWS as usize);
            let fragmented = self.alike[0].fragmented_packets();
            assert!(fragmented <= limits::FRAGMENTED_PACKETS as usize);
        }
    }

    /// On empty state, bytes behind the packet change nothing, and enforcing denies exactly what
    /// auditing reports.
    fn check_alone(&mut self, frame: &[u8], hook: Hook, ifindex: u32) {
        let alone = |filter: &mut Filter, frame: &[u8]| {
            filter.clear();
            filter.decide(frame, hook, ifindex, BEGINNING)
        };
        let outcome = alone(&mut self.fresh, frame);
        if let Ok(packet) = parsed(frame)
            && packet.family != 0
            && (packet.end as usize) < frame.length()
        {
            let trimmed = alone(&mut self.fresh, &frame[..packet.end as usize]);
            assert_eq!(parts(&outcome), parts(&trimmed), "without its padding");
        }
        let other = alone(&mut self.other_mode, frame);
        let said = |outcome: &Outcome| (outcome.decision.reason, outcome.decision.rule);
        assert_eq!(said(&outcome), said(&other), "enforcing and auditing");
    }
}

/// The next frame: place, seconds, bytes, and what is behind it. The last one may be short.
fn step(data: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let (header, rest) = data.split_first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]])).min(rest.len());
    let (frame, behind) = rest.split_at(length);
    Some((header[0], header[1], frame, behind))
}

fn place_of(home: &Home, place: u8) -> (Hook, u32) {
    // One index more than there are interfaces: nobody's.
    let ifindex = u32::from(place >> 1) % (home.interfaces.len() as u32 + 2);
    (if place & 1 == 0 { home.arrival } else { Hook::TcEgress }, ifindex)
}

fn configured(home: &Home, first: u8) -> HostTables {
    let mut tables = home.tables.clone();
    let has = |bit| first & bit != 0;
    if has(setting::AUDIT) {
        tables.config.flags |= flags::AUDIT;
    }
    if has(setting::KEEP_ESTABLISHED) {
        tables.config.flags |= flags::KEEP_ESTABLISHED;
    }
    if has(setting::NOTHING_ESSENTIAL) {
        tables.config.essential &= !essential::ALL;
    }
    if has(setting::PICK_UP) {
        tables.config.pick_up_until = BEGINNING + ticks(limits::PICK_UP_SECONDS);
    }
    tables
}

/// The same setting for the oracle.
fn literal_settings(first: u8) -> Settings {
    let has = |bit| first & bit != 0;
    let mut settings = Settings::default();
    if has(setting::AUDIT) {
        settings.mode = Mode::Audit;
    }
    if has(setting::KEEP_ESTABLISHED) {
        settings.established = Established::Keep;
    }
    if has(setting::NOTHING_ESSENTIAL) {
        settings.essential_off = Essential::ALL.into();
    }
    if has(setting::PICK_UP) {
        settings.pick_up = Duration::from_secs(limits::PICK_UP_SECONDS);
    }
    settings
}

/// Whose side a hook decides: the workload's behind its interface, on the uplink the host's.
/// Nobody's where there is no interface.
fn seen_by(home: &Home, hook: Hook, ifindex: u32) -> Option<(WorkloadName, Direction)> {
    let (number, _) = home.interfaces.iter().find(|(_, index)| **index == ifindex)?;
    let (namespace, name) = GROUND.tables.endpoints.get(number)?.name.split_once('/')?;
    // What leaves the host by the uplink is its egress; by another interface, somebody's ingress.
    let direction = match (hook == Hook::TcEgress, ifindex == UPLINK) {
        (true, true) | (false, false) => Direction::Egress,
        (true, false) | (false, true) => Direction::Ingress,
    };
    Some((WorkloadName::new(namespace, name), direction))
}

/// The filter names one of the rules that the oracle names, or both name none.
fn check_against(seen: &Seen, outcome: &Outcome, at: &WorkloadName) {
    let decision = outcome.decision;
    let rule = GROUND.tables.rules.get(&decision.rule).map(|rule| rule.name.as_str());
    let same_rule = match rule {
        Some(rule) => seen.rules.iter().any(|one| one.to_string() == rule),
        None => seen.rules.is_empty() && decision.rule == 0,
    };
    let same = (seen.verdict, seen.reason) == (decision.verdict, decision.reason);
    assert!(same && same_rule, "at `{at}` the oracle says {seen:?}, {decision:?} by {rule:?}");
}

/// What is read lies in the frame, and what is cut off is missed.
fn check_parse(frame: &[u8]) {
    let whole = parsed(frame);
    if let Ok(packet) = &whole {
        assert!(packet.end as usize <= frame.len() && packet.cursor <= packet.end, "{packet:?}");
        let piece = &packet.fragment;
        assert!(!piece.present || piece.start < piece.end, "{packet:?}");
        if packet.embedded_at != 0 {
            assert!(packet.embedded_at <= packet.end, "{packet:?}");
            let mut quoted = Packet::default();
            if parse_embedded(frame, packet, &mut quoted).is_ok() {
                assert!(quoted.cursor <= quoted.end && quoted.end <= packet.end, "{quoted:?}");
                assert_eq!(quoted.family, packet.family);
            }
        }
    }
    let stride = (frame.len() / MORE_CUTS).max(1);
    for length in (0..frame.len().min(CUTS)).chain((CUTS..frame.len()).step_by(stride)) {
        let Ok(cut) = parsed(&frame[..length]) else { continue };
        let Ok(whole) = &whole else {
            panic!("{length} bytes are read and the whole frame is not: {whole:?}")
        };
        if cut.family != 0 {
            assert_eq!(&cut, whole, "cut at {length}");
        } else {
            assert_eq!(whole.family, 0, "cut at {length}");
        }
    }
}

fn parsed(frame: &[u8]) -> Result<Packet, Reason> {
    let mut packet = Packet::default();
    parse(frame, &mut packet).map(|()| packet)
}

/// A verdict goes with its reason.
fn check_outcome(outcome: &Outcome, tables: &HostTables) {
    let (decision, audit) = (outcome.decision, tables.config.flags & flags::AUDIT != 0);
    let expected = match (decision.reason.denies(), audit) {
        (false, _) => Verdict::Allow,
        (true, false) => Verdict::Deny,
        (true, true) => Verdict::Audit,
    };
    assert_eq!(decision.verdict, expected, "{outcome:?}");
}

/// Everything an outcome says, in a form that can be compared.
fn parts(outcome: &Outcome) -> impl PartialEq + std::fmt::Debug + use<> {
    let Outcome { decision, direction, new_flow, endpoint, generation, report, .. } = *outcome;
    let identities = (outcome.source_identity, outcome.destination_identity);
    (decision, direction, new_flow, endpoint, identities, generation, report)
}
