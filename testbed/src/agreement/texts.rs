//! The oracle and the text of rule chains.
//!
//! Tables become text for each tool, which is read back and walked ([`crate::chain_eval`]). Where
//! a packet is seen, each text has to give the oracle's verdict, reason and rule, and to report
//! what the oracle says is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use ringfence_common::abi::config::Hook;
use ringfence_common::abi::identity::endpoint;
use ringfence_common::verdict::Verdict;
use ringfence_dataplane::backend::chains::{Plan, Script};
use ringfence_dataplane::backend::iptables::{self, Family, Layout};
use ringfence_dataplane::backend::{Arrival, Desired, Interface, Role, ipset, nftables};
use ringfence_dataplane::compile::Tables;
use ringfence_dataplane::model::{Direction, PolicySet, Workload};
use ringfence_dataplane::oracle::{self, Flow, Oracle, Reason};

use super::{Disagreement, Host, Sight, deciding, side};
use crate::chain_eval::conntrack::Conntrack;
use crate::chain_eval::hooks::{self, Side, Walked, hook_of};
use crate::chain_eval::packet::Packet;
use crate::chain_eval::{Action, Ruleset};
use crate::packet::first_packet;
use crate::suite::chains::{Failed, reading, texts};
use crate::suite::{At, Said};

/// How text is made of a plan and read back.
type Form = (&'static str, fn(&Plan) -> Result<Box<dyn Ruleset>, Failed>);

/// The forms of text.
const FORMS: [Form; 4] = [
    ("iptables", texts::iptables),
    ("iptables, flat", texts::iptables_flat),
    ("ipset", texts::ipset),
    ("nftables", texts::nftables),
];

/// The interface behind which all workloads are together.
const TOGETHER: &str = "together";

/// An interface that no state names.
const SOMEWHERE: &str = "somewhere";

const UPLINK: &str = "uplink";

/// Where workloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// Each behind an interface of its own.
    Apart,
    /// All behind one interface.
    Together,
    /// Nobody knows.
    Unknown,
}

/// What came of asking texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Compared that were the oracle's.
    pub same: usize,
    /// Others, by the limit of the kernel that explains them.
    pub limits: BTreeMap<&'static str, usize>,
}

/// A policy set, and its texts.
#[expect(missing_debug_implementations, reason = "rules that have been read have none")]
pub struct Texts<'a> {
    set: &'a PolicySet,
    oracle: Oracle<'a>,
    host: Host,
    places: Places,
    host_addresses: Vec<IpAddr>,
    read: Vec<(&'static str, Box<dyn Ruleset>)>,
}

/// Where a packet meets rules, and whose side they decide there.
struct Meeting<'p> {
    interface: String,
    arrives: bool,
    at: At<'p>,
    sides: Vec<Direction>,
}

impl<'a> Texts<'a> {
    /// The texts of `tables`, made from `set`.
    ///
    /// # Errors
    ///
    /// When a tool has no words for them, or its text cannot be read back.
    pub fn new(set: &'a PolicySet, tables: &Tables, places: Places) -> Result<Self, Failed> {
        let host = Host::of(tables).seeing(Arrival::Tcx);
        let desired = placed(host.desired(tables, Arrival::Tcx), places);
        let plan = Plan::of(&desired);
        let read = FORMS.into_iter().map(|(name, form)| match form(&plan) {
            Ok(rules) => Ok((name, rules)),
            Err(why) => Err(format!("{name}: {why}").into()),
        });
        let read = read.collect::<Result<_, Failed>>()?;
        let described = tables.endpoints.get(&endpoint::HOST);
        let host_addresses = described.map(|host| host.addresses.iter().copied().collect());
        Ok(Self {
            set,
            oracle: Oracle::new(set),
            host,
            places,
            host_addresses: host_addresses.unwrap_or_default(),
            read,
        })
    }

    /// Asks each text about the first packet of a flow, wherever it meets rules.
    ///
    /// # Errors
    ///
    /// The first [`Disagreement`] that no known limit of the kernel explains.
    ///
    /// # Panics
    ///
    /// When the flow's first packet is none that the kernel takes.
    pub fn ask(&self, flow: &Flow) -> Result<Compared, Box<Disagreement>> {
        let mut answers = Compared::default();
        let Some(frame) = first_packet(flow) else { return Ok(answers) };
        let packet = Packet::read(&frame).expect("what opens a flow is well-formed");
        for meeting in self.meetings(flow) {
            for (form, rules) in &self.read {
                match self.compare(flow, &packet, &meeting, form, &**rules)? {
                    None => answers.same += 1,
                    Some(limit) => *answers.limits.entry(limit).or_default() += 1,
                }
            }
        }
        Ok(answers)
    }

