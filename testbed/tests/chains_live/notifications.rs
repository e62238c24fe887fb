//! What the kernel says of changes to nftables, as `nft monitor` reads it. That itself shows
//! nothing of sets whose keys are concatenated intervals (nftables 1.0.6).

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::host::Host;

/// `NFNLGRP_NFTABLES` as a bit of the groups that a socket belongs to.
const GROUP: u32 = 1 << (7 - 1);
/// `NFNL_SUBSYS_NFTABLES`, the upper byte of a message's type.
const NFTABLES: u8 = 10;
/// Types of messages (`enum nf_tables_msg_types` of `linux/netfilter/nf_tables.h`).
const NEW_ELEMENT: u8 = 12;
const DELETE_ELEMENT: u8 = 14;
const NEW_GENERATION: u8 = 15;
/// Attributes of a message about elements.
const SET: u16 = 2;
const ELEMENTS: u16 = 3;
/// The netlink header, and the four bytes of netfilter after it.
const HEADER: usize = 16;
const FAMILY: usize = 4;

/// Everything that is changed in nftables from now on.
pub struct Notifications(OwnedFd);

/// What was changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Set or map → elements added and deleted.
    pub elements: BTreeMap<String, [usize; 2]>,
    /// Types of messages about anything else: tables, chains, rules, sets.
    pub others: Vec<u8>,
}

impl Notifications {
    pub fn of(host: &Host) -> Self {
        let open = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let protocol = SockProtocol::NetlinkNetFilter;
            let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).unwrap();
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUP)).unwrap();
            socket
        };
        Self(host.run(open))
    }

    /// All until now. The kernel has sent them when the transaction has ended.
    pub fn changes(self) -> Changes {
        let mut changes = Changes::default();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => changes.read(&buffer[..length]),
                Err(Errno::EAGAIN) => return changes,
                Err(error) => panic!("more is changed than a socket can hold: {error}"),
            }
        }
    }
}

impl Changes {
    /// Reads messages, one after the other.
    fn read(&mut self, mut bytes: &[u8]) {
        while bytes.len() >= HEADER {
            let length = u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize;
            let [kind, subsystem] = u16::from_ne_bytes([bytes[4], bytes[5]]).to_le_bytes();
            assert_eq!(subsystem, NFTABLES);
            match kind {
                NEW_ELEMENT => self.count(&bytes[HEADER + FAMILY..length], 0),
                DELETE_ELEMENT => self.count(&bytes[HEADER + FAMILY..length], 1),
                NEW_GENERATION => {}
                other => self.others.push(other),
            }
            bytes = bytes.get(aligned(length)..).unwrap_or_default();
        }
    }

    fn count(&mut self, message: &[u8], verb: usize) {
        let find = |wanted| attributes(message).into_iter().find(|(kind, _)| *kind == wanted);
        let (_, set) = find(SET).unwrap();
        let (_, elements) = find(ELEMENTS).unwrap();
        let set = String::from_utf8_lossy(set).trim_end_matches('\0').to_owned();
        self.elements.entry(set).or_default()[verb] += attributes(elements).len();
    }
}

/// The attributes in `bytes`: type without flags, and value.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff;
        found.push((kind, &bytes[4..length]));
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    found
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}
