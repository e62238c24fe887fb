//! The ways of changing rules.

use super::super::scene::{NEWCOMERS, State};

/// A way of changing rules: how many, and by what means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// One rule, by the shortest way there is: of the eBPF programs one difference of their tables,
    /// of the filter in user space its tables, of bare rules one process of their tool. Ringfence's
    /// chains have one way only, [`Form::Applied`], which is this one too.
    One,
    /// The same of the eBPF programs, right after another change: without a moment in which they could
    /// remove what that has left ([`Changer::tidy_up`]).
    ///
    /// [`Changer::tidy_up`]: ringfence_dataplane::backend::ebpf::Changer::tidy_up
    Hurried,
    /// One rule in front of the others, where `One` is behind them.
    Inserted,
    /// One rule, by a tool that runs on and is told.
    InSession,
    /// One rule, the way of `ringfence apply` from policies on: compiled, planned, applied, written
    /// down.
    Applied,
    /// A hundred rules at once.
    Hundred,
    /// All rules, where the policy had none.
    Loaded,
    /// The same as one difference.
    Incremental,
    /// All rules again because of one.
    Rebuilt,
    /// The same, after all rules were taken away: what scripts do.
    Flushed,
}

/// Where a change leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Rules come, and let the client in.
    There,
    /// They go.
    Back,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::One,
        Self::Hurried,
        Self::Inserted,
        Self::InSession,
        Self::Applied,
        Self::Hundred,
        Self::Loaded,
        Self::Incremental,
        Self::Rebuilt,
        Self::Flushed,
    ];

    /// Whether it is one of those that every comparison needs: one rule, a hundred, all.
    #[must_use]
    pub const fn is_basic(self) -> bool {
        matches!(self, Self::One | Self::InSession | Self::Applied | Self::Hundred | Self::Loaded)
    }

    /// What it is called in records.
    #[must_use]
    pub const fn variant(self, direction: Direction) -> &'static str {
        match (self, direction) {
            (Self::One, Direction::There) => "one rule",
            (Self::One, Direction::Back) => "one rule, removed",
            (Self::Hurried, Direction::There) => "one rule, at once",
            (Self::Hurried, Direction::Back) => "one rule, removed at once",
            (Self::Inserted, Direction::There) => "one rule, inserted",
            (Self::Inserted, Direction::Back) => "one inserted rule, removed",
            (Self::InSession, Direction::There) => "one rule, in a session",
            (Self::InSession, Direction::Back) => "one rule, removed in a session",
            (Self::Applied, Direction::There) => "one rule, applied",
            (Self::Applied, Direction::Back) => "one rule, removed, applied",
            (Self::Hundred, Direction::There) => "100 rules",
            (Self::Hundred, Direction::Back) => "100 rules, removed",
            (Self::Loaded, Direction::There) => "all, loaded",
            (Self::Loaded, Direction::Back) => "all, removed",
            (Self::Incremental, Direction::There) => "all, incremental",
            (Self::Incremental, Direction::Back) => "all, incrementally removed",
            (Self::Rebuilt, Direction::There) => "all, rebuilt",
            (Self::Rebuilt, Direction::Back) => "all, rebuilt without one",
            (Self::Flushed, Direction::There) => "all, flushed and loaded",
            (Self::Flushed, Direction::Back) => "all, flushed and loaded without one",
        }
    }

    /// The policies between which it leads.
    #[must_use]
    pub const fn states(self, direction: Direction) -> [State; 2] {
        let [from, to] = match self {
            Self::Hundred => [State::Standing, State::With(NEWCOMERS)],
            Self::Loaded | Self::Incremental => [State::Closed, State::With(1)],
            _ => [State::Standing, State::With(1)],
        };
        match direction {
            Direction::There => [from, to],
            Direction::Back => [to, from],
        }
    }

    /// Whether the way back is worth measuring: taking all rules away is no change of theirs.
    #[must_use]
    pub const fn has_way_back(self) -> bool {
        !matches!(self, Self::Loaded | Self::Incremental)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_form_has_names_of_its_own_and_lets_the_client_in() {
        let mut names = BTreeSet::new();
        for form in Form::ALL {
            for direction in [Direction::There, Direction::Back] {
                assert!(names.insert(form.variant(direction)), "{form:?}");
            }
            let [from, to] = form.states(Direction::There);
            assert!(matches!((from, to), (State::Standing | State::Closed, State::With(_))));
            assert_eq!(form.states(Direction::Back), [to, from]);
        }
    }
}
