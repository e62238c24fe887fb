//! IPv6 extension headers (RFC 8200 §4), and AH and ESP, which IPv4 has as well.

use super::frame::{Frame, Layer, Surroundings};

/// Numbers of extension headers.
pub mod extension_kind {
    #![allow(missing_docs, reason = "the names are IANA's")]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const ESP: u8 = 50;
    pub const AUTHENTICATION: u8 = 51;
    pub const NO_NEXT_HEADER: u8 = 59;
    pub const DESTINATION: u8 = 60;
    pub const MOBILITY: u8 = 135;
    pub const HOST_IDENTITY: u8 = 139;
    pub const SHIM6: u8 = 140;
}

/// One extension header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// One of [`extension_kind`].
    pub kind: u8,
    /// What follows; derived from the next layer.
    pub next_header: Option<u8>,
    /// The second byte: the length in units of eight bytes without the first (four bytes without
    /// the first two for AH); derived. Reserved in a fragment header, absent from ESP.
    pub length: Option<u8>,
    /// What follows the first two bytes, padded with zeros to the header's unit. For ESP the whole
    /// header.
    pub body: Vec<u8>,
}

impl Frame {
    /// Adds an extension header of any kind with `body` after its first two bytes.
    #[must_use]
    pub fn extension(self, kind: u8, body: &[u8]) -> Self {
        let body = body.to_vec();
        self.layer(Layer::Extension(Extension { kind, next_header: None, length: None, body }))
    }

    /// Adds a hop-by-hop options header holding `options`; a padding option if they are empty.
    #[must_use]
    pub fn hop_by_hop(self, options: &[u8]) -> Self {
        self.extension(extension_kind::HOP_BY_HOP, padded(options))
    }

    /// Adds a destination options header holding `options`; a padding option if they are empty.
    #[must_use]
    pub fn destination_options(self, options: &[u8]) -> Self {
        self.extension(extension_kind::DESTINATION, padded(options))
    }

    /// Adds a routing header of `routing_type` with `segments_left`.
    #[must_use]
    pub fn routing(self, routing_type: u8, segments_left: u8) -> Self {
        self.extension(extension_kind::ROUTING, &[routing_type, segments_left, 0, 0, 0, 0])
    }

    /// Adds a fragment header: `offset` in units of eight bytes, `more` if others follow.
    #[must_use]
    pub fn fragment_header(self, identification: u32, offset: u16, more: bool) -> Self {
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        let [a, b, c, d] = identification.to_be_bytes();
        self.extension(extension_kind::FRAGMENT, &[high, low, a, b, c, d])
    }

    /// Adds an authentication header (RFC 4302) with a 12-byte check value: 24 bytes.
    #[must_use]
    pub fn authentication(self) -> Self {
        let [reserved, check] = [[0; 2].as_slice(), &[9; 12]];
        let numbers = [0, 0, 0, 1, 0, 0, 0, 1];
        self.extension(extension_kind::AUTHENTICATION, &[reserved, &numbers, check].concat())
    }

    /// Adds an ESP header (RFC 4303): security parameters index, sequence number, ciphertext.
    #[must_use]
    pub fn esp(self, ciphertext: &[u8]) -> Self {
        self.extension(extension_kind::ESP, &[&[0, 0, 0, 7, 0, 0, 0, 1], ciphertext].concat())
    }
}

/// An option that pads four bytes (PadN), so that an empty header is well formed.
fn padded(options: &[u8]) -> &[u8] {
    if options.is_empty() { &[1, 4, 0, 0, 0, 0] } else { options }
}

impl Extension {
    pub(super) fn encode(&self, payload: &[u8], around: Surroundings<'_>) -> Vec<u8> {
        if self.kind == extension_kind::ESP {
            return [self.body.as_slice(), payload].concat();
        }
        let unit = if self.kind == extension_kind::AUTHENTICATION { 4 } else { 8 };
        let whole = (2 + self.body.len()).next_multiple_of(unit);
        let derived = match self.kind {
            extension_kind::FRAGMENT => 0,
            extension_kind::AUTHENTICATION => (whole / 4).saturating_sub(2) as u8,
            _ => (whole / 8).saturating_sub(1) as u8,
        };
        let inside =
            around.next.and_then(Layer::protocol).unwrap_or(extension_kind::NO_NEXT_HEADER);
        let mut bytes = vec![self.next_header.unwrap_or(inside), self.length.unwrap_or(derived)];
        bytes.extend_from_slice(&self.body);
        bytes.resize(whole, 0);
        bytes.extend_from_slice(payload);
        bytes
    }
}
