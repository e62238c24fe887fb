//! Workloads and namespaces: whom policy is about.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::{Labels, Protocol};

/// Label that every namespace carries with its own name as value (Kubernetes does this too).
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Label that the host itself carries, with the value `true`, and no other workload: by it a
/// selector can leave out the host, as those of ClusterNetworkPolicies do.
pub const HOST_LABEL: &str = "ringfence.dev/host";

/// All namespaces and workloads. No two workloads share an address; every workload's namespace
/// exists; the host, and nobody else, carries [`HOST_LABEL`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    namespaces: BTreeMap<String, Namespace>,
    workloads: BTreeMap<WorkloadName, Workload>,
    owners: BTreeMap<IpAddr, WorkloadName>,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
    labels: Labels,
}

impl Namespace {
    /// The namespace `name`. Whatever `labels` say, it carries `kubernetes.io/metadata.name`
    /// with its own name.
    #[must_use]
    pub fn new(name: impl Into<String>, mut labels: Labels) -> Self {
        let name = name.into();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
        Self { name, labels }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its labels, the implicit one among them.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// A workload's name: `shop/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl WorkloadName {
    /// `namespace/name`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What runs: a pod, a container, a virtual machine, a service of the host, or the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: WorkloadName,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, v4 and v6; sorted, each once.
    pub addresses: Vec<IpAddr>,
    /// Its ports that have names.
    pub ports: Vec<NamedPort>,
    /// The interface of this host it sits behind, if the document says so.
    pub interface: Option<String>,
    /// Whether it is the host itself.
    pub host: bool,
}

/// A port with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The name rules use.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// Why a workload cannot join the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InventoryError {
    /// There is one of that name already.
    DuplicateWorkload(WorkloadName),
    /// Another workload has that address (safety P13).
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        owner: WorkloadName,
        /// Who wants it too.
        claimant: WorkloadName,
    },
}

impl fmt::Display for InventoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateWorkload(name) => write!(f, "workload `{name}` is described twice"),
            Self::AddressTaken { address, owner, claimant } => {
                write!(f, "address `{address}` of `{claimant}` belongs to `{owner}` already")
            }
        }
    }
}

impl std::error::Error for InventoryError {}

impl Inventory {
    /// Adds or replaces a namespace.
    pub fn add_namespace(&mut self, namespace: Namespace) {
        self.namespaces.insert(namespace.name.clone(), namespace);
    }

    /// Adds a workload; its namespace comes into being if it is not there. Whatever its labels
    /// say, it carries [`HOST_LABEL`] exactly if it is the host.
    ///
    /// # Errors
    ///
    /// [`InventoryError`] if the name or one of the addresses is taken; nothing is added then.
    pub fn add_workload(&mut self, mut workload: Workload) -> Result<(), InventoryError> {
        if self.workloads.contains_key(&workload.name) {
            return Err(InventoryError::DuplicateWorkload(workload.name));
        }
        workload.addresses.sort();
        workload.addresses.dedup();
        if workload.host {
            workload.labels.insert(HOST_LABEL.to_owned(), "true".to_owned());
        } else {
            workload.labels.remove(HOST_LABEL);
        }
        for address in &workload.addresses {
            if let Some(owner) = self.owners.get(address) {
                return Err(InventoryError::AddressTaken {
                    address: *address,
                    owner: owner.clone(),
                    claimant: workload.name,
                });
            }
        }
        let namespace = &workload.name.namespace;
        if !self.namespaces.contains_key(namespace) {
            self.add_namespace(Namespace::new(namespace.clone(), Labels::new()));
        }
        for address in &workload.addresses {
            self.owners.insert(*address, workload.name.clone());
        }
        self.workloads.insert(workload.name.clone(), workload);
        Ok(())
    }

    /// Removes a workload; its namespace stays.
    pub fn remove_workload(&mut self, name: &WorkloadName) -> Option<Workload> {
        let workload = self.workloads.remove(name)?;
        for address in &workload.addresses {
            self.owners.remove(address);
        }
        Some(workload)
    }

    /// All namespaces, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.values()
    }

    /// The namespace `name`.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// All workloads, by name.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.workloads.values()
    }

    /// The workload `name`.
    #[must_use]
    pub fn workload(&self, name: &WorkloadName) -> Option<&Workload> {
        self.workloads.get(name)
    }

    /// The workload that has `address`.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<&Workload> {
        self.workloads.get(self.owners.get(&address)?)
    }
}
