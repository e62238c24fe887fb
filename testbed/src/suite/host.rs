//! The host that has all workloads of a case: what is installed on it, and where things are.

use std::collections::BTreeMap;

use ringfence_common::abi::config::Hook;
use ringfence_common::abi::identity::endpoint;
use ringfence_dataplane::backend::{Desired, Mode, Settings};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::model::{Direction, PolicySet};

use super::backend::{At, SuiteError, Way};
use crate::case::{Case, Place};

/// What stays the same while one case is run.
#[derive(Debug)]
pub struct Host {
    case: String,
    place: Place,
    mode: Mode,
    settings: Settings,
    way: Way,
    /// Workload → which of the interfaces it is behind. A workload keeps its own.
    places: BTreeMap<String, usize>,
}

impl Host {
    pub fn new(case: &Case, way: Way) -> Self {
        Self {
            case: case.name.clone(),
            place: case.place.clone(),
            mode: case.mode,
            settings: case.settings,
            way,
            places: BTreeMap::new(),
        }
    }

    /// What is to be installed for `policies`. `interfaces` gives the numbers of the uplink and of
    /// as many other interfaces as it is asked for.
    pub fn desired(
        &mut self,
        policies: &PolicySet,
        interfaces: impl FnOnce(usize) -> Result<(u32, Vec<u32>), SuiteError>,
    ) -> Result<Desired, SuiteError> {
        let tables = compile(policies).map_err(|source| SuiteError::Compile {
            place: self.place.clone(),
            case: self.case.clone(),
            source: Box::new(source),
        })?;
        for (number, description) in &tables.endpoints {
            if *number != endpoint::HOST && !self.places.contains_key(&description.name) {
                self.places.insert(description.name.clone(), self.places.len());
            }
        }
        let (uplink, others) = interfaces(self.places.len())?;
        // All endpoints have a place by now; 0 is no interface's number.
        let index_of = |name: &str| self.places.get(name).map_or(0, |place| others[*place]);
        let arrival = self.way.arrival();
        let desired = Desired::all_local(tables, arrival, uplink, index_of);
        Ok(Desired { mode: self.mode, settings: self.settings, ..desired })
    }

    /// Where `at` sees what goes in `direction`: the hook, and the interface in `desired`.
    pub fn place(
        &self,
        desired: &Desired,
        at: At<'_>,
        direction: Direction,
    ) -> Result<(Hook, u32), SuiteError> {
        let index = match at {
            At::Workload(name) => {
                let name = name.to_string();
                let found = desired.interface_of(&name).map(|interface| interface.index);
                found.ok_or(SuiteError::Nowhere(name))?
            }
            // `Desired::all_local` has the uplink first.
            At::Uplink(_) => desired.interfaces[0].index,
        };
        Ok((self.way.hook(at, direction), index))
    }
}

/// The names of the rule with this number, if it has one.
pub fn rule_names(desired: &Desired, rule: u32) -> Vec<String> {
    desired.tables.rules.get(&rule).map(|rule| rule.name.clone()).into_iter().collect()
}
