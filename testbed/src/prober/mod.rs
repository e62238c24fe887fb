//! First packets of connections, of every kind, between the places of a topology: which were
//! answered, and which arrived.
//!
//! # Goals
//!
//! 1. What is asked is what policy is about: a real connection over TCP, a datagram over UDP, the
//!    first chunk of an association over SCTP, a ping, a bare packet of any other protocol.
//! 2. A missing answer is no proof of a denial: whether the packet arrived is seen at its
//!    destination, whatever became of the answer.
//! 3. Whoever is asked answers, so that a missing answer is the network's doing.
//!
//! # Design
//!
//! TCP and UDP go through the sockets and servers of [`crate::workload`]. Everything else goes
//! through raw sockets, one for each address and protocol (raw(7)): they send; they answer an SCTP
//! INIT as an end point would (RFC 9260 §5.1), since few kernels have SCTP; and they see what is
//! delivered locally, also of TCP and UDP, which is how an arrival is noticed (goal 2). They see it
//! behind every hook of a filter, also on the host itself, where a packet socket would see it in
//! front of them.
//!
//! Pings are answered by the kernel. Nobody answers other ICMP messages and other protocols: there
//! the arrival counts as the answer ([`Ask::is_answered`]).
//!
//! What this does not do: ask from or at addresses that no interface can have, and ask a place
//! from itself through its interface, since such packets never leave it.

mod arrival;
mod content;
mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ringfence_common::abi::policy::protocol;
use tokio::sync::Semaphore;

use self::arrival::{Arrivals, Sign};
use self::content::Nonce;
use self::raw::RawSocket;
use crate::connectivity::open_at_once;
use crate::netns::NamespaceError;
use crate::topology::{Family, Place, Topology};
use crate::workload::{Outcome, Process, Question, Transport, WorkloadError, ask_once, persist};

pub use self::content::DISTINCT;

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ask {
    /// Who asks.
    pub from: IpAddr,
    /// Who is asked; of the same family.
    pub to: IpAddr,
    /// For what.
    pub service: Service,
}

/// What a first packet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A TCP port.
    Tcp(u16),
    /// A UDP port.
    Udp(u16),
    /// An SCTP port.
    Sctp(u16),
    /// An ICMP message, of the version that the addresses ask for.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Any other protocol, by its number.
    Other(u8),
}

impl Ask {
    /// The IP protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        match self.service {
            Service::Tcp(_) => protocol::TCP,
            Service::Udp(_) => protocol::UDP,
            Service::Sctp(_) => protocol::SCTP,
            Service::Icmp { .. } if self.to.is_ipv4() => protocol::ICMP,
            Service::Icmp { .. } => protocol::ICMPV6,
            Service::Other(number) => number,
        }
    }

    /// Whether whoever gets the packet answers it.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        match self.service {
            Service::Tcp(_) | Service::Udp(_) | Service::Sctp(_) => true,
            Service::Icmp { kind, .. } => kind == content::echo_request(self.to),
            Service::Other(_) => false,
        }
    }

    /// Whether the packet has something (a port, an identifier) that tells its connection from
    /// others between the same addresses.
    #[must_use]
    pub fn is_told_apart(&self) -> bool {
        self.is_answered()
    }

    fn port(&self) -> Option<u16> {
        match self.service {
            Service::Tcp(port) | Service::Udp(port) | Service::Sctp(port) => Some(port),
            Service::Icmp { .. } | Service::Other(_) => None,
        }
    }
}

/// Why asking cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProberError {
    /// What runs in a place does not start.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// A namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A raw socket cannot be opened.
    #[error("`{place}` gets no raw socket of protocol {protocol} at {address}")]
    Raw {
        /// The place.
        place: String,
        /// The protocol's number.
        protocol: u8,
        /// The address.
        address: IpAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No place has an address.
    #[error("no place has the address {0}")]
    NoPlace(IpAddr),
}

/// What asks and answers in all places of a topology. It ends when this is dropped.
#[derive(Debug)]
pub struct Prober {
    processes: Vec<Process>,
    /// Address → number of its place.
    places: BTreeMap<IpAddr, usize>,
    raw: BTreeMap<(IpAddr, u8), Arc<RawSocket>>,
    arrivals: Arc<Arrivals>,
}

impl Prober {
    /// Starts whatever `asks` take, in the places of `topology`.
    ///
    /// # Errors
    ///
    /// [`ProberError`]; nothing runs then.
    pub fn start(topology: &Topology, asks: &BTreeSet<Ask>) -> Result<Self, ProberError> {
        let mut places = BTreeMap::new();
        let mut processes = Vec::new();
        for (number, place) in (0..).zip(topology.places()) {
            places.extend(place.addresses.iter().map(|own| (*own, processes.len())));
            processes.push(Process::start(place, number, &ports(place, asks))?);
        }
        let mut prober = Self { processes, places, raw: BTreeMap::new(), arrivals: Arc::default() };
        let ends = asks.iter().flat_map(|ask| [ask.from, ask.to].map(|end| (end, ask.protocol())));
        for (address, protocol) in ends.collect::<BTreeSet<_>>() {
            prober.open(address, protocol)?;
        }
        Ok(prober)
    }