    /// Nothing where the answer is the oracle's; else why it need not be.
    fn compare(
        &self,
        flow: &Flow,
        packet: &Packet,
        meeting: &Meeting<'_>,
        form: &str,
        rules: &dyn Ruleset,
    ) -> Result<Option<&'static str>, Box<Disagreement>> {
        let name = meeting.interface.as_str();
        let way = if meeting.arrives { Side::Arrives(name) } else { Side::Leaves(name) };
        let (mut conntrack, host) = (Conntrack::default(), &self.host_addresses);
        let now = Timestamp::UNIX_EPOCH;
        let walked = hooks::walk(rules, &mut conntrack, packet, way, host, now);
        let hook = hook_of(packet, way, host);
        let at = meeting.at;
        let (connection, limit) = (None, None);
        let question = reading::Question { walked: &walked, packet, at, hook, connection, limit };
        let said = reading::read(&question);
        let answer = self.oracle.decide(flow);
        let direction = deciding(&meeting.sides, &answer);
        let expected = side(&answer, direction);
        // Essential traffic is not asked of policy, so no rule has reported it.
        let is_essential = matches!(expected.reason, Reason::SelfTraffic | Reason::HostToWorkload);
        let someone_logs = meeting.sides.iter().any(|sided| side(&answer, *sided).logged);
        let reports = reports(&walked);
        // Where both sides have let it pass, the text may name either, or a reason of one and a rule
        // of the other.
        let sides: Vec<&oracle::Side> = match expected.allowed {
            true => meeting.sides.iter().map(|sided| side(&answer, *sided)).collect(),
            false => vec![expected],
        };
        let agrees = said.as_ref().is_ok_and(|said| is_same(said, &sides))
            && (is_essential || !expected.logged || !reports.is_empty())
            && (someone_logs || reports.is_empty());
        if agrees {
            return Ok(None);
        }
        if let Ok(Said { limit: Some(limit), .. }) = said {
            return Ok(Some(limit));
        }
        Err(Box::new(Disagreement {
            flow: *flow,
            who: format!("{form}, {:?}, {way:?}", self.places),
            direction,
            expected: expected.clone(),
            actual: told(&said, &walked),
        }))
    }

    /// Where the first packet of a flow meets rules.
    fn meetings(&self, flow: &Flow) -> Vec<Meeting<'a>> {
        let owner = |address| self.set.inventory.owner(address);
        let (from, to) = (owner(flow.source), owner(flow.destination));
        let is_host = |end: Option<&Workload>| end.is_some_and(|workload| workload.host);
        let at = |end: Option<&'a Workload>| match end {
            Some(workload) if !workload.host => At::Workload(&workload.name),
            _ => {
                At::Uplink(self.set.inventory.workloads().find(|one| one.host).map(|one| &one.name))
            }
        };
        if self.places == Places::Unknown {
            // Addresses alone say who sends and who receives, so both sides are decided at once.
            let ends = [(from, Direction::Egress), (to, Direction::Ingress)];
            let sides = ends.into_iter().filter(|(end, _)| end.is_some());
            let sides: Vec<Direction> = sides.map(|(_, side)| side).collect();
            let at = at(from.filter(|one| !one.host).or(to));
            let (interface, arrives) = (SOMEWHERE.to_owned(), !is_host(from));
            let nobody = sides.is_empty() || is_host(from) && is_host(to);
            let meeting = Meeting { interface, arrives, at, sides };
            return if nobody { Vec::new() } else { vec![meeting] };
        }
        let meeting = |sight: Sight| {
            let arrives = sight.hook != Hook::TcEgress;
            let end = if arrives { from } else { to };
            let interface = match end {
                Some(workload) if !workload.host => name(self.places, sight.ifindex),
                _ => UPLINK.to_owned(),
            };
            Meeting { interface, arrives, at: at(end), sides: sight.sides }
        };
        self.host.sights(flow).into_iter().map(meeting).collect()
    }
}

