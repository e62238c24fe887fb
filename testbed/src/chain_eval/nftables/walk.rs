//! A packet's way through chains, as `nft_do_chain` (net/netfilter/nf_tables_core.c) goes it.

use std::net::IpAddr;

use super::contents::{Contents, Table};
use super::fields::{Field, Place, Silent, V4, V6};
use super::syntax::{
    Chain, Element, Lookup, Match, Order, Rule, Sense, Statement, Verdict, Vmap, With,
};
use super::values::Value;
use crate::chain_eval::conntrack::{Direction, State};
use crate::chain_eval::{self, Action, Ruleset, Seen, Step};

impl Ruleset for Contents {
    fn verdict(&self, seen: &Seen<'_>) -> chain_eval::Verdict {
        let mut chains: Vec<(i32, &Table, &Chain, bool)> = Vec::new();
        for table in self.tables.values() {
            for chain in table.chains.values() {
                if let Some(base) = chain.base.as_ref().filter(|base| base.hook == seen.hook) {
                    chains.push((base.priority, table, chain, base.accepts));
                }
            }
        }
        chains.sort_by_key(|(priority, ..)| *priority);
        let mut verdict = chain_eval::Verdict::default();
        for (_, table, chain, accepts) in chains {
            let mut walk = Walk { table, seen, steps: Vec::new() };
            let ended = walk.base(chain);
            verdict.steps.append(&mut walk.steps);
            // What one base chain accepts, the next one is asked about.
            let passes = match ended {
                Ended::Dropped => false,
                Ended::Accepted => true,
                Ended::Over => accepts,
            };
            if !passes {
                verdict.dropped = true;
                return verdict;
            }
        }
        verdict
    }
}

/// `RTN_LOCAL` and `RTN_UNICAST`: routes are not modelled, so other addresses are all alike.
const LOCAL: u128 = 2;
const ELSEWHERE: u128 = 1;

/// How a base chain has ended.
enum Ended {
    Dropped,
    Accepted,
    /// Without a verdict: its policy counts.
    Over,
}

/// A packet in the chains of a table.
struct Walk<'s> {
    table: &'s Table,
    seen: &'s Seen<'s>,
    steps: Vec<Step>,
}

/// What became of a packet in a rule.
enum Outcome<'s> {
    /// On with the next rule.
    Next,
    /// A verdict, and the comment of what gave it.
    Verdict(&'s Verdict, &'s str),
}

