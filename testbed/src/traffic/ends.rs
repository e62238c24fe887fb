//! The two ends of the way that is measured.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};

use super::TrafficError;
use crate::netns::Namespace;
use crate::port;

/// What sockets hold, in bytes: more than waits in any queue before them, so that what is lost was
/// not lost here.
const BUFFER_BYTES: usize = 16 << 20;

/// A client and a server, with or without something between them.
#[derive(Debug)]
pub struct Ends<'a> {
    /// Where the client is.
    pub client: &'a Namespace,
    /// The client's address.
    pub from: IpAddr,
    /// Where the server is.
    pub server: &'a Namespace,
    /// The server's address and port.
    pub to: SocketAddr,
}

impl Ends<'_> {
    /// A UDP socket of the client, connected to the server, from `port`, or from one that the
    /// kernel chooses if that is 0. It does not block.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when the kernel refuses, for instance because the port is taken.
    pub fn client_socket(&self, port: u16) -> Result<UdpSocket, TrafficError> {
        self.client.run(|| self.connected(port))?
    }

    /// As [`Ends::client_socket`], one for each of `ports`.
    ///
    /// # Errors
    ///
    /// As there; none is made then.
    pub fn client_sockets(
        &self,
        ports: impl Iterator<Item = u16> + Send,
    ) -> Result<Vec<UdpSocket>, TrafficError> {
        self.client.run(|| ports.map(|port| self.connected(port)).collect())?
    }

    /// The UDP socket of the server. It does not block.
    ///
    /// # Errors
    ///
    /// As [`Ends::client_socket`].
    pub fn server_socket(&self) -> Result<UdpSocket, TrafficError> {
        self.server.run(|| bound(self.to))?
    }

    fn connected(&self, port: u16) -> Result<UdpSocket, TrafficError> {
        let socket = bound(SocketAddr::new(self.from, port))?;
        socket
            .connect(self.to)
            .map_err(TrafficError::refused(format!("connect a socket to {}", self.to)))?;
        Ok(socket)
    }
}

/// A socket at `address` in the calling thread's namespace.
fn bound(address: SocketAddr) -> Result<UdpSocket, TrafficError> {
    let socket =
        port::udp(address).map_err(TrafficError::refused(format!("bind a socket to {address}")))?;
    socket.set_nonblocking(true).map_err(TrafficError::refused("make a socket not block"))?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)
        .map_err(TrafficError::refused("make a socket's buffer larger"))?;
    Ok(socket)
}
