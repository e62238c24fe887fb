//! The oracle has limits of its own, so that it shares nothing with what it checks; they have to be
//! those of the dataplane.

use ringfence_common::abi::config::essential;
use ringfence_common::abi::limits as dataplane;
use ringfence_dataplane::oracle::{Essential, limits as oracle};

#[test]
fn the_oracle_has_the_limits_of_the_dataplane() {
    assert_eq!(oracle::VLAN_TAGS, dataplane::VLAN_TAGS);
    assert_eq!(oracle::EXTENSION_HEADERS, dataplane::EXTENSION_HEADERS);
    assert_eq!(oracle::FRAGMENT_PIECES, dataplane::FRAGMENT_PIECES);
    assert_eq!(oracle::PICK_UP.as_secs(), dataplane::PICK_UP_SECONDS);
}

#[test]
fn the_oracle_knows_as_many_kinds_of_essential_traffic() {
    assert_eq!(Essential::ALL.len(), essential::ALL.count_ones() as usize);
    for essential in Essential::ALL {
        assert_eq!(Essential::from_name(essential.name()), Some(essential));
    }
    assert_eq!(Essential::from_name("everything"), None);
}
