//! What the rules that a packet has met say about it, by their comments.

use ringfence_common::verdict::{Reason, Verdict};

use crate::chain_eval::conntrack::{Direction, Fault, State};
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
    /// Whether only audit mode has let the connection through.
    pub was_audited: bool,
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
const ANEW: &str = "a connection that was deleted can begin anew";

/// What is said about the packet. The error is the comment of a rule that drops and is not ours.
pub fn read(question: &Question<'_>) -> Result<Said, String> {
    let walked = question.walked;
    let steps = || walked.steps.iter().map(|(_, step)| step);
    if walked.dropped.is_some() {
        let last = steps().last().ok_or_else(String::new)?;
        return refused(question, last);
    }
    let would_be = steps().find_map(|step| match &step.action {
        Action::Log(prefix) => {
            reason_of(prefix.split(' ').next()?).filter(|r| r.denies()).map(|r| (r, step))
        }
        _ => None,
    });
    if let Some((reason, step)) = would_be {
        let rules = rule_of(step);
        let also = also_refused(question);
        return Ok(Said { rules, also, ..Said::new(Verdict::Audit, reason) });
    }
    Ok(passed(question, &steps().collect::<Vec<_>>()))
}

fn refused(question: &Question<'_>, step: &Step) -> Result<Said, String> {
    let also = also_refused(question);
    let tracked = question.walked.tracked;
    let limit = tracked.and_then(|tracked| tracked.leniency);
    if step.action == Action::Refuse {
        // Nobody has written a rule for it: what is cut is dropped by whichever asks first.
        let reason = also.first().copied().unwrap_or(Reason::TruncatedExtension);
        return Ok(Said { also, limit, ..Said::new(Verdict::Deny, reason) });
    }
    let (reason, rules) = match mark_of(step) {
        Some(Mark::Rule(name)) => (Reason::DenyRule, vec![name]),
        Some(Mark::Reason(reason)) if reason.denies() => (reason, Vec::new()),
        _ => return Err(step.comment.clone()),
    };
    Ok(Said { rules, also, limit, ..Said::new(Verdict::Deny, reason) })
}

/// Reasons that the rule which refuses invalid packets stands for: what the kernel found wrong.
/// What was deleted because policy refuses it is refused under any of its names.
fn also_refused(question: &Question<'_>) -> Vec<Reason> {
    let Some(tracked) = question.walked.tracked else { return Vec::new() };
    let of_fault: &[Reason] = match tracked.fault {
        None => &[],
        Some(Fault::Headers) => {
            &[Reason::TruncatedExtension, Reason::TooManyExtensions, Reason::MisplacedExtension]
        }
        Some(Fault::Damaged) => &[
            Reason::TruncatedTcp,
            Reason::BadTcpOffset,
            Reason::TruncatedUdp,
            Reason::BadUdpLength,
            Reason::TruncatedSctp,
            Reason::TruncatedIcmp,
        ],
        Some(Fault::Flags) => &[Reason::BadTcpFlags],
        Some(Fault::Stray) => &[Reason::NoConnection],
        Some(Fault::Unasked) => &[Reason::UnexpectedReply],
        Some(Fault::Untold) => &[Reason::NoRule],
        Some(Fault::Unrelated) => &[Reason::Unrelated, Reason::MalformedEmbedded],
        Some(Fault::Step) => &[Reason::InvalidTransition, Reason::OutOfWindow],
    };
    let revoked = tracked.was_deleted.then_some(Reason::Revoked);
    of_fault.iter().copied().chain(revoked).collect()
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
    let rules = marks.iter().rev().find_map(|mark| match mark {
        Mark::Rule(name) => Some(name.clone()),
        _ => None,
    });
    let mut also = Vec::new();
    let mut limit = None;
    if let Some(tracked) = tracked {
        // Until a connection is answered, the kernel's tracking asks the rules about each packet.
        if tracked.state == State::New && tracked.known {
            also.push(Reason::Established);
        }
        let is_mid_stream = question.packet.tcp().is_some_and(|tcp| tcp.flags & flags::SYN == 0);
        if tracked.state == State::New && is_mid_stream && reason == Reason::Rule {
            also.push(Reason::PickedUp);
        }
        limit = tracked.leniency;
        if question.was_audited {
            limit = limit.or(Some(AUDITED));
        }
        if tracked.was_deleted {
            limit = limit.or(Some(ANEW));
        }
    }
    // Two sides may have been asked: the sender's, then the host's.
    if matches!(question.hook, Hook::Input | Hook::Output) {
        also.push(nobodys(question));
    }
    Said { rules: rules.into_iter().collect(), also, limit, ..Said::new(Verdict::Allow, reason) }
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
    let of_elements = step.elements.iter().filter_map(|comment| mark(comment));
    of_elements.filter(|mark| *mark != Mark::Way).last().or_else(|| mark(&step.comment))
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