/// Text for a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The tool.
    pub tool: &'static str,
    /// With which options it takes the text and changes no more than it has to.
    pub options: &'static [&'static str],
    /// The text.
    pub text: String,
}

/// What the tools are given for `tables`, in this order: sets come before the rules that ask them.
///
/// # Errors
///
/// When a tool has no words for them.
pub fn rendered(tables: &Tables, places: Places) -> Result<Vec<Rendered>, Failed> {
    let host = Host::of(tables);
    let plan = Plan::of(&placed(host.desired(tables, Arrival::Tcx), places));
    let mut texts = Vec::new();
    let mut add = |tool, options, script: Script| {
        texts.push(Rendered { tool, options, text: script.to_string() });
    };
    let (sets, rules) = ipset::rules(&plan)?;
    add("ipset", &["restore"], ipset::script(&sets));
    let tools = [
        ["iptables-legacy-restore", "iptables-nft-restore"],
        ["ip6tables-legacy-restore", "ip6tables-nft-restore"],
    ];
    for ((family, of_family), rules) in [Family::V4, Family::V6].into_iter().zip(tools).zip(rules) {
        for tool in of_family {
            let options = &["--test", "--noflush"];
            add(tool, options, rules.script());
            for layout in [Layout::Structured, Layout::Flat] {
                add(tool, options, iptables::ruleset(&plan, family, layout)?.script());
            }
        }
    }
    add("nft", &["-f", "-"], nftables::ruleset(&plan)?.script());
    Ok(texts)
}

/// The state with its workloads where they are said to be.
fn placed(mut desired: Desired, places: Places) -> Desired {
    desired.settings.pick_up_until = None;
    for interface in &mut desired.interfaces {
        interface.name = match interface.role {
            Role::Uplink => UPLINK.to_owned(),
            Role::Workload => name(places, interface.index),
        };
    }
    let is_uplink = |interface: &Interface| interface.role == Role::Uplink;
    match places {
        Places::Apart => {}
        Places::Unknown => desired.interfaces.retain(is_uplink),
        Places::Together => {
            let (mut kept, behind): (Vec<Interface>, Vec<Interface>) =
                desired.interfaces.into_iter().partition(is_uplink);
            let endpoints: BTreeSet<u32> =
                behind.iter().flat_map(|interface| interface.endpoints.iter().copied()).collect();
            kept.extend(behind.into_iter().next().map(|one| Interface { endpoints, ..one }));
            desired.interfaces = kept;
        }
    }
    desired
}

/// The name of a workload's interface.
fn name(places: Places, index: u32) -> String {
    match places {
        Places::Apart => format!("wl{index:08x}"),
        Places::Together => TOGETHER.to_owned(),
        Places::Unknown => SOMEWHERE.to_owned(),
    }
}

fn is_same(said: &Said, sides: &[&oracle::Side]) -> bool {
    let names = |rule: &String| {
        sides.iter().any(|side| side.rules.iter().any(|one| one.to_string() == *rule))
    };
    let names_them = match said.rules.as_slice() {
        [] => sides.iter().any(|side| side.rules.is_empty()),
        rules => rules.iter().all(names),
    };
    let gives = |side: &&oracle::Side| {
        (said.verdict == Verdict::Allow) == side.allowed
            && (said.reason == side.reason || said.also.contains(&side.reason))
    };
    names_them && sides.iter().any(gives)
}

fn reports(walked: &Walked) -> Vec<&str> {
    let prefixes = walked.steps.iter().filter_map(|(_, step)| match &step.action {
        Action::Log(prefix) => Some(prefix.as_str()),
        _ => None,
    });
    prefixes.collect()
}

/// What was said, and by which way.
fn told(said: &Result<Said, String>, walked: &Walked) -> String {
    let steps = walked
        .steps
        .iter()
        .map(|(hook, step)| format!("\n    {hook:?}: {:?} \"{}\"", step.action, step.comment));
    let said = match said {
        Ok(Said { verdict, reason, rules, also, .. }) => {
            format!("{reason:?} ({verdict:?}), or {also:?}, rules {rules:?}")
        }
        Err(comment) => format!("that `{comment}` drops, which is not a comment of ours"),
    };
    said + &steps.collect::<String>()
}
