//! A trace as text, in the words of Cilium's `policy trace`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use ringfence_dataplane::model::{Action, Tier};
use ringfence_dataplane::oracle::{PolicyTrace, Reason, RuleTrace, Side, SideTrace};

use super::Traced;
use crate::service::Service;
use crate::who::Who;

/// Near misses shown for one side.
const NEAREST: usize = 3;

pub fn write(out: &mut impl Write, traced: &[Traced], service: &Service) -> io::Result<()> {
    for (index, traced) in traced.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let service = Service::of(traced.service).unwrap_or_else(|| service.clone());
        writeln!(
            out,
            "Tracing From: [{}] => To: [{}] Ports: [{service}]",
            end(&traced.source),
            end(&traced.destination)
        )?;
        let trace = &traced.trace;
        write_side(out, "egress", &traced.source, &trace.egress, &trace.answer.egress)?;
        write_side(out, "ingress", &traced.destination, &trace.ingress, &trace.answer.ingress)?;
        writeln!(out, "\nFinal verdict: {}", verdict(trace.answer.allowed()))?;
    }
    Ok(())
}

/// `shop/web 10.0.0.1, fd00::1`.
fn end(who: &Who) -> String {
    let addresses: BTreeSet<String> = who.addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.into_iter().collect::<Vec<_>>().join(", ");
    if who.name == addresses { addresses } else { format!("{} {addresses}", who.name) }
}

fn verdict(allowed: bool) -> String {
    let (colour, word) = if allowed { ("32", "ALLOWED") } else { ("31", "DENIED") };
    format!("\x1b[1;{colour}m{word}\x1b[0m")
}

fn write_side(
    out: &mut impl Write,
    direction: &str,
    who: &Who,
    trace: &SideTrace,
    side: &Side,
) -> io::Result<()> {
    writeln!(out, "\nResolving {direction} policy for {}", who.name)?;
    match (&trace.subject, trace.policies.len()) {
        (None, _) => writeln!(out, "  no workload has this address, so no policy is for it")?,
        (Some(_), 0) => writeln!(out, "  0 policies select it for {direction}")?,
        (Some(_), _) => {}
    }
    for policy in &trace.policies {
        write_policy(out, policy)?;
    }
    match side.reason {
        Reason::SelfTraffic => writeln!(out, "  a workload may always talk to itself")?,
        Reason::HostToWorkload => writeln!(out, "  the host may always talk to its workloads")?,
        Reason::NoRule => writeln!(out, "  isolated, and no rule allows the flow")?,
        _ => {}
    }
    for rule in &side.rules {
        writeln!(out, "  decided by {rule}")?;
    }
    // Against a rule that denies, a rule that nearly allows is no way out.
    if side.reason == Reason::NoRule {
        for rule in trace.nearest_misses().into_iter().take(NEAREST) {
            writeln!(out, "  nearest miss: {}", miss(rule))?;
        }
    }
    let name = if direction == "egress" { "Egress" } else { "Ingress" };
    writeln!(out, "{name} verdict: {} ({})", verdict(side.allowed), side.reason.name())
}

fn write_policy(out: &mut impl Write, policy: &PolicyTrace) -> io::Result<()> {
    let tier = match policy.tier {
        Tier::Failsafe => "before all policy, ".to_owned(),
        Tier::Admin => format!("Admin tier, priority {}, ", policy.priority),
        Tier::Baseline => format!("Baseline tier, priority {}, ", policy.priority),
        Tier::Developer => String::new(),
    };
    let isolates = if policy.isolates { "; isolates" } else { "" };
    writeln!(out, "* {}: {tier}selected by {}{isolates}", policy.policy, policy.selector)?;
    if policy.rules.is_empty() {
        writeln!(out, "    no rules")?;
    }
    for rule in &policy.rules {
        let matched = match (rule.peers_match, rule.ports_match) {
            (true, true) => "matches",
            (true, false) => "the peer matches, the port does not",
            (false, true) => "the port matches, the peer does not",
            (false, false) => "neither peer nor port matches",
        };
        writeln!(out, "    {} {}: {matched}{}", action(rule.action), name(rule), at(rule))?;
    }
    Ok(())
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Pass => "pass",
        Action::Log => "log",
    }
}

/// The rule's name without its policy's: `ingress[0]`.
fn name(rule: &RuleTrace) -> String {
    let whole = rule.rule.to_string();
    whole.rsplit_once(' ').map_or(whole.clone(), |(_, own)| own.to_owned())
}

fn at(rule: &RuleTrace) -> String {
    rule.origin.as_ref().map_or_else(String::new, |origin| format!(" ({origin})"))
}

fn miss(rule: &RuleTrace) -> String {
    let half = if rule.peers_match { "port" } else { "peer" };
    format!("{}{} would match but for the {half}", rule.rule, at(rule))
}
