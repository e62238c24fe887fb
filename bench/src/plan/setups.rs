//! What is installed, and what is measured of it.

use std::fmt;

use ringfence_testbed::lab::{Case, Contender, Family, Mismatch, Position, Tracking, Transport};

use crate::record::{Measurement, variant};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whether everything works: ten rules, a moment each.
    Smoke,
    /// What fits a coffee break: 1,000 and 10,000 rules.
    Short,
    /// Everything.
    Full,
}

impl Form {
    /// How often everything is set up anew and measured.
    #[must_use]
    pub const fn passes(self) -> u32 {
        match self {
            Self::Smoke => 1,
            Self::Short | Self::Full => 2,
        }
    }

    /// Rules of the policies whose decisions are measured.
    pub(super) const fn decided_rules(self) -> &'static [usize] {
        match self {
            Self::Smoke => &[10],
            Self::Short => &[1_000, 10_000],
            Self::Full => &[10, 100, 1_000, 10_000, 100_000],
        }
    }
}

/// Something to be measured of what is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// The time that a packet takes of one core.
    Send,
    /// Round trips on an idle way.
    RoundTrip,
    /// Round trips at half, at nine tenths and at more of what the contender can do, the receiver
    /// on the sender's core.
    Loaded,
    /// The same where the receiver works on another core, so that a queue can form.
    Steered,
    /// Round trips of which each is a connection's first packet.
    FirstPacket,
    /// Packets a second without loss.
    LossFree,
    /// Packets a second that are denied.
    Drop,
    /// Bits a second of TCP.
    Stream,
    /// Connections a second.
    Connect,
    /// Processor time of a packet.
    Cpu,
    /// The time of a change.
    Change,
    /// What a change does to packets.
    Disturbance,
    /// Memory.
    Memory,
}

impl Task {
    /// The file that it goes to.
    #[must_use]
    pub const fn measurement(self) -> Measurement {
        match self {
            Self::Send => Measurement::Send,
            Self::RoundTrip | Self::Loaded | Self::Steered | Self::FirstPacket => {
                Measurement::RoundTrip
            }
            Self::LossFree => Measurement::LossFree,
            Self::Drop => Measurement::Drop,
            Self::Stream => Measurement::Stream,
            Self::Connect => Measurement::Connect,
            Self::Cpu => Measurement::Cpu,
            Self::Change => Measurement::Change,
            Self::Disturbance => Measurement::Disturbance,
            Self::Memory => Measurement::Memory,
        }
    }

    /// What tells it from others of the same measurement.
    #[must_use]
    pub const fn variant(self) -> &'static str {
        match self {
            Self::RoundTrip => variant::UNLOADED,
            Self::Loaded => variant::OVERLOAD,
            Self::Steered => variant::STEERED_OVERLOAD,
            Self::FirstPacket => variant::FIRST_PACKET,
            _ => "",
        }
    }

    /// Whether the contender has to be in place before. The others put it there themselves.
    #[must_use]
    pub const fn needs_contender(self) -> bool {
        !matches!(self, Self::Change | Self::Disturbance | Self::Memory)
    }
}

/// One installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What is installed, and which packets it meets.
    pub case: Case,
    /// The protocol of its rules.
    pub transport: Transport,
    /// What is measured.
    pub tasks: Vec<Task>,
}

impl Setup {
    pub(super) fn udp(case: Case, tasks: &[Task]) -> Self {
        Self { case, transport: Transport::Udp, tasks: tasks.to_vec() }
    }

    fn tcp(case: Case, tasks: &[Task]) -> Self {
        Self { case, transport: Transport::Tcp, tasks: tasks.to_vec() }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.case.fmt(f)
    }
}

/// Those that filter.
fn filters() -> impl Iterator<Item = Contender> {
    Contender::ALL.into_iter().filter(|contender| !contender.is_control())
}

/// Those whose rules are asked one after the other.
fn chains() -> impl Iterator<Item = Contender> {
    use Contender::{BareIptables, BareIptablesNft, BareNft, IptablesFlat};
    [BareIptables, BareIptablesNft, BareNft, IptablesFlat].into_iter()
}

/// What `form` measures, in its order.
#[must_use]
pub fn setups(form: Form) -> Vec<Setup> {
    match form {
        Form::Smoke => smoke(),
        Form::Short => short(),
        Form::Full => full(),
    }
}

/// The circumstances that everything is measured under: the last rule matches an IPv4 packet, the
/// others name other addresses, and nobody has answered yet.
fn usual(contender: Contender, rules: usize) -> Case {
    let is_stateful = !contender.is_bare() && !contender.is_control();
    Case {
        contender,
        rules: if contender.is_control() { 0 } else { rules },
        position: Position::Last,
        mismatch: Mismatch::Address,
        tracking: if is_stateful { Tracking::New } else { Tracking::Stateless },
        family: Family::V4,
    }
}

fn denied(contender: Contender, rules: usize) -> Case {
    Case { position: Position::None, ..usual(contender, rules) }
}

fn other_ports(contender: Contender, rules: usize) -> Case {
    Case { mismatch: Mismatch::Port, ..usual(contender, rules) }
}