impl<'s> Walk<'s> {
    fn base(&mut self, chain: &'s Chain) -> Ended {
        // Where to go on after a jump: in which chain, before which rule.
        let mut stack: Vec<(&'s Chain, usize)> = Vec::new();
        let (mut chain, mut next) = (chain, 0);
        loop {
            let Some(rule) = chain.rules.get(next) else {
                match stack.pop() {
                    Some(back) => (chain, next) = back,
                    None => return Ended::Over,
                }
                continue;
            };
            next += 1;
            let Outcome::Verdict(verdict, comment) = self.rule(rule) else { continue };
            let action = match verdict {
                Verdict::Accept => Action::Accept,
                Verdict::Drop => Action::Drop,
                Verdict::Return => Action::Return,
                Verdict::Jump(to) | Verdict::Goto(to) => Action::Enter(to.clone()),
                Verdict::Continue => continue,
            };
            self.steps.push(Step { comment: comment.to_owned(), elements: Vec::new(), action });
            match verdict {
                Verdict::Accept => return Ended::Accepted,
                Verdict::Drop => return Ended::Dropped,
                Verdict::Return => next = chain.rules.len(),
                Verdict::Jump(to) | Verdict::Goto(to) => {
                    if matches!(verdict, Verdict::Jump(_)) {
                        stack.push((chain, next));
                    }
                    (chain, next) = (&self.table.chains[to], 0);
                }
                Verdict::Continue => {}
            }
        }
    }

    fn rule(&mut self, rule: &'s Rule) -> Outcome<'s> {
        let comment = rule.comment.as_deref().unwrap_or_default();
        for statement in &rule.statements {
            match statement {
                Statement::Match(question) if self.holds(question) => {}
                Statement::Match(_) => return Outcome::Next,
                Statement::Vmap(vmap) => match self.look_up(vmap) {
                    None => return Outcome::Next,
                    Some((Verdict::Continue, _)) => {}
                    Some((verdict, of_element)) => {
                        return Outcome::Verdict(verdict, of_element.unwrap_or(comment));
                    }
                },
                Statement::Counter => {}
                Statement::Log(log) => {
                    let prefix = log.prefix.clone().unwrap_or_default();
                    let action = Action::Log(prefix);
                    self.steps.push(Step {
                        comment: comment.to_owned(),
                        elements: Vec::new(),
                        action,
                    });
                }
                Statement::Verdict(verdict) => return Outcome::Verdict(verdict, comment),
            }
        }
        Outcome::Next
    }

    fn holds(&self, question: &Match) -> bool {
        let Some(key) = self.key(&question.silent, &question.fields) else { return false };
        match (&question.with, key.as_slice()) {
            (With::OneOf(elements, sense), key) => {
                find(elements, key).is_some() == (*sense == Sense::Is)
            }
            (With::Named(name, sense), key) => {
                let elements = &self.table.sets[name].elements;
                find(elements, key).is_some() == (*sense == Sense::Is)
            }
            (With::Compared(order, number), [Value::Number(value)]) => match order {
                Order::Below => value < number,
                Order::AtMost => value <= number,
                Order::Above => value > number,
                Order::AtLeast => value >= number,
            },
            (With::AnyBit(bits), [Value::Number(value)]) => value & bits != 0,
            (With::Bits { mask, set, sense }, [Value::Number(value)]) => {
                (value & mask == *set) == (*sense == Sense::Is)
            }
            _ => false,
        }
    }

    fn look_up(&self, vmap: &'s Vmap) -> Option<(&'s Verdict, Option<&'s str>)> {
        let key = self.key(&vmap.silent, &vmap.fields)?;
        let elements = match &vmap.map {
            Lookup::Named(name) => &self.table.sets[name].elements,
            Lookup::Written(elements) => elements,
        };
        let element = find(elements, &key)?;
        Some((element.verdict.as_ref()?, element.comment.as_deref()))
    }

    /// The values of the fields; nothing where the packet lacks one, or what is asked silently
    /// before them does not hold.
    fn key(&self, silent: &[Silent], fields: &[Field]) -> Option<Vec<Value>> {
        for Silent { place, value } in silent {
            if self.value(*place)? != Value::Number((*value).into()) {
                return None;
            }
        }
        fields.iter().map(|field| self.value(field.place)).collect()
    }

    fn value(&self, place: Place) -> Option<Value> {
        let Seen { packet, tracked, input, output, now, .. } = self.seen;
        // An interface that is not there has an empty name (`nft_meta_store_ifname`).
        let name = |name: &Option<&str>| Value::Name(name.unwrap_or_default().to_owned());
        let number = match place {
            Place::InInterface => return Some(name(input)),
            Place::OutInterface => return Some(name(output)),
            Place::Family => u128::from(if packet.is_v6() { V6 } else { V4 }),
            Place::Protocol => packet.protocol?.into(),
            // Nanoseconds to the kernel, seconds in text.
            Place::Time => u128::try_from(now.as_nanosecond()).ok()?,
            Place::State => match tracked.state {
                State::Invalid => 1,
                State::Established => 2,
                State::Related => 4,
                State::New => 8,
                State::Untracked => 64,
            },
            Place::Direction => match tracked.direction? {
                Direction::Original => 0,
                Direction::Reply => 1,
            },
            Place::Source => bits(packet.source),
            Place::Destination => bits(packet.destination),
            Place::DestinationType => {
                let is_own = self.seen.host.contains(&packet.destination);
                if is_own || packet.destination.is_loopback() { LOCAL } else { ELSEWHERE }
            }
            Place::HopLimit => packet.hop_limit.into(),
            Place::Transport(offset, length) => {
                packet.protocol?;
                let (first, length) = (offset as usize / 8, length as usize / 8);
                let bytes = packet.transport.get(first..first + length)?;
                bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
            }
        };
        Some(Value::Number(number))
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The element that holds the key. Elements never overlap.
fn find<'e>(elements: &'e [Element], key: &[Value]) -> Option<&'e Element> {
    elements.iter().find(|element| element.holds(key))
}
