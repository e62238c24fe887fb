//! What the rules that a packet has met say about it, by their comments.

use ringfence_common::verdict::{Reason, Verdict};

use crate::chain_eval::conntrack::{Direction, Fault, State, Tracked};
use crate::chain_eval::hooks::Walked;
use crate::chain_eval::packet::{Packet, flags};
use crate::chain_eval::{Action, Hook, Step};
use crate::suite::backend::{At, Said};

/// What every comment of ours begins with, after the chain's hash if it has one.
const MARK: &str = "rf:";
const HASH_MARK: &str = "rf#";

/// What was asked, and what came of it.
pub struct Question<'q> {
    pub walked: &'q Walked,
    pub packet: &'q Packet,
    pub at: At<'q>,
    /// The hook behind connection tracking.
    pub hook: Hook,
    /// What is known of the packet's connection, if it has one that was open before.
    pub connection: Option<&'q Connection>,
    /// What else the answer may hang on.
    pub limit: Option<&'static str>,
}

/// What is known of a connection besides what the kernel keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether its first packet arrived on the interface (else it left).
    pub arrived: bool,
    /// The rules that allowed it.
    pub rules: Vec<String>,
    /// Whether its beginning was not seen, so that who has opened it is a guess.
    pub picked_up: bool,
    /// Whether audit mode has let it through, or has kept it when policy changed.
    pub audited: bool,
}

/// What a comment is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Rule(String),
    Reason(Reason),
    /// It leads on.
    Way,
}

const AUDITED: &str = "the kernel does not remember that audit mode has let a connection through";
const ANEW: &str =
    "a connection that policy refuses is deleted when it is applied, and may begin anew";

/// Ports of DHCP and DHCPv6.
const DHCP: [u16; 4] = [67, 68, 546, 547];

/// What is said about the packet. The error is the comment of a rule that drops and is not ours.
pub fn read(question: &Question<'_>) -> Result<Said, String> {
    let walked = question.walked;
    let mut steps = walked.steps.iter().map(|(_, step)| step);
    if walked.dropped.is_some() {
        let last = steps.next_back().ok_or_else(String::new)?;
        return refused(question, last);
    }
    let would_be = steps.clone().find_map(|step| match &step.action {
        Action::Log(prefix) => {
            let reason = reason_of(prefix.split(' ').next()?).filter(|reason| reason.denies());
            reason.map(|reason| (reason, step))
        }
        _ => None,
    });
    if let Some((reason, step)) = would_be {
        let said = Said { rules: rule_of(step), ..Said::new(Verdict::Audit, reason) };
        return Ok(Said { also: also_refused(question), limit: limit(question), ..said });
    }
    Ok(passed(question, &steps.collect::<Vec<_>>()))
}

