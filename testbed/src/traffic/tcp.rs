//! TCP between the two ends.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use super::{Ends, TrafficError};
use crate::port;

/// How long a connection may take to open, and may stand still.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// The server's socket for connections. It does not block.
pub(super) fn listen(ends: &Ends<'_>) -> Result<TcpListener, TrafficError> {
    let refused = || TrafficError::refused(format!("listen at {}", ends.to));
    let listener = ends.server.run(|| port::tcp(ends.to).map_err(refused()))??;
    listener.set_nonblocking(true).map_err(refused())?;
    Ok(listener)
}

/// A connection of the client, which is in the calling thread's namespace, to the server. It is sent
/// at once whatever is written.
pub(super) fn dial(ends: &Ends<'_>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(ends.to), Type::STREAM, None)?;
    // The port is chosen for this server, not for all there could be.
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::new(ends.from, 0).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.connect_timeout(&ends.to.into(), PATIENCE)?;
    Ok(socket.into())
}
