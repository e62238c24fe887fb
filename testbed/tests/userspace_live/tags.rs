//! VLAN tags and unfinished checksums of single frames, looked at before and after the filter.

use std::io::{IoSlice, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, setsockopt,
    socket,
};
use nix::sys::time::TimeVal;
use nix::{setsockopt_impl, sockopt_impl};
use pnet::datalink::NetworkInterface;
use pnet::datalink::linux::{Config, channel};
use ringfence_dataplane::backend::userspace::live::NotSent;
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::packet::Frame;
use ringfence_testbed::require;
use ringfence_testbed::topology::Machines;

use crate::wire::{start, stop};

sockopt_impl!(
    /// Frames have a header in front that says how far their checksum is.
    VnetHeader, SetOnly, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool
);
sockopt_impl!(
    /// The tag that the kernel took out comes beside the frame.
    Auxdata, SetOnly, libc::SOL_PACKET, libc::PACKET_AUXDATA, bool
);
sockopt_impl!(
    /// What this machine sends is not received.
    IgnoreOutgoing, SetOnly, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool
);

/// Bytes of `struct virtio_net_hdr`.
const HEADER: usize = 10;

/// A packet socket on a machine's `eth0`.
struct Raw(OwnedFd);

/// A frame on the wire: its bytes with all tags in them, and where its unfinished checksum starts.
#[derive(Debug, PartialEq, Eq)]
struct OnWire {
    bytes: Vec<u8>,
    checksum_start: Option<u16>,
}

impl Raw {
    fn open(machine: &Namespace) -> Self {
        machine
            .run(|| {
                let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None);
                let fd = fd.unwrap();
                setsockopt(&fd, VnetHeader, &true).unwrap();
                setsockopt(&fd, Auxdata, &true).unwrap();
                setsockopt(&fd, IgnoreOutgoing, &true).unwrap();
                setsockopt(&fd, ReceiveTimeout, &TimeVal::new(1, 0)).unwrap();
                let interface = NetworkInterface {
                    name: "eth0".to_owned(),
                    description: String::new(),
                    index: if_nametoindex("eth0").unwrap(),
                    mac: None,
                    ips: Vec::new(),
                    flags: 0,
                };
                let own = fd.try_clone().unwrap().into_raw_fd();
                channel(&interface, Config { socket_fd: Some(own), ..Config::default() }).unwrap();
                // pnet makes it non-blocking.
                let flags = nix::fcntl::OFlag::empty();
                nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
                Self(fd)
            })
            .unwrap()
    }

    fn send(&self, frame: &OnWire) {
        // To be put 6 bytes into the UDP header.
        self.send_with(frame.checksum_start.map(|start| (start, 6)), &frame.bytes);
    }

    /// Sends a frame whose checksum, from the first number on, is to be put as far behind that as
    /// the second says.
    fn send_with(&self, checksum: Option<(u16, u16)>, frame: &[u8]) {
        let mut header = [0; HEADER];
        if let Some((start, offset)) = checksum {
            header[0] = 1;
            header[6..8].copy_from_slice(&start.to_ne_bytes());
            header[8..10].copy_from_slice(&offset.to_ne_bytes());
        }
        let pieces = [IoSlice::new(&header), IoSlice::new(frame)];
        sendmsg::<()>(self.0.as_raw_fd(), &pieces, &[], MsgFlags::empty(), None).unwrap();
    }

    /// The next frame that [`Frame::ethernet`] is the start of; nothing after a second without.
    fn receive(&self) -> Option<OnWire> {
        loop {
            let mut buffer = vec![0; 2_048];
            let mut pieces = [IoSliceMut::new(&mut buffer)];
            let mut control = nix::cmsg_space!([u8; 20]);
            let (fd, flags) = (self.0.as_raw_fd(), MsgFlags::empty());
            let message = recvmsg::<()>(fd, &mut pieces, Some(&mut control), flags).ok()?;
            let length = message.bytes;
            let ControlMessageOwned::Unknown(data) = message.cmsgs().unwrap().next().unwrap()
            else {
                panic!("no auxiliary data");
            };
            let frame = on_wire(&buffer[..length], &data.data_bytes);
            if frame.bytes.starts_with(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]) {
                return Some(frame);
            }
        }
    }
}

