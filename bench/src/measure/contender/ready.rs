//! What a change needs and was made before its time is taken.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::kernel::MeasureError;
use crate::measure::scene::State;

/// Something for each state, made once, and the state that the next change leads to.
#[derive(Debug)]
pub struct Ready<T> {
    made: BTreeMap<State, T>,
    next: Option<State>,
}

impl<T> Ready<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { made: BTreeMap::new(), next: None }
    }

    /// Makes what `state` needs, unless that has been done.
    pub fn know(
        &mut self,
        state: State,
        make: impl FnOnce() -> Result<T, MeasureError>,
    ) -> Result<(), MeasureError> {
        if let Entry::Vacant(vacant) = self.made.entry(state) {
            vacant.insert(make()?);
        }
        Ok(())
    }

    /// What `state` needs.
    pub fn of(&self, state: State) -> Result<&T, MeasureError> {
        let unknown = || MeasureError::wrong("the measurement", format!("it knows no {state:?}"));
        self.made.get(&state).ok_or_else(unknown)
    }

    /// Has the next change lead to `state`.
    pub fn lead_to(&mut self, state: State) {
        self.next = Some(state);
    }

    /// Where the next change leads to; it is the next no longer.
    pub fn take_next(&mut self) -> Result<State, MeasureError> {
        let unprepared = || MeasureError::wrong("the measurement", "it prepared no change");
        self.next.take().ok_or_else(unprepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_state_needs_is_made_once_and_a_change_is_made_once() {
        let mut ready = Ready::new();
        assert!(ready.of(State::Standing).is_err() && ready.take_next().is_err());
        ready.know(State::Standing, || Ok(1)).unwrap();
        ready.know(State::Standing, || Ok(2)).unwrap();
        assert_eq!(*ready.of(State::Standing).unwrap(), 1);
        ready.lead_to(State::Standing);
        assert_eq!(ready.take_next().unwrap(), State::Standing);
        assert!(ready.take_next().is_err());
    }
}
