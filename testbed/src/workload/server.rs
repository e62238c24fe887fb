//! Servers: each answers every question, in its own name.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::record::{Answer, Record, Server};
use super::{Transport, WorkloadError};
use crate::topology::{Family, Place};

/// Where a server has to listen, and in whose name it answers.
pub(super) type Listener = (SocketAddr, Server);

/// One listener per family, transport and port, at the place's own addresses: an answer then
/// comes from the address that was asked, also where a place has several.
pub(super) fn listeners(place: &Place, number: u32, ports: &[u16]) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for family in Family::ALL {
        for transport in Transport::ALL {
            for &port in ports {
                let server = Server { number, transport, family, port };
                let of_family = place.addresses.iter().filter(|own| Family::of(**own) == family);
                listeners.extend(of_family.map(|own| (SocketAddr::new(*own, port), server)));
            }
        }
    }
    listeners
}

/// Binds all listeners, then serves them in the background of the current runtime.
pub(super) async fn listen_all(place: &str, listeners: Vec<Listener>) -> Result<(), WorkloadError> {
    for (address, server) in listeners {
        let listening = match server.transport {
            Transport::Tcp => TcpListener::bind(address).await.map(|listener| {
                tokio::spawn(accept_all(listener, server));
            }),
            Transport::Udp => UdpSocket::bind(address).await.map(|socket| {
                tokio::spawn(answer_datagrams(socket, server));
            }),
        };
        listening.map_err(|source| WorkloadError::Listen {
            place: place.to_owned(),
            transport: server.transport,
            address,
            source,
        })?;
    }
    Ok(())
}

async fn accept_all(listener: TcpListener, server: Server) {
    loop {
        // `accept` fails for one connection (it was reset, no descriptor is left); the next one
        // may do better. Whoever asked notices.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_stream(stream, server));
        }
    }
}

/// Answers until the asker closes or the connection breaks, which the asker notices as well.
async fn answer_stream(mut stream: TcpStream, server: Server) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut question = [0; Record::LENGTH];
    loop {
        stream.read_exact(&mut question).await?;
        stream.write_all(&Answer::bytes(&question, server)).await?;
    }
}

async fn answer_datagrams(socket: UdpSocket, server: Server) {
    let mut datagram = [0; 2 * Record::LENGTH];
    loop {
        // An error is about one datagram, or an ICMP message about one; its asker notices.
        let Ok((length, asker)) = socket.recv_from(&mut datagram).await else { continue };
        if let Ok(question) = <&[u8; Record::LENGTH]>::try_from(&datagram[..length]) {
            let _ = socket.send_to(&Answer::bytes(question, server), asker).await;
        }
    }
}
