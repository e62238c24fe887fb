//! Who has which number: a fresh assignment, and one that is kept while things come and go.
//!
//! Things have their numbers one after another, in their own order: each has the first of its
//! candidates ([`super::number`]) that none before it has. That is the one assignment in which
//! nobody would rather have a number that is free or held by somebody later, so it can be reached
//! from any other, and without putting things in order first: who comes takes a number from
//! somebody later, who then looks on; a number that becomes free goes to the earliest of those who
//! were refused it, which frees that one's own.

use hashbrown::HashMap;

use super::number::{Hash, candidate};

/// Position of a thing, as its owner calls it.
type Thing = usize;

/// What the things with numbers are.
pub(super) trait Things {
    /// The number that a thing tries with a salt.
    fn candidate(&self, thing: Thing, salt: u32) -> u32;

    /// Whether `one` is before `other` in their own order.
    fn is_before(&self, one: Thing, other: Thing) -> bool;
}

/// Who has which number.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By number: who has it, and with which salt.
    holders: HashMap<u32, (Thing, u32)>,
    /// By thing: its number.
    held: HashMap<Thing, u32>,
    /// By number: who tried it before the one they have; rarely anybody.
    refused: HashMap<u32, Vec<Thing>>,
    /// Who has another number since [`Numbers::moved`] was asked.
    moved: Vec<Thing>,
}

impl Numbers {
    /// The number of a thing.
    pub(super) fn of(&self, thing: Thing) -> u32 {
        self.held[&thing]
    }

    /// Who has a number.
    pub(super) fn holder(&self, number: u32) -> Option<Thing> {
        self.holders.get(&number).map(|(thing, _)| *thing)
    }

    /// Gives a thing a number.
    pub(super) fn insert(&mut self, thing: Thing, things: &impl Things) {
        let (mut thing, mut salt) = (thing, 0);
        loop {
            let number = things.candidate(thing, salt);
            match self.holders.get(&number).copied() {
                None => return self.hold(thing, number, salt),
                Some((holder, held_with)) if things.is_before(thing, holder) => {
                    self.hold(thing, number, salt);
                    self.refused.entry(number).or_default().push(holder);
                    self.moved.push(holder);
                    (thing, salt) = (holder, held_with + 1);
                }
                Some(_) => {
                    self.refused.entry(number).or_default().push(thing);
                    salt += 1;
                }
            }
        }
    }

    /// Takes a thing's number away.
    pub(super) fn remove(&mut self, thing: Thing, things: &impl Things) {
        let Some(number) = self.held.remove(&thing) else { return };
        let (_, salt) = self.holders.remove(&number).expect("who has a number is its holder");
        self.forget_refusals(thing, 0..salt, things);
        let mut free = number;
        while let Some(next) = self.first_refused(free, things) {
            let own = self.held[&next];
            let (_, own_salt) = self.holders.remove(&own).expect("who has a number is its holder");
            let salt = (0..own_salt).find(|salt| things.candidate(next, *salt) == free);
            let salt = salt.expect("who was refused a number had tried it");
            self.forget_refusals(next, salt..own_salt, things);
            self.hold(next, free, salt);
            self.moved.push(next);
            free = own;
        }
    }

    /// Who has another number since this was asked, though it may have its old one back.
    pub(super) fn moved(&mut self) -> Vec<Thing> {
        std::mem::take(&mut self.moved)
    }

    fn hold(&mut self, thing: Thing, number: u32, salt: u32) {
        self.holders.insert(number, (thing, salt));
        self.held.insert(thing, number);
    }

    fn first_refused(&self, number: u32, things: &impl Things) -> Option<Thing> {
        let refused = self.refused.get(&number)?.iter().copied();
        refused.reduce(|first, other| if things.is_before(other, first) { other } else { first })
    }

    fn forget_refusals(&mut self, thing: Thing, salts: std::ops::Range<u32>, things: &impl Things) {
        for salt in salts {
            let number = things.candidate(thing, salt);
            if let Some(refused) = self.refused.get_mut(&number) {
                let position = refused.iter().position(|other| *other == thing);
                position.map(|position| refused.swap_remove(position));
                if refused.is_empty() {
                    self.refused.remove(&number);
                }
            }
        }
    }
}

