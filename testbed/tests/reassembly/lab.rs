//! Two namespaces and a cable: frames go in on one side, and sockets on the other say what the
//! kernel has made of them.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use pnet::datalink::{self, Channel, DataLinkSender};
use ringfence_testbed::netns::Namespace;
use ringfence_testbed::veth::Netlink;
use socket2::{Domain, Protocol, Socket, Type};

/// The UDP port that policy allows, one that it does not, and the source of markers.
pub const ALLOWED: u16 = 5_300;
pub const DENIED: u16 = 5_400;
pub const TRUSTED: u16 = 5_500;

/// Who talks to whom in one family.
#[derive(Clone, Debug)]
pub struct Ends {
    /// May send to [`ALLOWED`].
    pub sender: IpAddr,
    /// May send everything.
    pub trusted: IpAddr,
    pub receiver: IpAddr,
    /// The receiver's hardware address.
    pub link_address: [u8; 6],
}

/// What the kernel has delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// `None` for an echo request.
    pub port: Option<u16>,
    pub data: Vec<u8>,
}

pub struct Lab {
    _sender: Namespace,
    _receiver: Namespace,
    wire: Box<dyn DataLinkSender>,
    pub ends: [Ends; 2],
    /// With their ports.
    datagrams: Vec<(u16, UdpSocket)>,
    /// Raw.
    echoes: [UdpSocket; 2],
}

/// Room for everything that waits to be read, and for all fragments that wait for others.
const BUFFER_BYTES: usize = 8 << 20;

/// Pieces of unfinished packets stay for half a minute. By default IPv4 also gives up a packet when
/// 64 others of the same sender come between its pieces.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ipfrag_high_thresh", "67108864"),
    ("ipv6/ip6frag_high_thresh", "67108864"),
    ("ipv4/ipfrag_max_dist", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
];

/// How long the kernel may take for what has been sent.
const PATIENCE: Duration = Duration::from_secs(10);

impl Lab {
    pub fn new() -> Self {
        let [sender, receiver] =
            [(); 2].map(|()| Namespace::new().expect("a namespace can be made"));
        receiver.set_all(SETTINGS.iter()).expect("fragments can be kept");
        sender.run(|| connect(&receiver)).expect("the sender can be entered");
        let link_address = receiver.run(configure_receiver).expect("the receiver can be entered");
        let wire = sender.run(open_wire).expect("the sender can be entered");
        let ends = [["10.9.0.1", "10.9.0.3", "10.9.0.2"], ["fd09::1", "fd09::3", "fd09::2"]];
        let ends = ends.map(|texts| {
            let [sender, trusted, receiver] = texts.map(|text| text.parse().expect("an address"));
            Ends { sender, trusted, receiver, link_address }
        });
        let listen = || {
            let ports = [ALLOWED, DENIED].into_iter();
            let sockets = ports.flat_map(|port| ends.iter().map(move |one| (port, one.receiver)));
            let sockets = sockets.map(|(port, address)| (port, datagrams(address, port)));
            (sockets.collect(), ends.each_ref().map(|ends| echoes(ends.receiver)))
        };
        let (datagrams, echoes) = receiver.run(listen).expect("the receiver can be entered");
        Self { _sender: sender, _receiver: receiver, wire, ends, datagrams, echoes }
    }

    pub fn send(&mut self, frame: &[u8]) {
        let sent = self.wire.send_to(frame, None).expect("a packet socket sends at once");
        sent.expect("the cable takes the frame");
    }

    /// Everything delivered up to a datagram that is `marker`, which is sent already.
    pub fn deliveries(&mut self, marker: &[u8]) -> Vec<Delivered> {
        let deadline = Instant::now() + PATIENCE;
        let mut deliveries = Vec::new();
        loop {
            let before = deliveries.len();
            self.read_all(&mut deliveries);
            if let Some(place) = deliveries.iter().position(|one| one.data == marker) {
                deliveries.remove(place);
                self.read_all(&mut deliveries);
                return deliveries;
            }
            assert!(Instant::now() < deadline, "what was sent last never arrives");
            if deliveries.len() == before {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn read_all(&self, deliveries: &mut Vec<Delivered>) {
        let mut buffer = [0; 2_048];
        for (port, socket) in &self.datagrams {
            while let Some((length, _)) = ready(socket.recv_from(&mut buffer)) {
                deliveries.push(Delivered { port: Some(*port), data: buffer[..length].to_vec() });
            }
        }
        for (socket, ends) in self.echoes.iter().zip(&self.ends) {
            while let Some((length, _)) = ready(socket.recv_from(&mut buffer)) {
                let data = echo_data(&buffer[..length], ends.receiver);
                deliveries.extend(data.map(|data| Delivered { port: None, data: data.to_vec() }));
            }
        }
    }
}

/// Runs in the sender's namespace.
fn connect(receiver: &Namespace) {
    let netlink = Netlink::open().expect("a netlink socket can be opened");
    netlink.add_veth("cable", receiver, "cable").expect("a veth pair can be made");
    netlink.set_up("cable").expect("an interface can be brought up");
}

/// Gives the receiver its addresses; its hardware address.
fn configure_receiver() -> [u8; 6] {
    let netlink = Netlink::open().expect("a netlink socket can be opened");
    netlink.set_up("cable").expect("an interface can be brought up");
    for address in ["10.9.0.2/24", "fd09::2/64"] {
        let address = address.parse().expect("an address");
        netlink.add_address("cable", address).expect("an interface takes addresses");
    }
    cable().mac.expect("a veth has a hardware address").octets()
}

fn cable() -> datalink::NetworkInterface {
    let mut interfaces = datalink::interfaces().into_iter();
    interfaces.find(|one| one.name == "cable").expect("the cable is there")
}

fn open_wire() -> Box<dyn DataLinkSender> {
    match datalink::channel(&cable(), datalink::Config::default()) {
        Ok(Channel::Ethernet(wire, _)) => wire,
        Ok(_) => panic!("a packet socket speaks Ethernet"),
        Err(error) => panic!("a packet socket cannot be opened: {error}"),
    }
}

fn datagrams(address: IpAddr, port: u16) -> UdpSocket {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, None).expect("a socket can be made");
    bound(&socket, SocketAddr::new(address, port));
    socket.into()
}

/// Gets every ICMP message that is delivered to the address. The standard library has no type for
/// raw sockets; receiving is that of datagrams.
fn echoes(address: IpAddr) -> UdpSocket {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("a raw socket can be made");
    bound(&socket, SocketAddr::new(address, 0));
    socket.into()
}

fn bound(socket: &Socket, address: SocketAddr) {
    socket.set_recv_buffer_size(BUFFER_BYTES).expect("the kernel gives what its limit allows");
    socket.set_nonblocking(true).expect("a socket need not block");
    socket.bind(&address.into()).expect("the address is the receiver's");
}

/// `None` where nothing waits to be read.
fn ready<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("a socket cannot be read: {error}"),
    }
}

/// The data of an echo request; IPv4 sockets get the IP header too (raw(7)), IPv6 sockets do not
/// (RFC 3542 §3).
fn echo_data(packet: &[u8], receiver: IpAddr) -> Option<&[u8]> {
    let (header, request) = match receiver {
        IpAddr::V4(_) => (usize::from(packet.first()? & 15) * 4, 8),
        IpAddr::V6(_) => (0, 128),
    };
    let message = packet.get(header..)?;
    (message.first() == Some(&request)).then(|| message.get(8..)).flatten()
}
