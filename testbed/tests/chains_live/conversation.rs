//! Connections that live on or do not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use ringfence_testbed::topology::Family;
use ringfence_testbed::workload::{Answer, Record, Server, Transport};

use crate::host::Host;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(700);

/// A connection to one of the servers that run in every place.
pub struct Conversation {
    pub name: String,
    socket: Socket,
    server: Server,
    record: Record,
}

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Conversation {
    /// Begins one, which must be answered.
    pub fn begin(
        host: &Host,
        (from, to): (&str, &str),
        port: u16,
        kind: (Transport, Family),
    ) -> Self {
        let (transport, family) = kind;
        let server = host.process(to).server(transport, family, port);
        let destination = SocketAddr::new(host.place(to).address(family).unwrap(), port);
        let source = SocketAddr::new(host.place(from).address(family).unwrap(), 0);
        let open = move || match transport {
            Transport::Tcp => {
                let stream = TcpStream::connect_timeout(&destination, PATIENCE).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                Socket::Tcp(stream)
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(source).unwrap();
                socket.connect(destination).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                Socket::Udp(socket)
            }
        };
        let socket = host.place(from).namespace.run(open).unwrap();
        let name = format!("{from} -> {to}:{port}/{transport} {family}");
        let mut begun = Self { name, socket, server, record: Record::first() };
        assert!(begun.goes_on(), "{}: the first question is not answered", begun.name);
        begun
    }

    /// Asks one question more: whether it is answered.
    pub fn goes_on(&mut self) -> bool {
        self.record.sequence += 1;
        let question = self.record.to_bytes();
        let mut answer = [0; Answer::LENGTH];
        let read = match &mut self.socket {
            Socket::Tcp(stream) => {
                stream.write_all(&question).and_then(|()| stream.read_exact(&mut answer))
            }
            Socket::Udp(socket) => socket.send(&question).and_then(|_| {
                let length = socket.recv(&mut answer)?;
                assert_eq!(length, Answer::LENGTH, "{}", self.name);
                Ok(())
            }),
        };
        read.is_ok() && Answer::is(&answer, self.record, self.server)
    }
}