    /// Opens the raw socket of a protocol at an address, and watches it.
    fn open(&mut self, address: IpAddr, protocol: u8) -> Result<(), ProberError> {
        let process = self.process(address)?;
        let place = process.place();
        let socket = place.namespace.run(|| RawSocket::open(address, protocol))?;
        let error =
            |source| ProberError::Raw { place: place.name.clone(), protocol, address, source };
        let socket = Arc::new(socket.map_err(error)?);
        let (watched, arrivals) = (Arc::clone(&socket), Arc::clone(&self.arrivals));
        process.spawn(async move { watched.watch(&arrivals).await });
        self.raw.insert((address, protocol), socket);
        Ok(())
    }

    /// Asks all of `asks` at once, each with the patience that `patience` gives it. An outcome that
    /// is not [`Outcome::Answered`] came after all that patience.
    #[must_use]
    pub fn ask(
        &self,
        asks: &[Ask],
        patience: &dyn Fn(&Ask) -> &'static [Duration],
    ) -> BTreeMap<Ask, Outcome> {
        let (sender, receiver) = mpsc::channel();
        let permits = Arc::new(Semaphore::new(open_at_once(1)));
        for ask in asks.iter().copied().collect::<BTreeSet<_>>() {
            let Some(way) = self.way(ask) else { continue };
            let Ok(process) = self.process(ask.from) else { continue };
            let (permits, sender, patience) =
                (Arc::clone(&permits), sender.clone(), patience(&ask));
            process.spawn(async move {
                let _permit = permits.acquire().await;
                let outcome = match way {
                    Way::Server(question) => persist(|| over_socket(question), patience).await,
                    Way::Raw(socket, arrivals) => {
                        persist(|| over_raw(&socket, &arrivals, ask), patience).await
                    }
                };
                // Nobody listens any more only when the measurement was given up.
                let _ = sender.send((ask, outcome));
            });
        }
        drop(sender);
        let mut outcomes: BTreeMap<_, _> = receiver.iter().collect();
        for ask in asks {
            // What asked nothing is no denial.
            outcomes.entry(*ask).or_insert(Outcome::Failed(0));
        }
        outcomes
    }

    /// Whether a packet of `ask` arrived since the last [`Prober::forget`].
    #[must_use]
    pub fn has_arrived(&self, ask: &Ask) -> bool {
        self.arrivals.has(ask)
    }

    /// How many packets this process has sent in all; of [`DISTINCT`] in a row, no two have the
    /// same source port or identifier.
    #[must_use]
    pub fn sent() -> u32 {
        Nonce::sent()
    }

    /// Forgets all arrivals.
    pub fn forget(&self) {
        self.arrivals.forget();
    }

    fn process(&self, address: IpAddr) -> Result<&Process, ProberError> {
        let number = self.places.get(&address).ok_or(ProberError::NoPlace(address))?;
        Ok(&self.processes[*number])
    }

    fn way(&self, ask: Ask) -> Option<Way> {
        let transport = match ask.service {
            Service::Tcp(_) => Transport::Tcp,
            Service::Udp(_) => Transport::Udp,
            _ => {
                let socket = Arc::clone(self.raw.get(&(ask.from, ask.protocol()))?);
                return Some(Way::Raw(socket, Arc::clone(&self.arrivals)));
            }
        };
        let port = ask.port()?;
        let server = self.process(ask.to).ok()?.server(transport, Family::of(ask.to), port);
        let (from, to) = (SocketAddr::new(ask.from, 0), SocketAddr::new(ask.to, port));
        Some(Way::Server(Question { from, to, server }))
    }
}

/// Each attempt comes from a port of its own.
async fn over_socket(question: Question) -> io::Result<Outcome> {
    let from = SocketAddr::new(question.from.ip(), Nonce::next().port());
    ask_once(Question { from, ..question }).await
}

/// How a question is asked.
enum Way {
    Server(Question),
    Raw(Arc<RawSocket>, Arc<Arrivals>),
}

async fn over_raw(socket: &RawSocket, arrivals: &Arrivals, ask: Ask) -> io::Result<Outcome> {
    let nonce = Nonce::next();
    let sign = match ask.service {
        Service::Sctp(_) => Sign::InitAck { of: ask, nonce },
        _ if ask.is_answered() => Sign::EchoReply { of: ask, nonce },
        _ => Sign::Arrival(ask),
    };
    let answer = arrivals.wait_for(sign);
    socket.send(ask.to, &content::first_packet(ask, nonce))?;
    answer.await;
    Ok(Outcome::Answered)
}

/// The ports that `place` is asked for over TCP or UDP. Nobody can listen on port 0.
fn ports(place: &Place, asks: &BTreeSet<Ask>) -> Vec<u16> {
    let here = asks.iter().filter(|ask| place.addresses.contains(&ask.to));
    let ports: BTreeSet<u16> = here
        .filter(|ask| matches!(ask.service, Service::Tcp(_) | Service::Udp(_)))
        .filter_map(Ask::port)
        .collect();
    ports.into_iter().filter(|port| *port != 0).collect()
}
