//! Sets of ipset, before and after they are written down.

use std::collections::BTreeMap;

use ringfence_common::abi::policy::Direction;

use crate::backend::chains::{About, Form};
use crate::backend::iptables::Family;

/// All sets of a host, by name.
pub type Sets = BTreeMap<String, Set>;

/// A set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// `hash:net`, `hash:net,port`, `bitmap:port` or another type of ipset.
    pub kind: &'static str,
    /// The family of its addresses.
    pub family: Family,
    /// The place of its line in the lookup order; nothing for a set that is about who sends.
    pub form: Option<Form>,
    /// Whether what is in it is refused.
    pub denies: bool,
    /// The direction of the policy that it belongs to.
    pub direction: Option<Direction>,
    /// Elements, as ipset writes them (`10.0.0.0/24,tcp:80`), and what each is about.
    pub elements: BTreeMap<String, About>,
}
