//! The list of layers and how it becomes bytes.

use std::net::IpAddr;

use super::{Arp, Ethernet, Extension, Gre, Icmp, Ipv4, Ipv6, Sctp, Tcp, Udp, Vlan, ether_type};

/// A frame being built: layers from the outermost to the innermost.
///
/// A method named after a layer adds it; a method named after a field changes that field in the
/// last layer that has it and panics where there is none, because a test that asks for it is
/// wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    layers: Vec<Layer>,
    padding: usize,
}

/// One layer of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at its type")]
pub enum Layer {
    Ethernet(Ethernet),
    Vlan(Vlan),
    Arp(Arp),
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Extension(Extension),
    Tcp(Tcp),
    Udp(Udp),
    Sctp(Sctp),
    Icmp(Icmp),
    Gre(Gre),
    Bytes(Bytes),
}

/// Bytes as they are: payload, or a protocol that has no layer of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// What the enclosing IP header says they are; `None` for the payload of a transport header.
    pub protocol: Option<u8>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a layer has to know about those around it when it is encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// The layer inside this one.
    pub next: Option<&'a Layer>,
    /// Source and destination of the nearest IP header outside this layer.
    pub addresses: Option<(IpAddr, IpAddr)>,
}

impl Frame {
    /// A frame without any layer, for packets that start with an IP header (such as those that
    /// ICMP errors quote).
    #[must_use]
    pub fn bare() -> Self {
        Self::default()
    }

    /// The bytes of the frame.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut bytes = self.encode_from(0);
        bytes.resize(bytes.len() + self.padding, 0);
        bytes
    }

    /// The layers, outermost first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers, to change any field of any of them.
    pub fn layers_mut(&mut self) -> &mut Vec<Layer> {
        &mut self.layers
    }

    /// Adds `layer` inside the others.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds `length` bytes of payload, counting up from zero.
    #[must_use]
    pub fn payload(self, length: usize) -> Self {
        let bytes = (0..length).map(|index| index as u8).collect();
        self.layer(Layer::Bytes(Bytes { protocol: None, bytes }))
    }

    /// Adds `bytes` as payload.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.layer(Layer::Bytes(Bytes { protocol: None, bytes: bytes.to_vec() }))
    }

    /// Adds `bytes` as a packet of IP protocol `protocol`.
    #[must_use]
    pub fn protocol_bytes(self, protocol: u8, bytes: &[u8]) -> Self {
        self.layer(Layer::Bytes(Bytes { protocol: Some(protocol), bytes: bytes.to_vec() }))
    }

    /// Adds `length` zero bytes after the packet, which no length field counts (short Ethernet
    /// frames are padded like this).
    #[must_use]
    pub fn padding(mut self, length: usize) -> Self {
        self.padding = length;
        self
    }

    /// Encodes the layers from number `first` on.
    pub(super) fn encode_from(&self, first: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for index in (first..self.layers.len()).rev() {
            let surroundings = Surroundings {
                next: self.layers.get(index + 1),
                addresses: self.layers[..index].iter().rev().find_map(Layer::addresses),
            };
            bytes = self.layers[index].encode(bytes, surroundings);
        }
        bytes
    }
}

/// Declares the methods that change any field of the last layer of a kind.
macro_rules! change_a_layer {
    ($($method:ident: $kind:ident),+ $(,)?) => {
        impl Frame {
            $(
                #[doc = concat!("Changes the last [`", stringify!($kind), "`] layer.")]
                ///
                /// # Panics
                ///
                /// When the frame has none.
                #[must_use]
                pub fn $method(mut self, change: impl FnOnce(&mut $kind)) -> Self {
                    let layer = self.layers.iter_mut().rev().find_map(|layer| match layer {
                        Layer::$kind(layer) => Some(layer),
                        _ => None,
                    });
                    change(layer.expect(concat!("the frame has an ", stringify!($kind), " layer")));
                    self
                }
            )+
        }
    };
}

change_a_layer! {
    with_ethernet: Ethernet,
    with_vlan: Vlan,
    with_arp: Arp,
    with_ipv4: Ipv4,
    with_ipv6: Ipv6,
    with_extension: Extension,
    with_tcp: Tcp,
    with_udp: Udp,
    with_sctp: Sctp,
    with_icmp: Icmp,
    with_gre: Gre,
    with_bytes: Bytes,
}

impl Layer {
    fn encode(&self, payload: Vec<u8>, around: Surroundings<'_>) -> Vec<u8> {
        match self {
            Self::Ethernet(layer) => layer.encode(&payload, around),
            Self::Vlan(layer) => layer.encode(&payload, around),
            Self::Arp(layer) => layer.encode(&payload),
            Self::Ipv4(layer) => layer.encode(&payload, around),
            Self::Ipv6(layer) => layer.encode(&payload, around),
            Self::Extension(layer) => layer.encode(&payload, around),
            Self::Tcp(layer) => layer.encode(&payload, around),
            Self::Udp(layer) => layer.encode(&payload, around),
            Self::Sctp(layer) => layer.encode(&payload),
            Self::Icmp(layer) => layer.encode(&payload, around),
            Self::Gre(layer) => layer.encode(&payload, around),
            Self::Bytes(layer) => [layer.bytes.as_slice(), &payload].concat(),
        }
    }

    /// The Ethernet type that announces this layer.
    pub(super) fn ether_type(&self) -> u16 {
        match self {
            Self::Vlan(vlan) => vlan.tag_type,
            Self::Ipv4(_) => ether_type::IPV4,
            Self::Ipv6(_) => ether_type::IPV6,
            Self::Arp(_) => ether_type::ARP,
            _ => ether_type::EXPERIMENT,
        }
    }

    /// The IP protocol number that announces this layer; `None` for plain payload.
    pub(super) fn protocol(&self) -> Option<u8> {
        match self {
            Self::Extension(layer) => Some(layer.kind),
            Self::Tcp(_) => Some(6),
            Self::Udp(_) => Some(17),
            Self::Sctp(_) => Some(132),
            Self::Icmp(layer) => Some(if layer.v6 { 58 } else { 1 }),
            Self::Gre(_) => Some(47),
            Self::Ipv4(_) => Some(4),
            Self::Ipv6(_) => Some(41),
            Self::Bytes(layer) => layer.protocol,
            Self::Ethernet(_) | Self::Vlan(_) | Self::Arp(_) => None,
        }
    }

    fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Self::Ipv4(ip) => Some((ip.source.into(), ip.destination.into())),
            Self::Ipv6(ip) => Some((ip.source.into(), ip.destination.into())),
            _ => None,
        }
    }
}