fn smoke() -> Vec<Setup> {
    use Contender::{BareIptables, EbpfTcx, EmptyTcx, Nftables, None};
    let mut all = Vec::new();
    for contender in [None, EmptyTcx, EbpfTcx, Nftables, BareIptables] {
        let case = usual(contender, 10);
        all.push(Setup::udp(case, &[Task::Send, Task::RoundTrip, Task::LossFree]));
        all.push(Setup::tcp(case, &[Task::Stream, Task::Connect]));
    }
    for contender in [EbpfTcx, BareIptables] {
        all.push(Setup::udp(denied(contender, 10), &[Task::Drop]));
        all.push(Setup::udp(usual(contender, 10), &[Task::Change, Task::Memory]));
    }
    all
}

fn short() -> Vec<Setup> {
    let mut all = controls(&[Task::Send, Task::RoundTrip, Task::LossFree]);
    for rules in [1_000, 10_000] {
        for contender in filters() {
            let tasks: &[Task] = match rules {
                10_000 => &[Task::Send, Task::RoundTrip, Task::LossFree, Task::Change],
                _ => &[Task::Send, Task::RoundTrip, Task::Change],
            };
            all.push(Setup::udp(usual(contender, rules), tasks));
        }
        for contender in [Contender::BareIptables, Contender::IptablesFlat, Contender::EbpfTcx] {
            all.push(Setup::udp(other_ports(contender, rules), &[Task::Send]));
        }
    }
    all
}

fn full() -> Vec<Setup> {
    let mut all = controls(&[
        Task::Send,
        Task::RoundTrip,
        Task::Loaded,
        Task::Steered,
        Task::FirstPacket,
        Task::LossFree,
        Task::Cpu,
    ]);
    for contender in CONTROLS {
        all.push(Setup::tcp(usual(contender, 0), &[Task::Stream, Task::Connect]));
    }
    for contender in filters() {
        for rules in [10, 100, 1_000, 10_000, 100_000] {
            all.push(Setup::udp(usual(contender, rules), &main_tasks(contender, rules)));
        }
        let case = usual(contender, 10_000);
        all.push(Setup::tcp(case, &[Task::Stream, Task::Connect]));
        all.push(Setup::udp(denied(contender, 10_000), &[Task::Send, Task::Drop]));
        all.push(Setup::udp(Case { family: Family::V6, ..case }, &[Task::Send]));
        let known = Case { tracking: Tracking::Established, ..case };
        all.push(Setup::udp(known, &[Task::Send]));
        for rules in [1_000, 10_000, 100_000] {
            all.push(Setup::udp(other_ports(contender, rules), &[Task::Send]));
        }
    }
    for contender in chains() {
        for position in [Position::First, Position::Middle] {
            let case = Case { position, ..usual(contender, 10_000) };
            all.push(Setup::udp(case, &[Task::Send]));
        }
    }
    all
}

/// What is measured of the usual case in full.
fn main_tasks(contender: Contender, rules: usize) -> Vec<Task> {
    let mut tasks = vec![Task::Send];
    if rules >= 1_000 {
        tasks.push(Task::RoundTrip);
    }
    let is_in_the_essays =
        matches!(contender, Contender::BareIptables | Contender::IptablesFlat | Contender::EbpfTcx);
    if rules == 10_000 || (rules == 1_000 && is_in_the_essays) {
        tasks.extend([Task::Steered, Task::FirstPacket, Task::LossFree]);
    }
    if matches!(rules, 1_000 | 10_000) || (rules == 100_000 && changes_fast(contender)) {
        tasks.push(Task::Change);
    }
    if rules == 10_000 {
        tasks.extend([Task::Loaded, Task::Cpu, Task::Disturbance, Task::Memory]);
    }
    tasks.sort();
    tasks
}

/// Whether changes are measured at 100,000 rules too. Not those of Ringfence's chains: each way of
/// changing them compiles and compares everything, many times over in one measurement. The programs'
/// tables are the same at both hooks.
const fn changes_fast(contender: Contender) -> bool {
    contender.is_bare() || matches!(contender, Contender::EbpfTcx)
}

/// Those that do not filter.
const CONTROLS: [Contender; 3] = [Contender::None, Contender::EmptyTcx, Contender::EmptyXdp];

fn controls(tasks: &[Task]) -> Vec<Setup> {
    CONTROLS.map(|contender| Setup::udp(usual(contender, 0), tasks)).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_measured_twice() {
        for form in [Form::Smoke, Form::Short, Form::Full] {
            let mut seen = BTreeSet::new();
            for setup in setups(form) {
                for task in setup.tasks {
                    assert!(seen.insert((setup.case, task)), "{form:?}: {}, {task:?}", setup.case);
                }
            }
        }
    }

    #[test]
    fn the_full_form_leaves_out_no_contender_and_nothing_of_the_short_one() {
        let all = |form| -> BTreeSet<(Case, Task)> {
            let tasks = |setup: Setup| setup.tasks.into_iter().map(move |task| (setup.case, task));
            setups(form).into_iter().flat_map(tasks).collect()
        };
        let full = all(Form::Full);
        for (case, task) in all(Form::Short) {
            assert!(full.contains(&(case, task)), "{case}, {task:?}");
        }
        let contenders: BTreeSet<Contender> = full.iter().map(|(case, _)| case.contender).collect();
        assert_eq!(contenders, Contender::ALL.into());
    }
}
