//! Where policy changes: a client, a host that forwards, and a server behind it that a policy
//! protects.
//!
//! Goals: (a) whatever ends a measurement, nothing of it stays on the machine; (b) what becomes of
//! a packet is seen where packets are received, whoever filters.
//!
//! Design. The network is a [`Topology`], whose namespaces end with it (a). All sockets are in this
//! process, those of the client and that of the server alike, so that one thread sends a packet and
//! then looks whether it has arrived: on a veth the kernel brings it there before the sending is
//! over, unless a filter of user space or another CPU has a part in it; then it is waited for (b).

mod policies;
mod process;
mod session;
mod watch;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringfence_testbed::lab::cores::{Cores, pin_to};
use ringfence_testbed::topology::{FilterBox, Outsider, Place, Topology, Wiring};

use crate::kernel::MeasureError;

pub use self::policies::{NEWCOMERS, PORT, SERVER, STRANGER, State, newcomer, peer};
pub use self::process::{Invocation, Said, run};
pub use self::session::Session;
pub use self::watch::watch;

/// The server's name in the inventory.
const SERVER_NAME: &str = "bench/server";

/// What a packet begins with, so that nothing else is taken for one.
const MAGIC: u64 = 0x7269_6e67_6665_6e63;

/// The network, and the server's socket.
pub struct Scene {
    topology: Topology,
    server: UdpSocket,
    rules: usize,
    wiring: Wiring,
    cores: Cores,
    /// How many streams of packets there were: what tells them apart.
    streams: AtomicU64,
}

impl Scene {
    /// Builds it for a policy of so many rules; `wiring` is with a box for the filter in user space.
    ///
    /// # Errors
    ///
    /// [`MeasureError`], without the privilege first of all.
    pub fn new(rules: usize, wiring: Wiring) -> Result<Self, MeasureError> {
        let named = |name: &str, addresses: Vec<Ipv4Addr>| Outsider {
            name: name.to_owned(),
            addresses: addresses.into_iter().map(IpAddr::V4).collect(),
        };
        let outsiders = [
            named("client", vec![newcomer(0)]),
            named("peer", vec![peer(rules / 2)]),
            named("stranger", vec![STRANGER]),
        ];
        let inventory = policies::inventory()?;
        let built = Topology::build_wired(&inventory, &outsiders, wiring);
        let topology = built.map_err(MeasureError::refused("build a network"))?;
        let place = find(&topology, SERVER_NAME)?;
        let server = bind(place, SocketAddr::new(SERVER.into(), PORT))?;
        server.set_nonblocking(true).map_err(MeasureError::refused("prepare a socket"))?;
        let cores = Cores::of_this_process();
        let cores = cores.map_err(MeasureError::refused("choose processors"))?;
        Ok(Self { topology, server, rules, wiring, cores, streams: AtomicU64::new(0) })
    }

    /// How many rules the standing policy has.
    pub fn rules(&self) -> usize {
        self.rules
    }

    /// The box for the filter in user space.
    pub fn filter_box(&self) -> Result<&FilterBox, MeasureError> {
        let missing = || MeasureError::wrong("the network", "it has no box for the filter");
        self.topology.filter_box().ok_or_else(missing)
    }

