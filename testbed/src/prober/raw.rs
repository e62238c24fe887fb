//! Raw sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use ringfence_common::abi::policy::protocol;
use socket2::{Domain, Protocol, Socket, Type};

use super::arrival::Arrivals;
use super::content;

/// Packets that wait to be looked at; a round of questions must fit.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// The longest packet that is looked at; ours are shorter.
const PACKET_BYTES: usize = 2048;

/// A raw socket of one protocol at one address: it gets every packet of that protocol that is
/// delivered to the address, and sends from it.
#[derive(Debug)]
pub(super) struct RawSocket {
    /// The standard library has no type for raw sockets; sending and receiving are those of
    /// datagrams, with ports that mean nothing.
    socket: UdpSocket,
    address: IpAddr,
    protocol: u8,
}

impl RawSocket {
    /// Opens one in the namespace of the calling thread.
    pub fn open(address: IpAddr, protocol: u8) -> io::Result<Self> {
        let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol))))?;
        // The kernel gives what its limit allows.
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(address, 0).into())?;
        Ok(Self { socket: socket.into(), address, protocol })
    }

    /// Sends what follows the IP header.
    pub fn send(&self, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        self.socket.send_to(packet, SocketAddr::new(to, 0))?;
        Ok(())
    }

    /// Notes everything that arrives, and answers what nobody else answers, for ever. Must be
    /// called in a runtime.
    pub async fn watch(&self, arrivals: &Arrivals) -> io::Result<()> {
        let socket = tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?;
        let mut packet = [0; PACKET_BYTES];
        loop {
            // An error is an ICMP message about something that was sent; its asker notices.
            if let Ok((length, sender)) = socket.recv_from(&mut packet).await {
                self.see(sender.ip(), &packet[..length], arrivals);
            }
        }
    }

    fn see(&self, from: IpAddr, packet: &[u8], arrivals: &Arrivals) {
        let Some(packet) = self.without_ip_header(packet) else { return };
        for sign in content::signs(from, self.address, self.protocol, packet) {
            arrivals.note(sign);
        }
        if self.protocol == protocol::SCTP
            && let Some(answer) = content::answer_to_init(from, self.address, packet)
        {
            // Whoever asked notices that there is no answer.
            let _ = self.send(from, &answer);
        }
    }

    /// IPv4 sockets get the IP header too (raw(7)), IPv6 sockets do not (RFC 3542 §3).
    fn without_ip_header<'p>(&self, packet: &'p [u8]) -> Option<&'p [u8]> {
        match self.address {
            IpAddr::V4(_) => packet.get(usize::from(packet.first()? & 0x0f) * 4..),
            IpAddr::V6(_) => Some(packet),
        }
    }
}
