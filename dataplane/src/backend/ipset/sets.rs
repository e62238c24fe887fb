//! Sets of ipset, before and after they are written down.

use std::collections::BTreeMap;

use ringfence_common::abi::policy::Direction;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::backend::chains::{About, Form};
use crate::backend::iptables::Family;

/// All sets of a host, by name.
pub type Sets = BTreeMap<String, Set>;

/// A set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The type in the words of ipset: `hash:net`, `hash:net,port` or `hash:net,iface`.
    pub kind: String,
    /// The family of its addresses.
    pub family: Family,
    /// The place of its line in the lookup order; nothing for a set that is about who sends.
    pub form: Option<Form>,
    /// Whether what is in it is refused.
    pub denies: bool,
    /// The direction of the policy that it belongs to.
    #[serde(serialize_with = "write_direction", deserialize_with = "read_direction")]
    pub direction: Option<Direction>,
    /// Elements, as ipset writes them (`10.0.0.0/24,tcp:80`), and what each is about.
    pub elements: BTreeMap<String, About>,
}

/// As whether it is egress.
fn write_direction<S: Serializer>(
    direction: &Option<Direction>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    direction.map(|direction| direction == Direction::Egress).serialize(serializer)
}

fn read_direction<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Direction>, D::Error> {
    let egress = Option::<bool>::deserialize(deserializer)?;
    Ok(egress.map(|egress| if egress { Direction::Egress } else { Direction::Ingress }))
}
