//! The kernel's table of connections, over netlink.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NetlinkPayload};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::ConntrackError;
use super::connection::Connection;
use super::netlink::Channel;

/// There where the kernel tracks connections.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// The table of a network namespace.
pub(super) struct Table {
    channel: Channel,
}

impl Table {
    /// The table of the calling thread's namespace.
    pub(super) fn open() -> Result<Self, ConntrackError> {
        if !Path::new(COUNT).exists() {
            return Err(ConntrackError::NotTracked);
        }
        let channel = Channel::open(NETLINK_NETFILTER);
        channel
            .map(|channel| Self { channel })
            .map_err(failed("open a netlink connection to netfilter"))
    }

    /// All connections of both families.
    pub(super) fn connections(&mut self) -> Result<Vec<Connection>, ConntrackError> {
        let action = "read the kernel's connections";
        let get = ConntrackMessage::Get(Vec::new());
        let message = message(NetfilterProtoFamily::Unspec, get);
        self.channel.send(message, NLM_F_DUMP).map_err(failed(action))?;
        let mut connections = Vec::new();
        loop {
            for payload in self.channel.receive().map_err(failed(action))? {
                match payload {
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
        self.channel.send(message(family, delete), NLM_F_ACK).map_err(failed(action))?;
        loop {
            for payload in self.channel.receive::<NetfilterMessage>().map_err(failed(action))? {
                if let NetlinkPayload::Error(answer) = payload {
                    return Ok(match answer.code {
                        None => Ok(()),
                        Some(_) => Err(answer.to_io()),
                    });
                }
            }
        }
    }
}

fn message(family: NetfilterProtoFamily, message: ConntrackMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> ConntrackError {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ConntrackError::NotPermitted,
        Some(libc::EPROTONOSUPPORT) => ConntrackError::NotShown,
        _ if source.kind() == io::ErrorKind::InvalidData => {
            ConntrackError::Unreadable(source.to_string())
        }
        _ => ConntrackError::Netlink { action, source },
    }
}
