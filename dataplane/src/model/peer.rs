//! Peers: the other end of a rule.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Labels, Selector};

/// The peers of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Everyone: the document has no `from`/`to`, or an empty list.
    Everyone,
    /// Whoever one of these matches. Never empty.
    Any(Vec<Peer>),
}

/// One item of a `from` or `to` list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Workloads with these labels in these namespaces.
    Workloads {
        /// Which namespaces.
        namespaces: NamespaceScope,
        /// Which workloads there.
        workloads: Selector,
    },
    /// Addresses.
    Block(IpBlock),
}

/// Which namespaces a peer's workloads are looked for in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceScope {
    /// This one alone (a peer without `namespaceSelector` means its policy's own).
    Named(String),
    /// Those with these labels.
    Selected(Selector),
}

impl NamespaceScope {
    /// Whether the namespace `name` with `labels` is in scope. `labels` hold the implicit
    /// `kubernetes.io/metadata.name`, see [`super::Namespace::labels`].
    #[must_use]
    pub fn contains(&self, name: &str, labels: &Labels) -> bool {
        match self {
            Self::Named(named) => named == name,
            Self::Selected(selector) => selector.matches(labels),
        }
    }
}

/// A CIDR block without its exceptions. Each exception lies strictly within the block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    block: IpNet,
    except: Vec<IpNet>,
}

/// Why a block and its exceptions do not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerBlockError {
    /// The exception that does not lie strictly within the block.
    pub except: IpNet,
    /// The block.
    pub block: IpNet,
}

impl fmt::Display for PeerBlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not strictly within `{}`", self.except, self.block)
    }
}

impl std::error::Error for PeerBlockError {}

impl IpBlock {
    /// `block` without `except`. Host bits are cut off; exceptions are sorted.
    ///
    /// # Errors
    ///
    /// [`PeerBlockError`] for the first exception that is not strictly within `block`, as the
    /// Kubernetes API requires of `IPBlock.except`.
    pub fn new(block: IpNet, except: Vec<IpNet>) -> Result<Self, PeerBlockError> {
        let block = block.trunc();
        let mut except: Vec<IpNet> = except.iter().map(IpNet::trunc).collect();
        for &except in &except {
            if !block.contains(&except) || block == except {
                return Err(PeerBlockError { except, block });
            }
        }
        except.sort();
        except.dedup();
        Ok(Self { block, except })
    }

    /// Whether `address` is in the block and in none of its exceptions.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.block.contains(&address) && !self.except.iter().any(|net| net.contains(&address))
    }

    /// The block.
    #[must_use]
    pub fn block(&self) -> IpNet {
        self.block
    }

    /// The exceptions, sorted.
    #[must_use]
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.block)?;
        for (index, except) in self.except.iter().enumerate() {
            write!(f, "{}{except}", if index == 0 { " except " } else { "," })?;
        }
        Ok(())
    }
}
