//! Questions to the kernel over netlink, one after the other.

use std::io;

use netlink_packet_core::{
    NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// A connection with one part of the kernel, in the calling thread's network namespace.
pub(super) struct Channel {
    socket: Socket,
    /// The number of the last request.
    sequence: u32,
}

impl Channel {
    /// A connection with the part of that number.
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request.
    pub(super) fn send<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> io::Result<()>
    where
        NetlinkPayload<M>: From<M>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Waits for more of the answer to the last request. An answer that cannot be read is
    /// [`io::ErrorKind::InvalidData`].
    pub(super) fn receive<M: NetlinkDeserializable>(&self) -> io::Result<Vec<NetlinkPayload<M>>> {
        let (bytes, _) = self.socket.recv_from_full()?;
        let mut payloads = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<M>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            // Messages begin at multiples of four.
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(4)..).unwrap_or_default();
            if message.header.sequence_number == self.sequence {
                payloads.push(message.payload);
            }
        }
        Ok(payloads)
    }
}
