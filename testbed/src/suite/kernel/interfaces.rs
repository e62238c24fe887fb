//! Interfaces without traffic, for test runs.

use crate::netns::Namespace;
use crate::suite::SuiteError;
use crate::veth::Netlink;

/// Interfaces of a namespace of their own. Their far ends are down, so that no frame but those of
/// test runs is ever decided.
#[derive(Debug)]
pub struct Interfaces {
    host: Namespace,
    far: Namespace,
}

impl Interfaces {
    /// The namespace, without interfaces yet.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Namespace`]: without privileges, or when the kernel refuses.
    pub fn new() -> Result<Self, SuiteError> {
        Ok(Self { host: Namespace::new()?, far: Namespace::new()? })
    }

    /// The namespace in which the interfaces are.
    #[must_use]
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// Makes an interface; its number.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Netlink`], for instance when the name is taken.
    pub fn add(&self, name: &str) -> Result<u32, SuiteError> {
        let add = || {
            let netlink = Netlink::open()?;
            netlink.add_veth(name, &self.far, name)?;
            // XDP has its queues only on interfaces that are up.
            netlink.set_up(name)?;
            netlink.index(name)
        };
        Ok(self.host.run(add)??)
    }
}
