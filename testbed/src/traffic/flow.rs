//! Frames of many flows, made before they are sent.

use std::net::SocketAddr;

use super::{End, TrafficError};
use crate::packet::{Frame, Udp};

/// Bytes of payload that make an IPv4 frame as short as Ethernet allows: 60 without its checksum.
pub const SHORTEST_PAYLOAD: usize = 18;

/// Datagrams from one socket to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who sends, or seems to.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
}

/// The hardware addresses of one hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who sends.
    pub source: [u8; 6],
    /// Who takes the frame.
    pub destination: [u8; 6],
}

impl Hop {
    /// From one end of a wire to the other.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when an interface is not there, or is no Ethernet.
    pub fn between(near: End<'_>, far: End<'_>) -> Result<Self, TrafficError> {
        Ok(Self { source: near.link_address()?, destination: far.link_address()? })
    }
}

impl Flow {
    /// The same datagrams from `count` ports in a row, this one's first.
    ///
    /// # Panics
    ///
    /// When there are not so many ports.
    #[must_use]
    pub fn ports(self, count: u16) -> Vec<Self> {
        let first = self.source.port();
        let end = first.checked_add(count).expect("ports are below 65,536");
        let from = |port| SocketAddr::new(self.source.ip(), port);
        (first..end).map(|port| Self { source: from(port), ..self }).collect()
    }

    /// A frame of this flow with `payload` bytes in it.
    ///
    /// # Panics
    ///
    /// When the addresses are of different families.
    #[must_use]
    pub fn frame(&self, hop: Hop, payload: usize) -> Vec<u8> {
        self.layers(hop, payload).build()
    }

    /// As [`Flow::frame`], with a zero for UDP's checksum: none was made, so the ports may be changed
    /// without spoiling it.
    ///
    /// # Panics
    ///
    /// As there.
    #[must_use]
    pub fn frame_without_checksum(&self, hop: Hop, payload: usize) -> Vec<u8> {
        self.layers(hop, payload).with_udp(|udp: &mut Udp| udp.checksum = Some(0)).build()
    }

    fn layers(&self, hop: Hop, payload: usize) -> Frame {
        Frame::ethernet()
            .with_ethernet(|ethernet| {
                ethernet.source = hop.source;
                ethernet.destination = hop.destination;
            })
            .ip(self.source.ip(), self.destination.ip())
            .udp(self.source.port(), self.destination.port())
            .payload(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_in_a_row() {
        let flow = Flow {
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:9".parse().unwrap(),
        };
        let sources: Vec<String> =
            flow.ports(3).iter().map(|flow| flow.source.to_string()).collect();
        assert_eq!(sources, ["10.0.0.1:40000", "10.0.0.1:40001", "10.0.0.1:40002"]);
    }

    #[test]
    fn a_frame_has_its_hop_and_its_payload() {
        let hop = Hop { source: [2, 0, 0, 0, 0, 7], destination: [2, 0, 0, 0, 0, 8] };
        for (source, destination, length) in
            [("10.0.0.1:4", "10.0.0.2:9", 60), ("[fd00::1]:4", "[fd00::2]:9", 80)]
        {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let flow = Flow { source, destination };
            let frame = flow.frame(hop, SHORTEST_PAYLOAD);
            assert_eq!(frame.len(), length);
            assert_eq!(frame[..12], [2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 7]);
            // UDP's header is the last eight bytes before the payload; its checksum the last two.
            let at = length - SHORTEST_PAYLOAD - 2;
            let bare = flow.frame_without_checksum(hop, SHORTEST_PAYLOAD);
            assert_ne!(frame[at..at + 2], [0, 0]);
            assert_eq!(bare[at..at + 2], [0, 0]);
            assert_eq!((&bare[..at], &bare[at + 2..]), (&frame[..at], &frame[at + 2..]));
        }
    }
}
