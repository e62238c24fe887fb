//! The kernel's table of connections, over netlink.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::ConntrackError;
use super::connection::Connection;

/// There where the kernel tracks connections.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// The table of a network namespace.
pub(super) struct Table {
    socket: Socket,
    /// The number of the last request.
    sequence: u32,
}

/// What the kernel answers to a request.
type Message = NetlinkMessage<NetfilterMessage>;

impl Table {
    /// The table of the calling thread's namespace.
    pub(super) fn open() -> Result<Self, ConntrackError> {
        if !Path::new(COUNT).exists() {
            return Err(ConntrackError::NotTracked);
        }
        let opened = Socket::new(NETLINK_NETFILTER).and_then(|mut socket| {
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        });
        let socket = opened.map_err(failed("open a netlink connection to netfilter"))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// All connections of both families.
    pub(super) fn connections(&mut self) -> Result<Vec<Connection>, ConntrackError> {
        let action = "read the kernel's connections";
        let get = ConntrackMessage::Get(Vec::new());
        self.send(NetfilterProtoFamily::Unspec, get, NLM_F_DUMP, action)?;
        let mut connections = Vec::new();
        loop {
            for message in self.receive(action)? {
                match message.payload {
                    NetlinkPayload::InnerMessage(NetfilterMessage {
                        inner: NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)),
                        ..
                    }) => {
                        let connection = Connection::new(attributes);
                        connections.push(
                            connection.map_err(|why| ConntrackError::Unreadable(why.to_owned()))?,
                        );
                    }
                    NetlinkPayload::Done(done) if done.code == 0 => return Ok(connections),
                    NetlinkPayload::Done(done) => {
                        return Err(failed(action)(io::Error::from_raw_os_error(-done.code)));
                    }
                    NetlinkPayload::Error(error) => {
                        let error = error.to_io();
                        // Netfilter has no part of this kind.
                        return Err(match error.raw_os_error() {
                            Some(libc::EINVAL | libc::EOPNOTSUPP) => ConntrackError::NotShown,
                            _ => failed(action)(error),
                        });
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes these connections out, and says how many of them were still there.
    pub(super) fn delete<'a>(
        &mut self,
        connections: impl Iterator<Item = &'a Connection>,
    ) -> Result<usize, ConntrackError> {
        let mut deleted = 0;
        let mut left: Option<(usize, String, io::Error)> = None;
        for connection in connections {
            match self.delete_one(connection)? {
                Ok(()) => deleted += 1,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => match &mut left {
                    Some((count, ..)) => *count += 1,
                    None => left = Some((1, connection.to_string(), error)),
                },
            }
        }
        match left {
            None => Ok(deleted),
            Some((count, first, source)) => {
                Err(ConntrackError::NotDeleted { count, first, source })
            }
        }
    }

    /// What the kernel says to taking out the connection.
    fn delete_one(
        &mut self,
        connection: &Connection,
    ) -> Result<Result<(), io::Error>, ConntrackError> {
        let action = "take back a connection";
        let family = match connection.source {
            IpAddr::V4(_) => NetfilterProtoFamily::IPv4,
            IpAddr::V6(_) => NetfilterProtoFamily::IPv6,
        };
        let delete = ConntrackMessage::Delete(connection.known_by.clone());
        self.send(family, delete, NLM_F_ACK, action)?;
        loop {
            for message in self.receive(action)? {
                if let NetlinkPayload::Error(answer) = message.payload {
                    return Ok(match answer.code {
                        None => Ok(()),
                        Some(_) => Err(answer.to_io()),
                    });
                }
            }
        }
    }

    fn send(
        &mut self,
        family: NetfilterProtoFamily,
        message: ConntrackMessage,
        flags: u16,
        action: &'static str,
    ) -> Result<(), ConntrackError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let message = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(failed(action))?;
        Ok(())
    }

    /// The messages of one datagram that answer the last request.
    fn receive(&self, action: &'static str) -> Result<Vec<Message>, ConntrackError> {
        let (bytes, _) = self.socket.recv_from_full().map_err(failed(action))?;
        let mut messages = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message = Message::deserialize(rest)
                .map_err(|error| ConntrackError::Unreadable(error.to_string()))?;
            // Messages begin at multiples of four.
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(4)..).unwrap_or_default();
            if message.header.sequence_number == self.sequence {
                messages.push(message);
            }
        }
        Ok(messages)
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> ConntrackError {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ConntrackError::NotPermitted,
        Some(libc::EPROTONOSUPPORT) => ConntrackError::NotShown,
        _ => ConntrackError::Netlink { action, source },
    }
}
