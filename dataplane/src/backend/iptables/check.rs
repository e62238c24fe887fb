//! What the tools cannot say, found before anything is written.

use std::collections::BTreeMap;

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::protocol::ICMP;

use super::RenderError;
use super::writer::Style;
use crate::backend::chains::{Entry, Line, Plan, PortRange, Service};
use crate::backend::ipset::EXPANDED;
use crate::compile::RuleDescription;

/// Characters that no interface may have in its name in rules: quotes and what escapes them, and
/// what separates the parts of an element of a set.
const UNSAYABLE: &[char] = &['"', '\'', '\\', ',', '`'];

/// The first code of type 255 of ICMP, as a service.
const TYPE_255: u16 = 0xff00;

/// Whether the plan can be said.
pub(in crate::backend) fn check(plan: &Plan, style: Style) -> Result<(), RenderError> {
    if plan.settings.essential & essential::NON_IP == 0 {
        return Err(RenderError::NonIp);
    }
    for guard in &plan.guards {
        match &guard.entry {
            Entry::Interface(name) | Entry::Shared(name) => interface(name, &guard.name)?,
            Entry::Addresses => {}
        }
    }
    if let Some(host) = &plan.host {
        host.uplinks.iter().try_for_each(|uplink| interface(uplink, &host.name))?;
    }
    let mut lines = plan.sides.values().flat_map(|side| &side.lines);
    lines.try_for_each(|line| {
        protocol(line, &plan.rules)?;
        icmp_type(line, &plan.rules, style)
    })
}

fn interface(name: &str, workload: &str) -> Result<(), RenderError> {
    let why = if name.is_empty() || name.len() > 15 {
        "interfaces have names of 1 to 15 bytes"
    } else if name.ends_with('+') {
        "`+` at the end means all interfaces whose names begin so"
    } else if name.starts_with("physdev:") {
        "ipset reads `physdev:` as a word of its own"
    } else if name.starts_with(['!', '-']) {
        "it begins like an option"
    } else if !name.chars().all(|c| c.is_ascii_graphic()) || name.contains(UNSAYABLE) {
        "it has characters beside letters, digits and plain signs"
    } else {
        return Ok(());
    };
    let (interface, workload) = (name.to_owned(), workload.to_owned());
    Err(RenderError::Interface { interface, workload, why })
}

fn protocol(line: &Line, rules: &BTreeMap<u32, RuleDescription>) -> Result<(), RenderError> {
    let (Service::Protocol(0) | Service::Ports { protocol: 0, .. }) = line.service else {
        return Ok(());
    };
    let rule = rules.get(&line.decided.rule).cloned().unwrap_or_default();
    let why = "for the tools 0 is every protocol";
    Err(RenderError::Protocol { rule: rule.name, origin: rule.origin, protocol: 0, why })
}

/// For the kernel's match of ICMP types, type 255 is every type, with every code. Elements of sets
/// are exact.
fn icmp_type(
    line: &Line,
    rules: &BTreeMap<u32, RuleDescription>,
    style: Style,
) -> Result<(), RenderError> {
    let Service::Ports { protocol: ICMP, ranges } = &line.service else { return Ok(()) };
    let is_matched = |range: &PortRange| {
        let is_all = (range.first, range.last) == (0, u16::MAX);
        let codes = (u32::from(range.last) + 1).saturating_sub(range.first.max(TYPE_255).into());
        !is_all && if style == Style::Sets { codes >= EXPANDED } else { codes > 0 }
    };
    if !ranges.iter().any(is_matched) {
        return Ok(());
    }
    let rule = rules.get(&line.decided.rule).cloned().unwrap_or_default();
    Err(RenderError::IcmpType { rule: rule.name, origin: rule.origin })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::chains::{Decided, Form, Peers};

    #[test]
    fn interfaces_that_have_no_words_are_refused() {
        for name in ["veth0", "eth0.100", "br-0a1b2c", "wl+0", "a:b", "_"] {
            assert_eq!(interface(name, "shop/db"), Ok(()), "{name}");
        }
        for name in [
            "",
            "veth+",
            "+",
            "!lo",
            "-j",
            "a b",
            "a\tb",
            "a\"b",
            "a'b",
            "a\\b",
            "a,b",
            "é",
            "sixteen-bytes-xx",
            "physdev:a",
        ] {
            let refused = interface(name, "shop/db");
            assert!(matches!(refused, Err(RenderError::Interface { .. })), "{name}: {refused:?}");
        }
        let message = interface("veth+", "shop/db").unwrap_err().to_string();
        assert!(message.starts_with("iptables cannot name interface `veth+` of `shop/db`: `+`"));
    }

    #[test]
    fn protocol_0_is_refused_with_its_rule() {
        let rule = RuleDescription { name: "policy/x in[0]".into(), origin: Some("x:3".into()) };
        let line = Line {
            form: Form::Protocol,
            peers: Peers::Anyone,
            service: Service::Protocol(0),
            decided: Decided { allows: true, logs: false, rule: 9 },
        };
        let refused = protocol(&line, &BTreeMap::from([(9, rule)])).unwrap_err().to_string();
        assert!(
            refused.starts_with("rule `policy/x in[0]` (x:3) is about IP protocol 0"),
            "{refused}"
        );
        let other = Line { service: Service::Protocol(6), ..line };
        assert_eq!(protocol(&other, &BTreeMap::new()), Ok(()));
    }

    #[test]
    fn type_255_of_icmp_is_refused_where_the_match_takes_it_for_all() {
        let rule = RuleDescription { name: "policy/x in[0]".into(), origin: None };
        let rules = BTreeMap::from([(9, rule)]);
        let refused = |protocol, (first, last), style| {
            let ranges = vec![PortRange { first, last }];
            let line = Line {
                form: Form::Ports,
                peers: Peers::Anyone,
                service: Service::Ports { protocol, ranges },
                decided: Decided { allows: true, logs: false, rule: 9 },
            };
            icmp_type(&line, &rules, style).err().map(|error| error.to_string())
        };
        for range in [(0xff00, 0xffff), (0x0800, 0xff00), (0xff03, 0xff03)] {
            let error = refused(ICMP, range, Style::Flat).unwrap();
            assert!(error.starts_with("rule `policy/x in[0]` is about type 255"), "{error}");
        }
        assert_eq!(refused(ICMP, (0, u16::MAX), Style::Structured), None);
        assert_eq!(refused(ICMP, (0x0800, 0xfeff), Style::Structured), None);
        assert_eq!(refused(58, (0xff00, 0xffff), Style::Structured), None);
        assert!(refused(ICMP, (0xff00, 0xffff), Style::Sets).is_some());
        assert_eq!(refused(ICMP, (0xff00, 0xff00), Style::Sets), None, "elements are exact");
    }
}