    /// Runs `work` on the host, on one CPU: processes that it starts are there too. The client's
    /// packets are sent on another one.
    pub fn on_host<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, MeasureError> + Send,
    ) -> Result<T, MeasureError> {
        let ran = self.topology.host().run(|| {
            pin(self.cores.measured)?;
            work()
        });
        ran.map_err(MeasureError::refused("enter a namespace"))?
    }

    /// Runs `work` in the box, as [`Scene::on_host`].
    pub fn in_box<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, MeasureError> + Send,
    ) -> Result<T, MeasureError> {
        let ran = self.filter_box()?.namespace.run(work);
        ran.map_err(MeasureError::refused("enter a namespace"))?
    }

    /// A socket of somebody outside, connected with the server, with a port of its own: a flow that
    /// nobody knows.
    pub fn socket(&self, from: Ipv4Addr) -> Result<UdpSocket, MeasureError> {
        let name = match from {
            STRANGER => "stranger",
            from if from == newcomer(0) => "client",
            _ => "peer",
        };
        let socket = bind(find(&self.topology, name)?, SocketAddr::new(from.into(), 0))?;
        let server = SocketAddr::new(SERVER.into(), PORT);
        socket.connect(server).map_err(MeasureError::refused("prepare a socket"))?;
        Ok(socket)
    }

    /// Sends a packet of this number and kind.
    pub fn send(&self, socket: &UdpSocket, kind: u64, number: u64) -> Result<(), MeasureError> {
        let mut bytes = [0; 24];
        for (to, word) in bytes.chunks_exact_mut(8).zip([MAGIC, kind, number]) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        match socket.send(&bytes) {
            Ok(_) => Ok(()),
            // The answer to an earlier packet: it was refused, and this one was not sent.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                socket.send(&bytes).map_err(MeasureError::refused("send a packet"))?;
                Ok(())
            }
            Err(error) => Err(MeasureError::refused("send a packet")(error)),
        }
    }

    /// The kind and number of the next packet that has arrived; nothing if none has.
    pub fn receive(&self) -> Result<Option<(u64, u64)>, MeasureError> {
        let mut bytes = [0; 32];
        loop {
            match self.server.recv(&mut bytes) {
                Ok(24) => {
                    let mut words = bytes[..24].chunks_exact(8).map(|word| {
                        word.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
                    });
                    if let (Some(MAGIC), Some(kind), Some(number)) =
                        (words.next(), words.next(), words.next())
                    {
                        return Ok(Some((kind, number)));
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(MeasureError::refused("receive a packet")(error)),
            }
        }
    }

    /// Whether one packet from there arrives, as the first of a flow; one that is `expected` is
    /// waited for, since a busy machine may take its time.
    pub fn arrives(&self, from: Ipv4Addr, expected: bool) -> Result<bool, MeasureError> {
        /// How long at most.
        const PATIENCE: Duration = Duration::from_millis(500);
        let patience = if expected { PATIENCE } else { self.under_way() };
        let kind = self.new_kind();
        self.send(&self.socket(from)?, kind, 0)?;
        let sent = Instant::now();
        loop {
            while let Some((arrived, _)) = self.receive()? {
                if arrived == kind {
                    return Ok(true);
                }
            }
            if sent.elapsed() > patience {
                return Ok(false);
            }
        }
    }

    /// That the host does what it has to do in `state`: the next packets of the client, of a peer
    /// and of a stranger.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`].
    pub fn check(&self, state: State) -> Result<(), MeasureError> {
        let expected = [
            ("the client", newcomer(0), matches!(state, State::With(_))),
            ("a peer", peer(self.rules / 2), state != State::Closed && self.rules > 0),
            ("a stranger", STRANGER, false),
        ];
        for (who, from, expected) in expected {
            let arrives = self.arrives(from, expected)?;
            if arrives != expected {
                let why = format!("{who} is let in: {arrives}, in {state:?}");
                return Err(MeasureError::wrong("the filter", why));
            }
        }
        Ok(())
    }

    /// Makes all who send and the server known to their neighbours, while nothing filters yet.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when a packet does not get through.
    pub fn warm_up(&self) -> Result<(), MeasureError> {
        for from in [newcomer(0), peer(self.rules / 2), STRANGER] {
            let begin = Instant::now();
            while !self.arrives(from, false)? {
                if begin.elapsed() > Duration::from_secs(5) {
                    let why = format!("no packet of {from} arrives, and nothing filters");
                    return Err(MeasureError::wrong("the network", why));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// How long a packet may be under way.
    pub fn under_way(&self) -> Duration {
        match self.wiring {
            Wiring::Direct => Duration::from_micros(500),
            Wiring::ThroughBox => Duration::from_millis(20),
        }
    }

    /// How long to wait for a packet before the next is sent, so that packets do not queue before a
    /// filter on another CPU; the kernel has let a packet in before its sending is over.
    pub fn pace(&self) -> Duration {
        match self.wiring {
            Wiring::Direct => Duration::ZERO,
            Wiring::ThroughBox => Duration::from_micros(100),
        }
    }

    /// How long before it is decided a packet may have been sent.
    pub fn given_before(&self) -> Duration {
        match self.wiring {
            Wiring::Direct => Duration::ZERO,
            Wiring::ThroughBox => self.under_way(),
        }
    }

    /// Keeps the calling thread where packets are sent: on another processor than that on which
    /// policy changes, where there are two.
    pub fn stay_with_client(&self) -> Result<(), MeasureError> {
        pin(self.cores.other())
    }

    /// A kind that no packet has had.
    pub fn new_kind(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }
}

fn find<'t>(topology: &'t Topology, name: &str) -> Result<&'t Place, MeasureError> {
    let missing = || MeasureError::wrong("the network", format!("it has no `{name}`"));
    topology.place(name).ok_or_else(missing)
}

fn bind(place: &Place, address: SocketAddr) -> Result<UdpSocket, MeasureError> {
    let bound = place.namespace.run(|| UdpSocket::bind(address));
    let bound = bound.map_err(MeasureError::refused("enter a namespace"))?;
    bound.map_err(MeasureError::refused(format!("open a socket at {address}")))
}

fn pin(core: usize) -> Result<(), MeasureError> {
    pin_to(core).map_err(MeasureError::refused("stay on one processor"))
}
