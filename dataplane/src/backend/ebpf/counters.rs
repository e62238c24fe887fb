//! Counters, summed over the CPUs.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_common::abi::event::{Counter, reason_counter};
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;

use super::side::Side;
use super::{EbpfError, Maps};
use crate::backend::{Counters, ReasonCount};

impl Maps {
    /// The places of the rules that entries of the generation that counts name.
    fn places_in_use(&self) -> Result<BTreeSet<u32>, EbpfError> {
        let side = Side::open(self, self.current()?.0)?;
        Ok(side.places().filter(|place| *place != 0).collect())
    }

    /// Reads all counters; they grow from the first apply on and survive generations.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`].
    pub fn counters(&self) -> Result<Counters, EbpfError> {
        let mut reasons = Vec::new();
        for &reason in Reason::ALL {
            for direction in [Direction::Ingress, Direction::Egress] {
                let index = reason_counter(reason as u8, direction as u8);
                let values = self.reason_counters.get(&index, 0);
                let count = sum(&values.map_err(EbpfError::map("REASON_COUNTERS"))?);
                if count.packets > 0 {
                    reasons.push(ReasonCount { reason, direction: Some(direction), count });
                }
            }
        }
        let mut rules = BTreeMap::new();
        for place in self.places_in_use()? {
            if let Some(count) = self.rules.count(place)? {
                rules.insert(self.rules.number(place), count);
            }
        }
        let lost = self.lost_events.get(&0, 0).map_err(EbpfError::map("LOST_EVENTS"))?;
        Ok(Counters { reasons, rules, lost_events: Some(lost.iter().sum()) })
    }
}

/// The sum over all CPUs.
pub(super) fn sum(values: &[Counter]) -> Counter {
    values.iter().fold(Counter::default(), |total, value| Counter {
        packets: total.packets + value.packets,
        bytes: total.bytes + value.bytes,
    })
}
