//! Things by number, for as long as they are there.

use std::ops::{Index, IndexMut};

/// Things, each at a position of its own. A position that becomes free is given to another thing
/// only after [`Slots::reuse`], so that within one change it means one thing.
#[derive(Debug)]
pub(super) struct Slots<T> {
    things: Vec<Option<T>>,
    free: Vec<usize>,
    left: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { things: Vec::new(), free: Vec::new(), left: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Adds a thing; where it is.
    pub(super) fn add(&mut self, thing: T) -> usize {
        if let Some(position) = self.free.pop() {
            self.things[position] = Some(thing);
            return position;
        }
        self.things.push(Some(thing));
        self.things.len() - 1
    }

    /// Takes the thing at a position.
    pub(super) fn remove(&mut self, position: usize) -> Option<T> {
        let thing = self.things.get_mut(position)?.take()?;
        self.left.push(position);
        Some(thing)
    }

    /// Lets the positions that became free be used again.
    pub(super) fn reuse(&mut self) {
        self.free.append(&mut self.left);
    }

    /// The thing at a position, if it is still there.
    pub(super) fn get(&self, position: usize) -> Option<&T> {
        self.things.get(position)?.as_ref()
    }

    /// The thing at a position, if it is still there.
    pub(super) fn get_mut(&mut self, position: usize) -> Option<&mut T> {
        self.things.get_mut(position)?.as_mut()
    }

    /// The positions in use, in order.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        let used = self.things.iter().enumerate().filter(|(_, thing)| thing.is_some());
        used.map(|(position, _)| position)
    }
}

impl<T> Index<usize> for Slots<T> {
    type Output = T;

    fn index(&self, position: usize) -> &T {
        self.get(position).expect("nobody keeps the position of what is gone")
    }
}

impl<T> IndexMut<usize> for Slots<T> {
    fn index_mut(&mut self, position: usize) -> &mut T {
        self.get_mut(position).expect("nobody keeps the position of what is gone")
    }
}
