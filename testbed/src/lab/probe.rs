//! Asking a filter with packets: what a rule allows arrives and is answered, what none names does
//! not arrive.
//!
//! What must not arrive is sent first. Both go the same way, which keeps their order, so whoever
//! has the second one need not wait for the first.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::error::LabError;
use super::network::Network;
use crate::netns::Namespace;
use crate::port;
use crate::workload::Transport;

/// How long what is to arrive may take. It takes far below a millisecond; the rest is for a machine
/// with something else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(1);

/// Where packets come from, and where they go to.
pub(super) type Flow = (IpAddr, SocketAddr);

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// What comes from a stranger has arrived.
    pub stranger: bool,
    /// What a rule allows has arrived.
    pub allowed: bool,
    /// Its answer has arrived.
    pub answered: bool,
}

/// Sends the stranger's packets, and then those that shall arrive, if any.
pub(super) fn probe(
    network: &Network,
    transport: Transport,
    stranger: Flow,
    allowed: Option<Flow>,
) -> Result<Seen, LabError> {
    let asked = match transport {
        Transport::Udp => datagrams(network, stranger, allowed),
        Transport::Tcp => connections(network, stranger, allowed),
    };
    asked?.map_err(LabError::refused("ask the server"))
}

type Asked = Result<io::Result<Seen>, LabError>;

fn datagrams(network: &Network, stranger: Flow, allowed: Option<Flow>) -> Asked {
    let open = |namespace: &Namespace, address: SocketAddr| {
        namespace.run(|| port::udp(address)).map_err(LabError::from)
    };
    let far = |flow: Flow| open(network.server(), flow.1);
    let near = |flow: Flow| open(network.client(), SocketAddr::new(flow.0, 0));
    let unwanted = far(stranger)?;
    let wanted = match allowed {
        Some(allowed) if allowed.1 != stranger.1 => Some(far(allowed)?),
        _ => None,
    };
    let from_stranger = near(stranger)?;
    let from_allowed = allowed.map(near).transpose()?;
    Ok((|| {
        let (unwanted, wanted) = (unwanted?, wanted.transpose()?);
        let mut seen = Seen::default();
        from_stranger?.send_to(b"stranger", stranger.1)?;
        if let (Some(allowed), Some(from)) = (allowed, from_allowed) {
            let from = from?;
            from.send_to(b"allowed", allowed.1)?;
            let at = wanted.as_ref().unwrap_or(&unwanted);
            let own = from.local_addr()?;
            seen.allowed = until_arrived(at, |peer| {
                seen.stranger |= peer != own;
                peer == own
            })?;
            if seen.allowed {
                at.send_to(b"answer", own)?;
                seen.answered = until_arrived(&from, |peer| peer == allowed.1)?;
            }
        }
        unwanted.set_nonblocking(true)?;
        seen.stranger |= unwanted.recv_from(&mut [0; 16]).is_ok();
        Ok(seen)
    })())
}

/// Reads datagrams until one is what is waited for; whether it has come.
fn until_arrived(at: &UdpSocket, mut is_it: impl FnMut(SocketAddr) -> bool) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(false);
        }
        at.set_read_timeout(Some(rest))?;
        match at.recv_from(&mut [0; 16]) {
            Ok((_, peer)) if is_it(peer) => return Ok(true),
            Ok(_) => {}
            Err(error) if is_nothing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn connections(network: &Network, stranger: Flow, allowed: Option<Flow>) -> Asked {
    let listen = |flow: Flow| {
        network.server().run(|| {
            let listener = port::tcp(flow.1)?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        })
    };
    let caller = |flow: Flow| network.client().run(|| calling_from(flow));
    let unwanted = listen(stranger)?;
    let wanted = match allowed {
        Some(allowed) if allowed.1 != stranger.1 => Some(listen(allowed)?),
        _ => None,
    };
    let (from_stranger, from_allowed) = (caller(stranger)?, allowed.map(caller).transpose()?);
    Ok((|| {
        let (unwanted, wanted) = (unwanted?, wanted.transpose()?);
        let (mut seen, from_stranger) = (Seen::default(), from_stranger?);
        from_stranger.set_nonblocking(true)?;
        match from_stranger.connect(&stranger.1.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        if let (Some(allowed), Some(from)) = (allowed, from_allowed) {
            let from = from?;
            let at = wanted.as_ref().unwrap_or(&unwanted);
            if from.connect_timeout(&allowed.1.into(), PATIENCE).is_ok() {
                let own = from.local_addr()?.as_socket();
                let arrived = until_accepted(at, |peer| {
                    seen.stranger |= Some(peer) != own;
                    Some(peer) == own
                })?;
                seen.allowed = arrived.is_some();
                seen.answered = match arrived {
                    Some(stream) => is_answered(stream, from.into())?,
                    None => false,
                };
            }
        }
        seen.stranger |= unwanted.accept().is_ok();
        Ok(seen)
    })())
}

/// A socket that will call from the flow's source.
fn calling_from((source, _): Flow) -> io::Result<Socket> {
    let domain = if source.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    Ok(socket)
}

/// Accepts connections until one is what is waited for.
fn until_accepted(
    at: &TcpListener,
    mut is_it: impl FnMut(SocketAddr) -> bool,
) -> io::Result<Option<TcpStream>> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match at.accept() {
            Ok((stream, peer)) if is_it(peer) => return Ok(Some(stream)),
            Ok(_) => {}
            Err(error) if is_nothing(&error) => thread::sleep(LOOK),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether a byte goes there and back.
fn is_answered(mut far: TcpStream, mut near: TcpStream) -> io::Result<bool> {
    far.set_nonblocking(false)?;
    let go = |from: &mut TcpStream, to: &mut TcpStream| {
        to.set_read_timeout(Some(PATIENCE))?;
        from.write_all(b"?")?;
        match to.read_exact(&mut [0]) {
            Err(error) if is_nothing(&error) => Ok(false),
            other => other.map(|()| true),
        }
    };
    Ok(go(&mut near, &mut far)? && go(&mut far, &mut near)?)
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
