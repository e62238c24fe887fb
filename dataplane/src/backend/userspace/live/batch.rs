//! Many frames with one system call.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, recvmmsg, sendmmsg};
use ringfence_common::packet::PacketRead;

use super::counters::NotSent;
use super::offload::{fits, vnet};
use super::socket::Socket;

/// Frames taken at a time.
pub const FRAMES: usize = 64;

/// The largest frame: the largest segmented packet (64 KiB less one, `GSO_LEGACY_MAX_SIZE`), its
/// Ethernet header, and two VLAN tags.
const FRAME_BYTES: usize = 65_535 + 14 + 8;

/// Milliseconds that a full send queue may take to drain.
const SEND_PATIENCE_MS: u16 = 20;

/// `struct tpacket_auxdata` (Linux `include/uapi/linux/if_packet.h`), in the host's byte order.
mod auxdata {
    pub const BYTES: usize = 20;
    pub const VLAN_CONTROL: usize = 16;
    pub const VLAN_PROTOCOL: usize = 18;
    /// `ETH_P_8021Q`, which a tag has that does not say.
    pub const VLAN: u16 = 0x8100;
}

/// Bytes of both addresses in an Ethernet header; a VLAN tag comes after them.
const ADDRESSES: usize = 12;

/// Bytes of a VLAN tag.
const TAG: usize = 4;

/// Room for frames on their way from one interface to another.
pub struct Batch {
    buffers: Vec<Vec<u8>>,
    frames: Vec<Arrived>,
    receiving: MultiHeaders<()>,
    sending: MultiHeaders<()>,
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Default)]
struct Arrived {
    /// Bytes with the header in front.
    length: usize,
    /// Whether some of it is missing: it was longer than the buffer, or its tag unreadable.
    cut: bool,
    /// The tag that the driver took out.
    tag: Option<[u8; TAG]>,
}

/// A frame as `decide` reads it.
pub struct Frame<'a> {
    header: &'a [u8; vnet::BYTES],
    bytes: &'a [u8],
    tags: usize,
}

impl Frame<'_> {
    /// Whether what the sender left to be done fits the packet ([`super::offload`]).
    pub fn has_fitting_offload(&self) -> bool {
        fits(self.header, self)
    }
}

impl PacketRead for Frame<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.bytes.read(offset)
    }

    type Header<'a>
        = &'a [u8]
    where
        Self: 'a;

    fn header<const N: usize>(&self, offset: usize) -> Option<&[u8]> {
        self.bytes.header::<N>(offset)
    }

    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn length_at_hand(&self) -> usize {
        self.length()
    }

    fn tags_outside(&self) -> usize {
        self.tags
    }
}

impl Batch {
    /// Room for [`FRAMES`] frames of any length.
    pub fn new() -> Self {
        Self {
            buffers: vec![vec![0; vnet::BYTES + FRAME_BYTES]; FRAMES],
            frames: Vec::with_capacity(FRAMES),
            receiving: MultiHeaders::preallocate(
                FRAMES,
                Some(nix::cmsg_space!([u8; auxdata::BYTES])),
            ),
            sending: MultiHeaders::preallocate(FRAMES, None),
        }
    }

    /// Takes what waits in `socket` without waiting for more, and says how many frames that were.
    pub fn receive(&mut self, socket: &Socket) -> nix::Result<usize> {
        self.frames.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.receiving,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        self.frames.extend(received.map(|message| arrived(&message)));
        Ok(self.frames.len())
    }

    /// The frame number `index` of those received; `None` if it did not come whole.
    pub fn frame(&self, index: usize) -> Option<Frame<'_>> {
        let arrived = self.frames.get(index).filter(|arrived| !arrived.cut)?;
        let whole = self.buffers[index].get(..arrived.length)?;
        let (header, bytes) = whole.split_first_chunk()?;
        Some(Frame { header, bytes, tags: usize::from(arrived.tag.is_some()) })
    }

    /// Sends those of the received frames that `passes` out of the interface of `socket`, in
    /// their order. Gives `not_sent` the cause for each that could not be sent.
    pub fn send(
        &mut self,
        socket: &Socket,
        passes: &[bool; FRAMES],
        mut not_sent: impl FnMut(NotSent),
    ) {
        let with_buffers = self.buffers.iter_mut().zip(&self.frames).zip(passes);
        let passing = with_buffers.filter(|(_, passes)| **passes).map(|(frame, _)| frame);
        let messages: Vec<Pieces<'_>> =
            passing.map(|(buffer, arrived)| Pieces::new(buffer, arrived)).collect();
        let addresses = [None::<()>; FRAMES];
        let mut done = 0;
        let mut waited = false;
        while done < messages.len() {
            let rest = &messages[done..];
            let sent = sendmmsg(
                socket.as_raw_fd(),
                &mut self.sending,
                rest.iter(),
                addresses,
                [],
                MsgFlags::MSG_DONTWAIT,
            )
            .map(Iterator::count);
            match sent {
                Ok(count) if count > 0 => done += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if !waited => {
                    waited = true;
                    let mut queue = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                    // Whatever comes of it, the next attempt tells.
                    let _ = poll(&mut queue, PollTimeout::from(SEND_PATIENCE_MS));
                }
                failed => {
                    not_sent(NotSent::of(failed.err().unwrap_or(Errno::UnknownErrno)));
                    done += 1;
                }
            }
        }
    }
}