/// Gives every one of `things`, which are of one `kind` and all different, a number; `feed` says
/// what it stands for.
pub(super) fn number<T: Ord>(kind: &str, things: &[T], feed: impl Fn(&T, &mut Hash)) -> Vec<u32> {
    let all = All { kind, things, feed };
    let mut numbers = Numbers::default();
    (0..things.len()).for_each(|thing| numbers.insert(thing, &all));
    (0..things.len()).map(|thing| numbers.of(thing)).collect()
}

/// Things by their position.
struct All<'a, T, F> {
    kind: &'a str,
    things: &'a [T],
    feed: F,
}

impl<T: Ord, F: Fn(&T, &mut Hash)> Things for All<'_, T, F> {
    fn candidate(&self, thing: Thing, salt: u32) -> u32 {
        candidate(self.kind, salt, |hash| (self.feed)(&self.things[thing], hash))
    }

    fn is_before(&self, one: Thing, other: Thing) -> bool {
        self.things[one] < self.things[other]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The assignment as it is told: one after another.
    fn assign(things: &BTreeSet<Thing>, all: &impl Things) -> BTreeMap<Thing, u32> {
        let mut taken = BTreeSet::new();
        let number = |thing: &Thing| {
            let mut candidates = (0..=u32::MAX).map(|salt| all.candidate(*thing, salt));
            (*thing, candidates.find(|number| taken.insert(*number)).unwrap())
        };
        things.iter().map(number).collect()
    }

    #[test]
    fn numbers_never_change_between_releases() {
        let numbers = number("rule", &["a", "b"], |text, hash| hash.text(text));
        assert_eq!(numbers, [735_991_983, 996_097_236]);
    }

    #[test]
    fn a_number_does_not_depend_on_the_other_things_or_their_order() {
        let few = number("x", &["a", "m"], |text, hash| hash.text(text));
        let more = number("x", &["z", "m", "b", "a"], |text, hash| hash.text(text));
        assert_eq!((few[0], few[1]), (more[3], more[1]));
        let other_kind = number("y", &["a"], |text, hash| hash.text(text));
        assert_ne!(few[0], other_kind[0]);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let numbers = number("x", &[("ab", "c"), ("a", "bc")], |(first, second), hash| {
            hash.text(first);
            hash.text(second);
        });
        assert_ne!(numbers[0], numbers[1]);
        let unsalted = |first: &str, second: &str| {
            candidate("x", 0, |hash| {
                hash.text(first);
                hash.text(second);
            })
        };
        assert_eq!(numbers, [unsalted("ab", "c"), unsalted("a", "bc")]);
    }

    /// Things that want few numbers, so that they meet.
    struct Few;

    impl Things for Few {
        fn candidate(&self, thing: Thing, salt: u32) -> u32 {
            let wanted = (thing as u32).wrapping_mul(2_654_435_761) >> 13;
            (wanted + salt * (1 + wanted % 3)) % 40
        }

        fn is_before(&self, one: Thing, other: Thing) -> bool {
            one < other
        }
    }

    #[test]
    fn numbers_are_those_of_a_fresh_assignment_whoever_comes_and_goes() {
        let (mut numbers, mut there) = (Numbers::default(), BTreeSet::new());
        let (mut random, mut moved) = (1_u32, 0);
        for _ in 0..4_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let thing = (random >> 16) as usize % 32;
            if there.remove(&thing) {
                numbers.remove(thing, &Few);
            } else {
                there.insert(thing);
                numbers.insert(thing, &Few);
            }
            moved += numbers.moved().len();
            let expected = assign(&there, &Few);
            for (thing, number) in &expected {
                assert_eq!(numbers.of(*thing), *number, "{thing} of {there:?}");
                assert_eq!(numbers.holder(*number), Some(*thing));
            }
            assert_eq!(numbers.held.len(), expected.len());
            assert_eq!(numbers.holders.len(), expected.len());
        }
        assert!(moved > 1_000, "the things met {moved} times only");
        there.iter().for_each(|thing| numbers.remove(*thing, &Few));
        assert!(numbers.refused.is_empty(), "refusals of nobody: {:?}", numbers.refused);
    }
}
