//! What the kernel remembers of connections, in the namespace of the calling thread.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    socket,
};

/// Deletes entries, all of them where none is named (`IPCTNL_MSG_CT_DELETE` of
/// `NFNL_SUBSYS_CTNETLINK`, Linux `include/uapi/linux/netfilter/nfnetlink_conntrack.h`).
const DELETE: u16 = 1 << 8 | 2;
/// `NLMSG_ERROR`, which also says that all went well.
const ACKNOWLEDGED: u16 = 2;
/// A netlink header, and the family, version and number that netfilter's messages begin with.
const LENGTH: u32 = 16 + 4;

/// Forgets all connections of both families.
///
/// # Errors
///
/// What the kernel says, for instance to who is not root.
pub fn forget_all() -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let netlink: OwnedFd =
        socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
    connect(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    send(netlink.as_raw_fd(), &request(), MsgFlags::empty())?;
    let mut answer = [0; 512];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    outcome(&answer[..length])
}

fn request() -> Vec<u8> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut bytes = Vec::new();
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(DELETE.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence number, port, and a family of 0, which is both.
    bytes.extend([0; 12]);
    bytes
}

/// What an answer says: the error that follows its header, 0 for none (RFC 3549 §2.3.2.1).
fn outcome(answer: &[u8]) -> io::Result<()> {
    let is_acknowledgement = answer.get(4..6) == Some(&ACKNOWLEDGED.to_ne_bytes());
    let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match error.filter(|_| is_acknowledgement) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "netlink acknowledges nothing")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
    use std::process::Command;

    use super::*;
    use crate::netns::Namespace;
    use crate::require::{self, Tool};

    /// Entries in the table of the calling thread's namespace.
    fn known() -> usize {
        let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count");
        count.unwrap().trim().parse().unwrap()
    }

    fn send_to_itself(own: impl Into<std::net::IpAddr>) {
        let receiver = UdpSocket::bind(SocketAddr::new(own.into(), 0)).unwrap();
        let sender =
            UdpSocket::bind(SocketAddr::new(receiver.local_addr().unwrap().ip(), 0)).unwrap();
        sender.send_to(b"?", receiver.local_addr().unwrap()).unwrap();
    }

    #[test]
    fn connections_of_both_families_are_forgotten() {
        let Some(_granted) = require::tools(&[Tool::Nft]) else { return };
        let namespace = Namespace::new().unwrap();
        let counts = namespace.run(|| {
            // Without a rule that asks for their state the kernel tracks no connections.
            let tracking = "add table inet t; \
                            add chain inet t c { type filter hook input priority 0; }; \
                            add rule inet t c ct state new";
            assert!(Command::new("nft").arg(tracking).status().unwrap().success());
            send_to_itself(Ipv4Addr::LOCALHOST);
            send_to_itself(Ipv6Addr::LOCALHOST);
            let before = known();
            forget_all().unwrap();
            (before, known())
        });
        assert_eq!(counts.unwrap(), (2, 0));
    }
}
