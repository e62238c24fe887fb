use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::prelude::*;
use ringfence_common::abi::policy::Direction;

use super::*;
use crate::backend::chains::Form;
use crate::backend::iptables::Family;

const FORMS: [Form; 5] =
    [Form::PeerPorts, Form::PeerProtocol, Form::Peer, Form::Ports, Form::Protocol];

/// Addresses that packets come from or go to: few, so that blocks often have the same.
const ADDRESSES: u8 = 16;

/// The addresses that a set has: a bit for each.
type Has = u16;

/// A side that packets meet: what its sets have and whether they deny, in the order in which the
/// chain asks them, and its default.
struct Side {
    sets: Vec<(Has, bool)>,
    default_allows: bool,
}

fn name(direction: Direction, form: Form, denies: bool) -> String {
    let direction = if direction == Direction::Egress { "out" } else { "in" };
    format!("rf4-{direction}-0000002a-{}{}", form as u8, if denies { 'd' } else { 'a' })
}

/// What a side says about a packet to or from an address: the answer of the first set that has it.
fn allows(side: &Side, address: u8) -> bool {
    let first = side.sets.iter().find(|(has, _)| has & (1 << address) != 0);
    first.map_or(side.default_allows, |(_, denies)| !denies)
}

/// The order in which the chain has its rules, not that in which elements change.
fn side(sets: &Sets, direction: Direction, default_allows: bool) -> Side {
    let names = FORMS.iter().flat_map(|form| [true, false].map(|d| name(direction, *form, d)));
    let sets = names.filter_map(|name| sets.get(&name)).map(|set| (has(set), set.denies));
    Side { sets: sets.collect(), default_allows }
}

fn has(set: &Set) -> Has {
    let blocks = set.elements.keys().map(|block| block.parse::<Ipv4Net>().unwrap());
    let addresses = blocks.flat_map(|block| {
        (0..ADDRESSES).filter(move |last| block.contains(&Ipv4Addr::new(10, 0, 0, *last)))
    });
    addresses.fold(0, |has, last| has | 1 << last)
}

/// Blocks of one to four of the addresses.
fn blocks() -> impl Strategy<Value = BTreeMap<String, About>> {
    let block = (0..ADDRESSES, 30..=32_u8, 0..3_u32).prop_map(|(last, length, number)| {
        let block = Ipv4Net::new(Ipv4Addr::new(10, 0, 0, last), length).unwrap().trunc();
        (block.to_string(), About::Rule { number, name: "a".to_owned() })
    });
    proptest::collection::vec(block, 0..5).prop_map(|blocks| blocks.into_iter().collect())
}

/// All sets of a side for each direction.
fn sets() -> impl Strategy<Value = Sets> {
    proptest::collection::vec(blocks(), 20).prop_map(|blocks| {
        let directions = [Direction::Ingress, Direction::Egress];
        let kinds = directions.iter().flat_map(|direction| {
            FORMS.iter().flat_map(move |form| [true, false].map(|d| (*direction, *form, d)))
        });
        let set = |((direction, form, denies), elements): ((Direction, Form, bool), _)| {
            let set = Set {
                kind: "hash:net".to_owned(),
                family: Family::V4,
                form: Some(form),
                denies,
                direction: Some(direction),
                elements,
            };
            (name(direction, form, denies), set)
        };
        kinds.zip(blocks).map(set).collect()
    })
}

/// `new`, but with the sets of `old` in one direction, or only with changes that let more pass.
fn narrowed(old: &Sets, new: &Sets, how: u8) -> Sets {
    let merge = |(name, set): (&String, &Set)| {
        let before = &old[name];
        let (mut set, direction) = (set.clone(), set.direction);
        match how {
            0 if direction == Some(Direction::Egress) => set = before.clone(),
            1 if direction == Some(Direction::Ingress) => set = before.clone(),
            // What is allowed grows, what is denied shrinks; or the other way round.
            2 | 3 if set.denies == (how == 3) => set.elements.extend(before.elements.clone()),
            2 | 3 => set.elements.retain(|element, _| before.elements.contains_key(element)),
            _ => {}
        }
        (name.clone(), set)
    };
    new.iter().map(merge).collect()
}

fn make(sets: &mut Sets, change: &ElementChange) {
    let elements = &mut sets.get_mut(&change.set).unwrap().elements;
    match &change.about {
        Some(about) => {
            elements.insert(change.element.clone(), about.clone());
        }
        None => {
            elements.remove(&change.element);
        }
    }
}

