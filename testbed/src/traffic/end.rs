//! One end of a wire.

use std::io;

use super::TrafficError;
use crate::netns::Namespace;
use crate::veth::{Netlink, NetlinkError};

/// An interface of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Where it is.
    pub namespace: &'a Namespace,
    /// What the interface is called there.
    pub interface: &'a str,
}

impl End<'_> {
    /// The interface's number.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when there is none of that name.
    pub fn index(&self) -> Result<u32, TrafficError> {
        self.ask(|netlink| netlink.index(self.interface))
    }

    /// Its Ethernet address.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when there is none of that name, or it has another kind of address.
    pub fn link_address(&self) -> Result<[u8; 6], TrafficError> {
        let address = self.ask(|netlink| netlink.link_address(self.interface))?;
        let kind = |bytes: Vec<u8>| {
            let (name, length) = (self.interface, bytes.len());
            TrafficError::Unexpected(format!("`{name}` has an address of {length} bytes, not 6"))
        };
        address.try_into().map_err(kind)
    }

    fn ask<T: Send>(
        &self,
        ask: impl FnOnce(&Netlink) -> Result<T, NetlinkError> + Send,
    ) -> Result<T, TrafficError> {
        let asked = self.namespace.run(|| ask(&Netlink::open()?))?;
        let what = format!("ask for the interface `{}`", self.interface);
        asked.map_err(|error| TrafficError::Refused { what, source: io::Error::other(error) })
    }
}
