//! Streams in which flows go on: few connections, many packets, time that passes, policy that
//! changes.

use std::net::IpAddr;

use ringfence_common::abi::config::{Hook, essential};
use ringfence_common::abi::policy::protocol;
use ringfence_dataplane::backend::{Arrival, Mode};
use ringfence_testbed::packet::Frame;
use ringfence_testbed::packet::generate::{Place, World};
use ringfence_testbed::packet::tcp_flags::{ACK, FIN, PSH, RST, SYN};
use ringfence_testbed::random::Random;

use super::copies::Step;
use super::setting::{Change, POLICIES};

/// What a stream is like.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub arrival: Arrival,
    /// Connections at a time.
    pub connections: usize,
    /// Whether flows are evicted now and then.
    pub evicts: bool,
    /// The mode that policy changes keep to; nothing if they change it.
    pub mode: Option<Mode>,
    /// Whether changes open the window in which connections are picked up, and switch off what is
    /// essential.
    pub is_odd: bool,
}

/// Two ends, and what each has sent.
struct Connection {
    ends: [Place; 2],
    ports: [u16; 2],
    is_tcp: bool,
    next: [u32; 2],
    stage: usize,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// `count` steps from `seed`.
pub fn steps(world: &World, manner: &Manner, seed: u64, count: usize) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut connections: Vec<Connection> =
        (0..manner.connections).map(|_| Connection::new(world, &mut random)).collect();
    let mut steps = Vec::new();
    while steps.len() < count {
        match random.below(1_000) {
            0..250 => steps.push(Step::Time(random.below(4) as u32)),
            250..255 => steps.push(Step::Time(100 + random.below(700) as u32)),
            255..258 => steps.push(Step::Time(*random.pick(&[1_500, 3_600, 8_000, 15_000]))),
            258 => steps.push(Step::Time(*random.pick(&[500_000, 51_600_000]))),
            259..261 => steps.push(Step::Apply(change(manner, &mut random))),
            261..263 if manner.evicts => steps.push(Step::Evict(random.number() as usize)),
            263..273 => {
                let chosen = random.below(connections.len());
                connections[chosen] = Connection::new(world, &mut random);
            }
            _ => {
                let chosen = random.below(connections.len());
                connections[chosen].packet(manner.arrival, &mut random, &mut steps);
            }
        }
    }
    steps
}

fn change(manner: &Manner, random: &mut Random) -> Change {
    let either = *random.pick(&[Mode::Enforce, Mode::Enforce, Mode::Audit]);
    Change {
        policies: random.below(POLICIES),
        mode: manner.mode.unwrap_or(either),
        keep_established: random.chance(25),
        essential: if manner.is_odd && random.chance(40) { 0 } else { essential::ALL },
        pick_up_seconds: if manner.is_odd && random.chance(50) { 120 } else { 0 },
    }
}

impl Connection {
    fn new(world: &World, random: &mut Random) -> Self {
        let v6 = random.chance(40);
        let of_family = |address: &IpAddr| address.is_ipv6() == v6;
        let workloads: Vec<Place> =
            world.workloads.iter().filter(|place| of_family(&place.address)).copied().collect();
        let (host, others) = (&world.host, &world.elsewhere);
        let behind = |addresses: &[IpAddr], random: &mut Random| {
            let addresses: Vec<IpAddr> =
                addresses.iter().filter(|address| of_family(address)).copied().collect();
            Place { address: *random.pick(&addresses), interface: world.uplink }
        };
        let one = *random.pick(&workloads);
        let other = match random.below(10) {
            0..6 => *random.pick(&workloads),
            6 => behind(host, random),
            _ => behind(others, random),
        };
        let is_tcp = random.chance(70);
        let number = if is_tcp { protocol::TCP } else { protocol::UDP };
        let ends = if random.chance(50) { [one, other] } else { [other, one] };
        let ports = [40_000 + random.below(8) as u16, *random.pick(&world.ports[&number])];
        let next = [random.number() as u32, u32::MAX - random.below(2_000) as u32];
        Self { ends, ports, is_tcp, next, stage: 0 }
    }

