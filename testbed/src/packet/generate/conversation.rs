//! Conversations: packets that answer each other.

use ringfence_common::abi::policy::protocol;

use super::tcp::TcpConversation;
use super::{CONVERSATIONS, Draft, Generator, Kind, Place, Random};
use crate::packet::Frame;

/// Two ends that talk.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub client: Place,
    pub server: Place,
    pub client_port: u16,
    pub server_port: u16,
    talk: Talk,
}

#[derive(Clone, Debug)]
enum Talk {
    Tcp(TcpConversation),
    Udp,
    Sctp,
    Echo,
}

/// The first port of clients: few enough that ports are reused.
const CLIENT_PORTS: u16 = 40_000;

impl Generator<'_> {
    /// The next packet of some conversation, of a new one perhaps.
    pub(super) fn conversation_step(&mut self) -> Draft {
        if self.conversations.len() < CONVERSATIONS || self.random.chance(6) {
            let conversation = self.open_conversation();
            self.conversations.push(conversation);
            if self.conversations.len() > CONVERSATIONS {
                let oldest = self.random.below(CONVERSATIONS);
                self.conversations.swap_remove(oldest);
            }
        }
        let chosen = self.random.below(self.conversations.len());
        let step = self.conversations[chosen].step(&mut self.random);
        match step {
            Some(draft) => draft,
            None => {
                let fresh = self.open_conversation();
                self.conversations[chosen] = fresh;
                self.conversation_step()
            }
        }
    }

    fn open_conversation(&mut self) -> Conversation {
        let v6 = self.random.chance(45);
        let (client, server) = self.ends(v6);
        let random = &mut self.random;
        let (talk, number) = match random.below(20) {
            0..11 => (Talk::Tcp(TcpConversation::new(random)), protocol::TCP),
            11..16 => (Talk::Udp, protocol::UDP),
            16..18 => (Talk::Sctp, protocol::SCTP),
            _ => (Talk::Echo, protocol::ICMP),
        };
        let client_port = CLIENT_PORTS + random.below(512) as u16;
        let server_port = self.world.port(&mut self.random, number);
        Conversation { client, server, client_port, server_port, talk }
    }

    /// Two different ends, one of this host at least.
    pub(super) fn ends(&mut self, v6: bool) -> (Place, Place) {
        loop {
            let one = self.world.anyone(&mut self.random, v6);
            let other = self.world.workload(&mut self.random, v6);
            if one.address != other.address {
                return if self.random.chance(60) { (one, other) } else { (other, one) };
            }
        }
    }
}

impl Conversation {
    /// The next packet; `None` when everything has been said.
    fn step(&mut self, random: &mut Random) -> Option<Draft> {
        let mut talk = self.talk.clone();
        let draft = match &mut talk {
            Talk::Tcp(tcp) => tcp.step(self, random),
            Talk::Udp => Some(self.datagram(random)),
            Talk::Sctp => Some(self.sctp(random)),
            Talk::Echo => Some(self.echo(random)),
        };
        self.talk = talk;
        draft
    }

    /// A frame from the client or the server up to its IP header, and whose it is.
    pub(super) fn frame(&self, from_client: bool) -> (Frame, Place, Place) {
        let (from, to) =
            if from_client { (self.client, self.server) } else { (self.server, self.client) };
        (Frame::ethernet().ip(from.address, to.address), from, to)
    }

    /// Source and destination port.
    pub(super) fn ports(&self, from_client: bool) -> (u16, u16) {
        if from_client {
            (self.client_port, self.server_port)
        } else {
            (self.server_port, self.client_port)
        }
    }

    fn datagram(&self, random: &mut Random) -> Draft {
        let from_client = random.chance(60);
        let (frame, from, to) = self.frame(from_client);
        let (source, destination) = self.ports(from_client);
        let kind = if from_client { Kind::UdpQuery } else { Kind::UdpReply };
        let frame = frame.udp(source, destination).payload(random.below(64));
        Draft::between(frame, kind, from, to)
    }

    fn sctp(&self, random: &mut Random) -> Draft {
        let from_client = random.chance(60);
        let (frame, from, to) = self.frame(from_client);
        let (source, destination) = self.ports(from_client);
        let kind = if from_client { Kind::SctpFromClient } else { Kind::SctpFromServer };
        // INIT, INIT ACK, DATA, ABORT, SHUTDOWN (RFC 9260 §3.2).
        let chunk = *random.pick(&[1, 2, 0, 6, 7]);
        let frame = frame.sctp(source, destination).chunk(chunk, 0, &[0; 16]);
        Draft::between(frame, kind, from, to)
    }

    fn echo(&self, random: &mut Random) -> Draft {
        let (kind, from_client) = random.weighted(&[
            ((Kind::EchoRequest, true), 12),
            ((Kind::EchoReply, false), 9),
            ((Kind::EchoUnasked, false), 2),
            ((Kind::EchoUnasked, true), 1),
        ]);
        let (frame, from, to) = self.frame(from_client);
        let identifier = match kind {
            Kind::EchoUnasked => self.client_port.wrapping_add(9_999),
            _ => self.client_port,
        };
        let frame = if kind == Kind::EchoRequest {
            frame.echo_request(identifier, 1)
        } else {
            frame.echo_reply(identifier, 1)
        };
        Draft::between(frame.payload(random.below(32)), kind, from, to)
    }
}
