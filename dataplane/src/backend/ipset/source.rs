//! Sets of senders.

use std::net::IpAddr;

use super::Set;
use crate::backend::chains::{About, Entry};
use crate::backend::iptables::{Family, Writer};

impl Writer<'_> {
    /// The set of workloads' own addresses with the interfaces that they belong behind; nothing
    /// where there are none.
    pub(in crate::backend) fn own_addresses_set(&mut self) -> Option<String> {
        let mut set = of_senders("hash:net,iface", self.family);
        for guard in &self.plan.guards {
            let (Entry::Interface(interface) | Entry::Shared(interface)) = &guard.entry else {
                continue;
            };
            for address in guard.addresses.iter().filter(|one| self.family.has(one)) {
                set.elements.insert(format!("{address},{interface}"), About::way(&guard.name));
            }
        }
        self.keep(format!("{}-own", prefix(self.family)), set)
    }

    /// The set of the addresses of this host and of its workloads behind interfaces; nothing where
    /// there are none.
    pub(in crate::backend) fn local_addresses_set(&mut self) -> Option<String> {
        let mut set = of_senders("hash:net", self.family);
        let guards = self.placed().map(|guard| (&guard.name, &guard.addresses));
        let host = self.plan.host.iter().map(|host| (&host.name, &host.addresses));
        for (name, addresses) in guards.chain(host) {
            let own = addresses.iter().filter(|one| self.family.has(one));
            set.elements.extend(own.map(|one: &IpAddr| (one.to_string(), About::way(name))));
        }
        self.keep(format!("{}-local", prefix(self.family)), set)
    }

    fn keep(&mut self, name: String, set: Set) -> Option<String> {
        if set.elements.is_empty() {
            return None;
        }
        self.sets.insert(name.clone(), set);
        Some(name)
    }
}

fn of_senders(kind: &str, family: Family) -> Set {
    let (form, direction, elements) = (None, None, std::collections::BTreeMap::new());
    Set { kind: kind.to_owned(), family, form, denies: false, direction, elements }
}

/// What names of sets begin with.
pub(super) fn prefix(family: Family) -> &'static str {
    match family {
        Family::V4 => "rf4",
        Family::V6 => "rf6",
    }
}