/// Puts the tag back and reads the header.
fn on_wire(received: &[u8], auxdata: &[u8]) -> OnWire {
    let number = |bytes: &[u8], at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let (header, frame) = received.split_at(HEADER);
    let status = u32::from_ne_bytes([auxdata[0], auxdata[1], auxdata[2], auxdata[3]]);
    let tagged = status & libc::TP_STATUS_VLAN_VALID != 0;
    let mut bytes = frame.to_vec();
    if tagged {
        let [kind, control] = [18, 16].map(|at| number(auxdata, at).to_be_bytes());
        bytes.splice(12..12, [kind[0], kind[1], control[0], control[1]]);
    }
    let moved = if tagged { 4 } else { 0 };
    let checksum_start = (header[0] & 1 != 0).then(|| number(header, 6) + moved);
    OnWire { bytes, checksum_start }
}

#[test]
fn tags_and_unfinished_checksums_arrive_as_they_were_sent() {
    let Some(_granted) = require::privileged() else { return };
    let machines = Machines::build(1_500).unwrap();
    let running = start(&machines, 2);
    let (sender, receiver) = (Raw::open(&machines.inside), Raw::open(&machines.outside));
    let (inside, outside) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let plain = Frame::ethernet;
    let chains = [plain(), plain().vlan(5), plain().provider_vlan(7).vlan(0xe008)];
    for (tags, chain) in chains.into_iter().enumerate() {
        let frame = chain.ipv4(inside, outside).udp(4_000, 5_001).payload(40);
        for unfinished in [false, true] {
            let start = 14 + 4 * tags as u16 + 20;
            let checksum_start = unfinished.then_some(start);
            let sent = OnWire { bytes: frame.build(), checksum_start };
            sender.send(&sent);
            assert_eq!(receiver.receive(), Some(sent), "{tags} tags");
        }
    }
    let three = plain().vlan(1).vlan(2).vlan(3).ipv4(inside, outside).udp(4_000, 5_001);
    sender.send(&OnWire { bytes: three.build(), checksum_start: None });
    assert_eq!(receiver.receive(), None, "three tags");
    let [out, _] = stop(running);
    let reasons: Vec<&str> = out.decided.keys().map(|(_, reason)| reason.name()).collect();
    assert!(reasons.contains(&"TooManyVlanTags"), "{reasons:?}");
    assert!(out.passed() >= 6, "{out:?}");
}

/// The kernel writes an unfinished checksum where the sender says. At the place of a port it would
/// be another packet that leaves than the one that was decided.
#[test]
fn a_checksum_at_the_place_of_a_port_does_not_leave() {
    let Some(_granted) = require::privileged() else { return };
    let machines = Machines::build(1_500).unwrap();
    let running = start(&machines, 1);
    let (sender, receiver) = (Raw::open(&machines.inside), Raw::open(&machines.outside));
    let (inside, outside) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let frame = Frame::ethernet().ipv4(inside, outside).udp(4_000, 5_001).payload(40).build();
    let tagged = Frame::ethernet().vlan(5).ipv4(inside, outside).udp(4_000, 5_001).build();
    // Ports and addresses, from several places; the kernel takes none before the 20th byte.
    for (start, offset) in [(34, 2), (34, 0), (26, 4), (20, 10), (20, 16)] {
        sender.send_with(Some((start, offset)), &frame);
        assert_eq!(receiver.receive(), None, "{start} + {offset}");
    }
    sender.send_with(Some((34, 6)), &tagged);
    assert_eq!(receiver.receive(), None, "the destination port of a tagged frame");
    sender.send_with(Some((34, 6)), &frame);
    assert_eq!(receiver.receive().unwrap().bytes, frame);
    let [out, _] = stop(running);
    assert_eq!(out.not_sent.get(&NotSent::Offload), Some(&6), "{out:?}");
}