/// Why the answer may not be what others say.
fn limit(question: &Question<'_>) -> Option<&'static str> {
    let tracked = question.walked.tracked;
    let was_audited = question.connection.is_some_and(|connection| connection.audited);
    let was_deleted = tracked.is_some_and(|tracked| tracked.was_deleted);
    let leniency = tracked.and_then(|tracked| tracked.leniency);
    let of_connection = was_audited.then_some(AUDITED).or(was_deleted.then_some(ANEW));
    leniency.or(of_connection).or(question.limit)
}

fn refused(question: &Question<'_>, step: &Step) -> Result<Said, String> {
    let (also, limit) = (also_refused(question), limit(question));
    if step.action == Action::Refuse {
        // Nobody has written a rule for it: what is cut is dropped by whichever asks first.
        let also = [DAMAGED, HEADERS].concat();
        return Ok(Said { also, limit, ..Said::new(Verdict::Deny, Reason::TruncatedExtension) });
    }
    let (reason, rules) = match mark_of(step) {
        Some(Mark::Rule(name)) => (Reason::DenyRule, vec![name]),
        Some(Mark::Reason(reason)) if reason.denies() => (reason, Vec::new()),
        _ => return Err(step.comment.clone()),
    };
    Ok(Said { rules, also, limit, ..Said::new(Verdict::Deny, reason) })
}

const HEADERS: &[Reason] =
    &[Reason::TruncatedExtension, Reason::TooManyExtensions, Reason::MisplacedExtension];

const DAMAGED: &[Reason] = &[
    Reason::TruncatedTcp,
    Reason::BadTcpOffset,
    Reason::TruncatedUdp,
    Reason::BadUdpLength,
    Reason::TruncatedSctp,
    Reason::TruncatedIcmp,
];

/// Reasons that the rules which refuse what is of no connection stand for, by what the kernel has
/// found wrong. It finds that before policy is asked, so what it calls wrong may be what others
/// ask policy about; and what was deleted because policy refuses it is refused under any name.
fn also_refused(question: &Question<'_>) -> Vec<Reason> {
    let Some(tracked) = question.walked.tracked else { return Vec::new() };
    let tcp = question.packet.tcp();
    let is_syn = tcp.is_some_and(|tcp| tcp.flags & (flags::SYN | flags::ACK) == flags::SYN);
    let by_policy: &[Reason] = &[Reason::NoRule, Reason::DenyRule];
    let of_fault: &[Reason] = match tracked.fault {
        // Older connections are asked about while they are picked up.
        None if tracked.state == State::New && tcp.is_some() && !is_syn => &[Reason::NoConnection],
        None | Some(Fault::Checksum) => &[],
        Some(Fault::Headers) => HEADERS,
        Some(Fault::Damaged) => DAMAGED,
        Some(Fault::Flags) => &[Reason::BadTcpFlags],
        Some(Fault::Stray) => &[Reason::NoConnection],
        Some(Fault::Unasked) => &[Reason::UnexpectedReply],
        Some(Fault::Untold) => &[],
        Some(Fault::Unrelated) => &[Reason::Unrelated, Reason::MalformedEmbedded],
        Some(Fault::Step) => &[Reason::InvalidTransition, Reason::OutOfWindow],
    };
    let asked = match tracked.fault {
        Some(Fault::Stray | Fault::Unasked | Fault::Untold) => by_policy,
        Some(Fault::Step) if is_syn => by_policy,
        _ => &[],
    };
    let revoked = tracked.was_deleted.then_some(Reason::Revoked);
    of_fault.iter().chain(asked).copied().chain(revoked).collect()
}

fn passed(question: &Question<'_>, steps: &[&Step]) -> Said {
    let ends = steps.iter().filter(|step| matches!(step.action, Action::Return | Action::Accept));
    let marks: Vec<Mark> =
        ends.filter_map(|step| mark_of(step)).filter(|mark| *mark != Mark::Way).collect();
    let tracked = question.walked.tracked;
    let is_reply = tracked.is_some_and(|tracked| tracked.direction == Some(Direction::Reply));
    let reason = match marks.last() {
        Some(Mark::Rule(_)) => Reason::Rule,
        Some(Mark::Reason(Reason::Established)) if is_reply => Reason::Reply,
        Some(Mark::Reason(reason)) => *reason,
        _ => nobodys(question),
    };
    let rule = marks.iter().rev().find_map(|mark| match mark {
        Mark::Rule(name) => Some(vec![name.clone()]),
        _ => None,
    });
    // The kernel does not remember which rule has allowed a connection.
    let of_connection = || question.connection.map(|connection| connection.rules.clone());
    let rules = rule.or_else(of_connection).unwrap_or_default();
    let (also, limit) = (also_passed(question, reason), limit(question));
    Said { rules, also, limit, ..Said::new(Verdict::Allow, reason) }
}

/// Whether a packet begins a connection that was under way before anybody looked.
pub fn is_picked_up(packet: &Packet, tracked: &Tracked) -> bool {
    let is_mid_stream = packet.tcp().is_some_and(|tcp| tcp.flags & flags::SYN == 0);
    tracked.state == State::New && is_mid_stream
}

/// Reasons that rules do not tell from the one that they give.
fn also_passed(question: &Question<'_>, reason: Reason) -> Vec<Reason> {
    let mut also = Vec::new();
    if let Some(tracked) = question.walked.tracked {
        // Until a connection is answered, the kernel asks the rules about each of its packets.
        if tracked.state == State::New && tracked.known {
            also.push(Reason::Established);
        }
        if is_picked_up(question.packet, &tracked) && reason == Reason::Rule {
            also.push(Reason::PickedUp);
        }
    }
    if question.connection.is_some_and(|connection| connection.picked_up) {
        also.extend([Reason::Established, Reason::Reply]);
    }
    // Known connections pass before anybody asks whose they are, or what for; and where nobody is
    // isolated, nobody asks what is essential.
    let is_known = [Reason::Established, Reason::Reply, Reason::Related].contains(&reason);
    let of_two_sides = matches!(question.hook, Hook::Input | Hook::Output) && !is_known;
    match nobodys(question) {
        Reason::NotIsolated if !of_two_sides => {}
        nobodys => also.push(nobodys),
    }
    let is_dhcp = question
        .packet
        .ports()
        .is_some_and(|(from, to)| DHCP.contains(&from) && DHCP.contains(&to));
    if is_dhcp {
        also.push(Reason::Dhcp);
    }
    also
}

/// Why a packet passes about which no rule has said anything.
const fn nobodys(question: &Question<'_>) -> Reason {
    match (question.at, question.hook) {
        (At::Workload(_), _) => Reason::NotIsolated,
        (At::Uplink(Some(_)), Hook::Input | Hook::Output) => Reason::NotIsolated,
        (At::Uplink(_), _) => Reason::NotSubject,
    }
}

/// What a rule that matched is about: an element of a set may say it more exactly.
fn mark_of(step: &Step) -> Option<Mark> {
    let mut of_elements = step.elements.iter().filter_map(|comment| mark(comment));
    of_elements.rfind(|mark| *mark != Mark::Way).or_else(|| mark(&step.comment))
}

fn rule_of(step: &Step) -> Vec<String> {
    match mark_of(step) {
        Some(Mark::Rule(name)) => vec![name],
        _ => Vec::new(),
    }
}

/// `[rf#<16 hex> ]rf:<8 hex> <name>`, `…rf:<Reason>` or `…rf:<Way>`; nothing for comments that are
/// not ours.
fn mark(comment: &str) -> Option<Mark> {
    let text = match comment.strip_prefix(HASH_MARK) {
        Some(rest) => rest.split_once(' ')?.1,
        None => comment,
    };
    let text = text.strip_prefix(MARK)?;
    if let Some((number, name)) = text.split_once(' ') {
        let is_number = number.len() == 8 && u32::from_str_radix(number, 16).is_ok();
        return is_number.then(|| Mark::Rule(name.to_owned()));
    }
    Some(reason_of(text).map_or(Mark::Way, Mark::Reason))
}

fn reason_of(name: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|reason| reason.name() == name)
}