/// For each packet, from every address to every address, whether it passes.
fn verdicts(sets: &Sets, [egress, ingress]: [bool; 2]) -> Vec<bool> {
    let egress = side(sets, Direction::Egress, egress);
    let ingress = side(sets, Direction::Ingress, ingress);
    let from = |from| (0..ADDRESSES).map(move |to| [from, to]);
    let packets = (0..ADDRESSES).flat_map(from);
    packets.map(|[from, to]| allows(&egress, to) && allows(&ingress, from)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The argument of the module, tried: at every step every packet meets the old verdict or the
    /// new one, and at the end the sets are those that were wanted.
    #[test]
    fn at_every_step_a_packet_meets_the_old_or_the_new_verdict(
        old in sets(),
        new in sets(),
        how in 0..5_u8,
        defaults in any::<[bool; 2]>(),
    ) {
        let new = narrowed(&old, &new, how);
        let Some(changes) = in_place(&old, &new) else {
            prop_assert!(how == 4, "changes of kind {how} can be made in place");
            return Ok(());
        };
        let (before, after) = (verdicts(&old, defaults), verdicts(&new, defaults));
        let mut now = old.clone();
        for change in &changes {
            make(&mut now, change);
            for (at, verdict) in verdicts(&now, defaults).into_iter().enumerate() {
                prop_assert!(
                    [before[at], after[at]].contains(&verdict),
                    "from {} to {}: {verdict} after {change:?}, {} before, {} at the end",
                    at / usize::from(ADDRESSES), at % usize::from(ADDRESSES), before[at], after[at],
                );
            }
        }
        prop_assert_eq!(&now, &new);
        for change in inverse(&changes) {
            make(&mut now, &change);
        }
        prop_assert_eq!(&now, &old);
    }
}

fn one_set(direction: Option<Direction>, form: Option<Form>, elements: &[&str]) -> Sets {
    let about = About::Rule { number: 1, name: "a".to_owned() };
    let elements = elements.iter().map(|element| ((*element).to_owned(), about.clone()));
    let set = Set {
        kind: "hash:net,port".to_owned(),
        family: Family::V4,
        form,
        denies: false,
        direction,
        elements: elements.collect(),
    };
    Sets::from([("rf4-x".to_owned(), set)])
}

#[test]
fn what_the_argument_does_not_cover_is_not_done_in_place() {
    let of_side =
        |elements: &[&str]| one_set(Some(Direction::Ingress), Some(Form::PeerPorts), elements);
    let (one, two) =
        (of_side(&["10.0.0.1,tcp:80"]), of_side(&["10.0.0.1,tcp:80", "10.0.0.2,tcp:81"]));
    assert_eq!(in_place(&one, &two).map(|changes| count(&changes)), Some([1, 0, 0]));
    assert_eq!(in_place(&two, &one).map(|changes| count(&changes)), Some([0, 0, 1]));
    assert_eq!(in_place(&one, &Sets::new()), None, "another set");
    let other_kind = |kind: &str| {
        let mut sets = one.clone();
        sets.values_mut().for_each(|set| set.kind = kind.to_owned());
        sets
    };
    assert_eq!(in_place(&one, &other_kind("hash:net")), None, "another type");
    let range = of_side(&["10.0.0.1,tcp:80", "10.0.0.1,tcp:80-90"]);
    assert_eq!(in_place(&range, &one), None, "a range that shares an element with others");
    let only_range = of_side(&["10.0.0.1,tcp:80-90"]);
    assert_eq!(in_place(&range, &only_range), None, "an element that a range shares");
    let senders = one_set(None, None, &["10.0.0.1"]);
    assert_eq!(in_place(&senders, &one_set(None, None, &["10.0.0.2"])), None, "who sends");
}

#[test]
fn an_element_that_is_about_another_rule_now_is_changed_where_it_is() {
    let old = one_set(Some(Direction::Egress), Some(Form::Peer), &["10.0.0.1"]);
    let mut new = old.clone();
    let other = About::Rule { number: 2, name: "b".to_owned() };
    for about in new.values_mut().flat_map(|set| set.elements.values_mut()) {
        *about = other.clone();
    }
    let changes = in_place(&old, &new).unwrap();
    assert_eq!((count(&changes), differences(&old, &new)), ([0, 1, 0], [0, 1, 0]));
    assert_eq!(inverse(&changes)[0].about, changes[0].before);
}

#[test]
fn what_old_and_new_elements_need_together_is_counted() {
    let set = |numbers: std::ops::Range<u32>| Set {
        kind: "hash:net".to_owned(),
        family: Family::V4,
        form: Some(Form::Peer),
        denies: false,
        direction: Some(Direction::Ingress),
        elements: numbers
            .map(|number| (Ipv4Addr::from(number).to_string(), About::way("Test")))
            .collect(),
    };
    assert_eq!(together(&set(0..10), &set(5..20)), 20);
    let full = u32::try_from(ELEMENTS).unwrap();
    let sets = |set| Sets::from([("rf4-in-0000002a-3a".to_owned(), set)]);
    let (old, less) = (sets(set(0..full)), sets(set(1..full)));
    let moved = sets(set(1..full + 1));
    assert!(in_place(&old, &moved).is_none(), "the new element has no room beside the old");
    assert_eq!(in_place(&old, &less).map(|changes| changes.len()), Some(1));
}
