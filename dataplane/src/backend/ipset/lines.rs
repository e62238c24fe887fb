//! tmp
use crate::backend::chains::{Guard, Side};
use crate::backend::iptables::{Answer, Asked, End, Writer};
use ringfence_common::abi::policy::Direction;
use std::collections::BTreeMap;
impl Writer<'_> {
    pub(in crate::backend) fn set_answers(
        &mut self,
        _side: &Side,
        _of: (u32, Direction),
        _peer: End,
        _asked: Asked,
    ) -> Vec<Answer> {
        Vec::new()
    }
    pub(in crate::backend) fn own_addresses_set(
        &mut self,
        _i: &BTreeMap<&str, Vec<&Guard>>,
    ) -> String {
        String::new()
    }
    pub(in crate::backend) fn local_addresses_set(&mut self) -> String {
        String::new()
    }
}