    /// One packet, wherever it is seen.
    fn packet(&mut self, arrival: Arrival, random: &mut Random, steps: &mut Vec<Step>) {
        let (from, flags, sequence, acknowledgement, payload) = self.segment(random);
        let to = 1 - from;
        let (source, destination) = (self.ends[from], self.ends[to]);
        let frame = Frame::ethernet();
        let is_tagged = random.chance(3);
        let frame = if is_tagged { frame.vlan(7) } else { frame };
        let frame = frame.ip(source.address, destination.address);
        let frame = match random.below(100) {
            0..3 if source.address.is_ipv4() => frame.options(&[1; 4]),
            0..3 => frame.destination_options(&[]),
            _ => frame,
        };
        let frame = if self.is_tcp {
            let frame = frame.tcp(self.ports[from], self.ports[to]).flags(flags).sequence(sequence);
            frame.with_tcp(|tcp| tcp.acknowledgement = acknowledgement)
        } else {
            frame.udp(self.ports[from], self.ports[to])
        };
        let frame = frame.payload(payload);
        let frames = if random.chance(3) && payload > 40 {
            frame.fragments(random.below(50) as u32, 24)
        } else {
            vec![frame.build()]
        };
        let hook = match arrival {
            Arrival::Xdp => Hook::Xdp,
            Arrival::Tcx => Hook::TcIngress,
        };
        // Some come in where they should not.
        let entry = if random.chance(3) { *random.pick(&[3, 6, 10, 11]) } else { source.interface };
        for frame in frames {
            let leaving = Step::Frame {
                frame: frame.clone(),
                hook: Hook::TcEgress,
                ifindex: destination.interface,
            };
            steps.push(Step::Frame { frame, hook, ifindex: entry });
            steps.push(leaving);
        }
    }

    /// Who sends, flags, numbers, and bytes of data.
    fn segment(&mut self, random: &mut Random) -> (usize, u8, u32, u32, usize) {
        let either = random.below(2);
        if !self.is_tcp {
            return (either, 0, 0, 0, random.below(80));
        }
        let (own, other) = (self.next[either], self.next[1 - either]);
        let far = own.wrapping_add(0x1000_0000 + random.number() as u32 / 8);
        if self.stage < 3 {
            return self.handshake(random);
        }
        match random.below(100) {
            0..2 => {
                self.next[either] = own.wrapping_add(1);
                (either, FIN | ACK, own, other, 0)
            }
            2 => (either, RST | ACK, own, other, 0),
            3 => (either, RST, own, 0, 0),
            4..8 => (either, RST, far, 0, 0),
            8 => {
                self.stage = 0;
                self.handshake(random)
            }
            9 => (either, SYN, own.wrapping_sub(1), 0, 0),
            10 => (either, SYN | ACK, own.wrapping_sub(1), other, 0),
            // A keep-alive, something repeated, and what somebody has made up.
            11..14 => (either, ACK, own.wrapping_sub(1), other, 1),
            14..18 => (either, ACK | PSH, own.wrapping_sub(30), other, 30),
            18..20 => (either, ACK, far, far, 10),
            20..22 => (either, ACK, own, other.wrapping_add(500), 0),
            22..40 => (either, ACK, own, other, 0),
            _ => {
                let length = 1 + random.below(90);
                self.next[either] = own.wrapping_add(length as u32);
                (either, ACK | PSH, own, other, length)
            }
        }
    }

    fn handshake(&mut self, random: &mut Random) -> (usize, u8, u32, u32, usize) {
        // One time in ten a step is left out or repeated.
        let stage = if random.chance(10) { random.below(4) } else { self.stage };
        self.stage = stage + 1;
        let [client, server] = self.next;
        match stage {
            0 => {
                let start = client.wrapping_add(random.below(100_000) as u32);
                self.next = [start.wrapping_add(1), server];
                (CLIENT, SYN, start, 0, 0)
            }
            1 => {
                let start = server.wrapping_add(random.below(100_000) as u32);
                self.next[SERVER] = start.wrapping_add(1);
                (SERVER, SYN | ACK, start, client, 0)
            }
            _ => (CLIENT, ACK, client, server, 0),
        }
    }
}
