//! Reading whole contents.

use std::net::IpAddr;

use ipnet::IpNet;
use ringfence_common::abi::config::AttachmentKey;

use super::side::Side;
use super::{EbpfError, Maps};
use crate::backend::host::HostTables;

impl Maps {
    /// All tables of the generation that counts.
    ///
    /// # Errors
    ///
    /// [`EbpfError::Map`] when one cannot be read.
    pub fn contents(&self) -> Result<HostTables, EbpfError> {
        self.read(self.current()?.0)
    }

    /// What the slot holds.
    pub(super) fn read(&self, slot: u32) -> Result<HostTables, EbpfError> {
        self.read_side(&Side::open(self, slot)?)
    }

    /// What the slot holds whose tables are `side`.
    pub(super) fn read_side(&self, side: &Side) -> Result<HostTables, EbpfError> {
        let slot = side.slot;
        let mut tables = side.tables(self.generations.config(slot), &self.rules);
        tables.classes = self.classes.read(slot)?;
        let v4 = self.prefixes_v4.prefixes(slot)?;
        let v6 = self.prefixes_v6.prefixes(slot)?;
        let v4 = v4.into_iter().map(|(key, id)| (IpAddr::from(key.data()), key.prefix_len(), id));
        let v6 = v6.into_iter().map(|(key, id)| (IpAddr::from(key.data()), key.prefix_len(), id));
        let net = |(address, length, identity): (IpAddr, u32, u32)| {
            Some((IpNet::new(address, u8::try_from(length).ok()?).ok()?, identity))
        };
        tables.prefixes.extend(v4.chain(v6).filter_map(net));
        Ok(tables)
    }

    /// The hooks that the generation that counts knows.
    pub(super) fn expected_hooks(&self) -> Result<Vec<AttachmentKey>, EbpfError> {
        Ok(Side::open(self, self.current()?.0)?.hooks())
    }
}
