//! What the programs remember from packet to packet: forgetting it, and letting time pass, for
//! tests and measurements. Nothing here is needed to enforce.

use std::time::Duration;

use aya::maps::{HashMap, MapData};
use ringfence_common::abi::config::{Config, Selector};
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentKey};

use super::{EbpfError, Maps};
use crate::backend::clock;

impl Maps {
    /// Forgets all flows and fragmented packets; how many of each there were.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`].
    pub fn forget_state(&mut self) -> Result<[usize; 2], EbpfError> {
        let mut flows = 0;
        for (name, map) in self.flow_maps() {
            for key in keys(name, map)? {
                // It may have been evicted meanwhile.
                let _ = map.remove(&key);
                flows += 1;
            }
        }
        let fragments: Vec<FragmentKey> = keys("FRAGMENTS", &self.fragments)?;
        for key in &fragments {
            let _ = self.fragments.remove(key);
        }
        self.begin_epoch()?;
        Ok([flows, fragments.len()])
    }

    /// Forgets one flow; whether there was such a flow.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`].
    pub fn forget_flow(&mut self, key: &FlowKey) -> Result<bool, EbpfError> {
        let was_there = self.flow_maps().map(|(_, map)| map.remove(key).is_ok()).contains(&true);
        self.begin_epoch()?;
        Ok(was_there)
    }

    /// Forgets flows, fragmented packets and that anything was ever installed: the next
    /// [`Maps::install`] is the first one again. Until then every packet is denied.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`].
    pub fn start_again(&mut self) -> Result<(), EbpfError> {
        self.forget_state()?;
        for slot in 0..2 {
            self.generations.put_config(slot, Config::default());
        }
        Ok(())
    }

    /// Lets `time` pass: whatever the maps date is dated so much earlier, which to the programs is
    /// the same.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`].
    pub fn age(&mut self, time: Duration) -> Result<(), EbpfError> {
        let ticks = clock::ticks_in(time);
        if ticks == 0 {
            return Ok(());
        }
        for (name, map) in self.flow_maps() {
            for key in keys(name, map)? {
                // Whatever was evicted meanwhile needs no date.
                let Ok(mut entry) = map.get(&key, 0) else { continue };
                entry.last_seen = entry.last_seen.wrapping_sub(ticks);
                map.insert(key, entry, 0).map_err(EbpfError::map(name))?;
            }
        }
        for key in keys("FRAGMENTS", &self.fragments)? {
            let Ok(mut entry) = self.fragments.get(&key, 0) else { continue };
            entry.first_seen = entry.first_seen.wrapping_sub(ticks);
            self.fragments.insert(key, entry, 0).map_err(EbpfError::map("FRAGMENTS"))?;
        }
        let (slot, mut config) = self.current()?;
        config.pick_up_until = config.pick_up_until.wrapping_sub(ticks);
        self.generations.put_config(slot, config);
        self.begin_epoch()
    }

    fn flow_maps(&mut self) -> [(&'static str, &mut HashMap<MapData, FlowKey, FlowEntry>); 2] {
        [("FLOWS", &mut self.flows), ("HALF_OPEN", &mut self.half_open)]
    }

    /// Lets nothing count any more that the fast path remembers.
    fn begin_epoch(&mut self) -> Result<(), EbpfError> {
        let selector = self.selector()?;
        self.select(Selector { epoch: selector.epoch.wrapping_add(1), ..selector })
    }
}

fn keys<K: aya::Pod, V: aya::Pod>(
    name: &'static str,
    map: &HashMap<MapData, K, V>,
) -> Result<Vec<K>, EbpfError> {
    map.keys().collect::<Result<_, _>>().map_err(EbpfError::map(name))
}
