//! Packet sockets (packet(7)): one reads what arrives on an interface and sends out of it.
//!
//! What makes a frame leave as it came:
//!
//! * `PACKET_VNET_HDR`: each frame has a header in front (`struct virtio_net_hdr`, Virtio 1.2
//!   §5.1.6) with its unfinished checksum and its segmentation, and takes them along when sent.
//! * `PACKET_AUXDATA`: the VLAN tag that the driver took out of the frame comes beside it.
//! * `PACKET_IGNORE_OUTGOING`: what is sent does not come back.
//! * promiscuity: frames for others are seen.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, getsockopt, recv, setsockopt, socket, sockopt,
};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use pnet::datalink::linux::{Config, channel};
use pnet::datalink::{ChannelType, NetworkInterface};

use super::{LiveError, Port};

/// Bytes of frames that wait in a socket, at most: some 5,000 small frames, or 100 of the largest.
const WAITING_BYTES: usize = 8 << 20;

sockopt_impl!(
    /// Frames have a `struct virtio_net_hdr` in front.
    PacketVnetHdr, SetOnly, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool
);
sockopt_impl!(
    /// A `struct tpacket_auxdata` comes beside each frame.
    PacketAuxdata, SetOnly, libc::SOL_PACKET, libc::PACKET_AUXDATA, bool
);
sockopt_impl!(
    /// Frames that leave by the interface are not seen.
    PacketIgnoreOutgoing, SetOnly, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool
);
sockopt_impl!(
    /// The group of sockets that share an interface's frames: its number, and its kind shifted by
    /// 16.
    PacketFanout, Both, libc::SOL_PACKET, libc::PACKET_FANOUT, u32
);
sockopt_impl!(
    /// Frames that the socket was offered, and those it had no room for, since it was asked last.
    PacketStatistics, GetOnly, libc::SOL_PACKET, libc::PACKET_STATISTICS, libc::tpacket_stats
);

/// An open packet socket. Closing it ends what it asked of the interface.
pub struct Socket(OwnedFd);

/// Opens `count` sockets on an interface that share its frames by flow: all packets of a flow, in
/// both directions, and all fragments between two addresses, go to the socket of one number
/// (`PACKET_FANOUT_HASH` takes the kernel's symmetric flow hash).
pub fn open(port: &Port, count: usize) -> Result<Vec<Socket>, LiveError> {
    let mut sockets: Vec<Socket> = Vec::with_capacity(count);
    let mut group = None;
    for _ in 0..count {
        let socket = Socket::prepare().map_err(|source| LiveError::open(port, source))?;
        let on_interface = |source| LiveError::Interface {
            interface: port.name.clone(),
            source: io::Error::from(source),
        };
        socket.bind(port).map_err(|source| LiveError::open(port, source))?;
        if count > 1 {
            group = Some(socket.join(group).map_err(on_interface)?);
            socket.forget_waiting().map_err(on_interface)?;
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

impl Socket {
    /// A socket that gets nothing yet.
    fn prepare() -> io::Result<Self> {
        // Protocol 0: nothing is received before the socket is bound.
        let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, PacketVnetHdr, &true)?;
        setsockopt(&fd, PacketAuxdata, &true)?;
        setsockopt(&fd, PacketIgnoreOutgoing, &true)?;
        // Without CAP_NET_ADMIN the system's limit (net.core.rmem_max) holds, and a burst may be
        // longer than what waits; what is lost so is counted.
        if setsockopt(&fd, sockopt::RcvBufForce, &WAITING_BYTES).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &WAITING_BYTES)?;
        }
        if setsockopt(&fd, sockopt::SndBufForce, &WAITING_BYTES).is_err() {
            setsockopt(&fd, sockopt::SndBuf, &WAITING_BYTES)?;
        }
        Ok(Self(fd))
    }

    /// Binds the socket to its interface, for all protocols, and makes the interface promiscuous
    /// as long as the socket is open.
    fn bind(&self, port: &Port) -> io::Result<()> {
        let interface = NetworkInterface {
            name: port.name.clone(),
            description: String::new(),
            index: port.index,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        };
        // pnet owns the descriptor that it is given, and closes it on errors too.
        let descriptor = self.0.try_clone()?.into_raw_fd();
        let config = Config {
            channel_type: ChannelType::Layer2,
            promiscuous: true,
            socket_fd: Some(descriptor),
            write_buffer_size: 0,
            read_buffer_size: 0,
            ..Config::default()
        };
        channel(&interface, config).map(drop)
    }

    /// Joins the group, or founds one with a number that nobody has, and says which.
    fn join(&self, group: Option<u32>) -> nix::Result<u32> {
        let number = group.unwrap_or(0);
        let unique = if group.is_none() { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
        setsockopt(self, PacketFanout, &(number | (libc::PACKET_FANOUT_HASH | unique) << 16))?;
        Ok(getsockopt(self, PacketFanout)? & 0xffff)
    }

    /// Throws away what arrived between binding and joining: the sockets before this one have
    /// got it too, and it would pass twice.
    fn forget_waiting(&self) -> nix::Result<()> {
        let offered = getsockopt(self, PacketStatistics)?.tp_packets;
        for _ in 0..offered {
            // A frame that cannot be read is gone as well.
            let thrown = recv(self.as_raw_fd(), &mut [0; 16], MsgFlags::MSG_DONTWAIT);
            if thrown == Err(Errno::EAGAIN) {
                break;
            }
        }
        Ok(())
    }

    /// Frames that the socket had no room for since this was asked last.
    pub fn lost(&self) -> u64 {
        // The call fails on nothing but a descriptor that is no packet socket.
        getsockopt(self, PacketStatistics).map_or(0, |statistics| statistics.tp_drops.into())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
