//! Ethernet, VLAN tags, and the protocols that sit on Ethernet beside IP: ARP, LLC, LLDP.

use std::net::Ipv4Addr;

use pnet::packet::arp::{ArpHardwareTypes, ArpOperation, MutableArpPacket};
use pnet::packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet::util::MacAddr;

use super::frame::{Frame, Layer, Surroundings};

/// Ethernet types (IEEE 802 numbers) used here.
pub mod ether_type {
    #![allow(missing_docs, reason = "the names are the protocols'")]
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    pub const PROVIDER_VLAN: u16 = 0x88a8;
    pub const EXPERIMENT: u16 = 0x88b5;
    pub const LLDP: u16 = 0x88cc;
}

/// An Ethernet header, 14 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Destination.
    pub destination: [u8; 6],
    /// Source.
    pub source: [u8; 6],
    /// The type or, for LLC, the length; `None` means that of the layer inside.
    pub ether_type: Option<LinkLength>,
}

/// What stands in the last two bytes of an Ethernet header when it is not derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLength {
    /// This type.
    Type(u16),
    /// The number of bytes that follow (IEEE 802.3), as LLC has it.
    Length,
}

/// A VLAN tag, 4 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// What announces the tag: [`ether_type::VLAN`] or [`ether_type::PROVIDER_VLAN`].
    pub tag_type: u16,
    /// Priority (3 bits), drop eligibility (1 bit) and VLAN number (12 bits).
    pub control: u16,
    /// The type after the tag; `None` means that of the layer inside.
    pub ether_type: Option<u16>,
}

/// An ARP packet for IPv4 on Ethernet, 28 bytes (RFC 826).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Hardware and protocol address of the sender.
    pub sender: ([u8; 6], Ipv4Addr),
    /// Hardware and protocol address of the target.
    pub target: ([u8; 6], Ipv4Addr),
}

impl Frame {
    /// A frame that starts with an Ethernet header between two locally administered addresses.
    #[must_use]
    pub fn ethernet() -> Self {
        Self::bare().layer(Layer::Ethernet(Ethernet {
            destination: [2, 0, 0, 0, 0, 2],
            source: [2, 0, 0, 0, 0, 1],
            ether_type: None,
        }))
    }

    /// Adds an 802.1Q tag.
    #[must_use]
    pub fn vlan(self, number: u16) -> Self {
        self.tag(ether_type::VLAN, number)
    }

    /// Adds an 802.1ad (provider) tag.
    #[must_use]
    pub fn provider_vlan(self, number: u16) -> Self {
        self.tag(ether_type::PROVIDER_VLAN, number)
    }

    fn tag(self, tag_type: u16, control: u16) -> Self {
        self.layer(Layer::Vlan(Vlan { tag_type, control, ether_type: None }))
    }

    /// Adds an ARP request of `sender` for `target`.
    #[must_use]
    pub fn arp(self, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        self.layer(Layer::Arp(Arp {
            operation: 1,
            sender: ([2, 0, 0, 0, 0, 1], sender),
            target: ([0; 6], target),
        }))
    }

    /// Adds an LLC frame for the spanning tree protocol's service access point (0x42).
    #[must_use]
    pub fn spanning_tree(self) -> Self {
        self.with_ethernet(|ethernet| ethernet.ether_type = Some(LinkLength::Length))
            .bytes(&[0x42, 0x42, 3, 0, 0, 0, 0, 0])
    }

    /// Adds an LLDP frame with a chassis, a port, a lifetime and the end mark (IEEE 802.1AB).
    #[must_use]
    pub fn lldp(self) -> Self {
        self.with_ethernet(|ethernet| {
            ethernet.destination = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
            ethernet.ether_type = Some(LinkLength::Type(ether_type::LLDP));
        })
        .bytes(&[2, 7, 4, 2, 0, 0, 0, 0, 1, 4, 2, 7, b'1', 6, 2, 0, 120, 0, 0])
    }
}

impl Ethernet {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let ether_type = match self.ether_type {
            Some(LinkLength::Type(number)) => number,
            Some(LinkLength::Length) => payload.len() as u16,
            None => around.next.map_or(ether_type::EXPERIMENT, Layer::ether_type),
        };
        let mut bytes = vec![0; 14];
        let mut header = MutableEthernetPacket::new(&mut bytes).expect("14 bytes are a header");
        header.set_destination(MacAddr::from(self.destination));
        header.set_source(MacAddr::from(self.source));
        header.set_ethertype(EtherType(ether_type));
        bytes.extend_from_slice(payload);
        bytes
    }
}

impl Vlan {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        let inside = around.next.map_or(ether_type::EXPERIMENT, Layer::ether_type);
        let inside = self.ether_type.unwrap_or(inside);
        [&self.control.to_be_bytes(), &inside.to_be_bytes(), payload].concat()
    }
}

impl Arp {
    pub(super) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 28];
        let mut packet = MutableArpPacket::new(&mut bytes).expect("28 bytes are a packet");
        packet.set_hardware_type(ArpHardwareTypes::Ethernet);
        packet.set_protocol_type(EtherTypes::Ipv4);
        packet.set_hw_addr_len(6);
        packet.set_proto_addr_len(4);
        packet.set_operation(ArpOperation(self.operation));
        packet.set_sender_hw_addr(MacAddr::from(self.sender.0));
        packet.set_sender_proto_addr(self.sender.1);
        packet.set_target_hw_addr(MacAddr::from(self.target.0));
        packet.set_target_proto_addr(self.target.1);
        bytes.extend_from_slice(payload);
        bytes
    }
}