fn arrived<S>(message: &RecvMsg<'_, '_, S>) -> Arrived {
    let cut = message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    let data = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|control| match control {
            ControlMessageOwned::Unknown(data)
                if data.cmsg_header.cmsg_level == libc::SOL_PACKET
                    && data.cmsg_header.cmsg_type == libc::PACKET_AUXDATA =>
            {
                Some(data.data_bytes)
            }
            _ => None,
        })
    });
    // Without them nobody knows whether there was a tag.
    let Some(data) = data.filter(|data| data.len() >= auxdata::BYTES) else {
        return Arrived { length: message.bytes, cut: true, tag: None };
    };
    Arrived { length: message.bytes, cut, tag: tag(&data) }
}

/// The VLAN tag in auxiliary data of [`auxdata::BYTES`] bytes at least.
fn tag(data: &[u8]) -> Option<[u8; TAG]> {
    let status = u32::from_ne_bytes([data[0], data[1], data[2], data[3]]);
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let [protocol_high, protocol_low] = if status & libc::TP_STATUS_VLAN_TPID_VALID == 0 {
        auxdata::VLAN.to_be_bytes()
    } else {
        number(data, auxdata::VLAN_PROTOCOL).to_be_bytes()
    };
    let [control_high, control_low] = number(data, auxdata::VLAN_CONTROL).to_be_bytes();
    Some([protocol_high, protocol_low, control_high, control_low])
}

fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// A message to be sent: the header and the frame, with the tag back at its place.
struct Pieces<'a> {
    pieces: [IoSlice<'a>; 3],
    count: usize,
}

impl<'a> Pieces<'a> {
    fn new(buffer: &'a mut [u8], arrived: &'a Arrived) -> Self {
        let Some(tag) = &arrived.tag else {
            let whole = IoSlice::new(&buffer[..arrived.length]);
            return Self { pieces: [whole, IoSlice::new(&[]), IoSlice::new(&[])], count: 1 };
        };
        move_by_a_tag(&mut buffer[..vnet::BYTES]);
        let (before, after) = buffer[..arrived.length].split_at(vnet::BYTES + ADDRESSES);
        Self { pieces: [IoSlice::new(before), IoSlice::new(tag), IoSlice::new(after)], count: 3 }
    }
}

impl<'a> AsRef<[IoSlice<'a>]> for Pieces<'a> {
    fn as_ref(&self) -> &[IoSlice<'a>] {
        &self.pieces[..self.count]
    }
}

/// Corrects what the header says of places in the frame, for a tag put in before them.
fn move_by_a_tag(header: &mut [u8]) {
    let has_checksum = header[vnet::FLAGS] & vnet::NEEDS_CHECKSUM != 0;
    let checksum = has_checksum.then_some(vnet::CHECKSUM_START);
    for at in [vnet::HEADERS_LENGTH].into_iter().chain(checksum) {
        let moved = number(header, at).saturating_add(TAG as u16).to_ne_bytes();
        header[at..at + 2].copy_from_slice(&moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auxdata(status: u32, control: u16, protocol: u16) -> [u8; auxdata::BYTES] {
        let mut data = [0; auxdata::BYTES];
        data[..4].copy_from_slice(&status.to_ne_bytes());
        data[16..18].copy_from_slice(&control.to_ne_bytes());
        data[18..20].copy_from_slice(&protocol.to_ne_bytes());
        data
    }

    #[test]
    fn a_tag_is_there_if_the_status_says_so() {
        let (valid, kind) = (libc::TP_STATUS_VLAN_VALID, libc::TP_STATUS_VLAN_TPID_VALID);
        assert_eq!(tag(&auxdata(0, 5, 0x8100)), None);
        assert_eq!(tag(&auxdata(valid | kind, 0x2005, 0x88a8)), Some([0x88, 0xa8, 0x20, 5]));
        assert_eq!(tag(&auxdata(valid, 5, 0)), Some([0x81, 0, 0, 5]));
    }

    #[test]
    fn a_frame_leaves_with_its_tag_and_its_checksum_further_on() {
        let mut buffer: Vec<u8> = (0..40).collect();
        buffer[vnet::FLAGS] = vnet::NEEDS_CHECKSUM;
        buffer[2..4].copy_from_slice(&54_u16.to_ne_bytes());
        buffer[6..8].copy_from_slice(&34_u16.to_ne_bytes());
        let arrived = Arrived { length: 40, cut: false, tag: Some([0x81, 0, 0, 5]) };
        let pieces = Pieces::new(&mut buffer, &arrived);
        let sent: Vec<u8> = pieces.as_ref().iter().flat_map(|piece| piece.to_vec()).collect();
        assert_eq!(sent.len(), 44);
        assert_eq!((number(&sent, 2), number(&sent, 6)), (58, 38));
        let addresses: Vec<u8> = (10..22).collect();
        let rest: Vec<u8> = (22..40).collect();
        assert_eq!((&sent[10..22], &sent[26..]), (&addresses[..], &rest[..]));
        assert_eq!(sent[22..26], [0x81, 0, 0, 5]);

        let plain = Arrived { length: 40, cut: false, tag: None };
        let pieces = Pieces::new(&mut buffer, &plain);
        assert_eq!(pieces.as_ref().iter().map(|piece| piece.len()).sum::<usize>(), 40);
    }
}
