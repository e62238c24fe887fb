//! What stands behind the IP header.

use super::{Packet, checksum};

/// Protocol numbers (IANA).
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// GRE.
    pub const GRE: u8 = 47;
    /// No next header.
    pub const NONE: u8 = 59;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
}

/// Bits of the TCP flags (RFC 9293 §3.1).
pub mod flags {
    /// FIN.
    pub const FIN: u8 = 1;
    /// SYN.
    pub const SYN: u8 = 2;
    /// RST.
    pub const RST: u8 = 4;
    /// PSH.
    pub const PSH: u8 = 8;
    /// ACK.
    pub const ACK: u8 = 16;
    /// URG.
    pub const URG: u8 = 32;
}

/// A TCP header and what it says of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgement number.
    pub acknowledgement: u32,
    /// Bits of [`flags`], and those for congestion.
    pub flags: u8,
    /// The window, unscaled.
    pub window: u16,
    /// The window scale that a SYN offers.
    pub scale: Option<u8>,
    /// Bytes of data.
    pub data: u32,
    /// Whether the data offset is at least that of a header without options and not past the end.
    pub offset_fits: bool,
}

impl Packet {
    /// The TCP header; nothing in other protocols, and where it is cut.
    #[must_use]
    pub fn tcp(&self) -> Option<Tcp> {
        if self.protocol != Some(protocol::TCP) {
            return None;
        }
        let header = self.transport.get(..20)?;
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let offset = usize::from(header[12] >> 4) * 4;
        let offset_fits = (20..=self.transport.len()).contains(&offset);
        let options = if offset_fits { &self.transport[20..offset] } else { &[] };
        Some(Tcp {
            sequence: word(4),
            acknowledgement: word(8),
            flags: header[13],
            window: u16::from_be_bytes([header[14], header[15]]),
            scale: window_scale(options),
            data: self.transport.len().saturating_sub(offset) as u32,
            offset_fits,
        })
    }

    /// Source and destination port, of protocols that begin with them and whose header is there
    /// that far.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        let has_ports = [protocol::TCP, protocol::UDP, protocol::SCTP];
        if !has_ports.contains(&self.protocol?) {
            return None;
        }
        let [a, b, c, d, ..] = self.transport[..] else { return None };
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// Type and code, of ICMP in IPv4 and ICMPv6 in IPv6.
    #[must_use]
    pub fn icmp(&self) -> Option<(u8, u8)> {
        let own = if self.is_v6() { protocol::ICMPV6 } else { protocol::ICMP };
        match self.transport[..] {
            [kind, code, ..] if self.protocol == Some(own) => Some((kind, code)),
            _ => None,
        }
    }

    /// Whether the transport's checksum is right, as connection tracking asks where packets arrive
    /// (`nf_ip_checksum`, `nf_ip6_checksum`). UDP may have none.
    #[must_use]
    pub fn checksum_is_right(&self) -> bool {
        let (bytes, between) = (&self.transport[..], |number, bytes: &[u8]| {
            checksum::adds_up_between(self.source, self.destination, number, bytes)
        });
        match self.protocol {
            Some(protocol::TCP) => between(protocol::TCP, bytes),
            Some(protocol::UDP) => match bytes {
                [_, _, _, _, _, _, 0, 0, ..] => true,
                [_, _, _, _, high, low, ..] => {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    bytes.get(..length).is_some_and(|bytes| between(protocol::UDP, bytes))
                }
                _ => false,
            },
            Some(protocol::SCTP) => checksum::is_crc32c(bytes),
            // The kernel takes UDP's number for the pseudo-header, which no sender does, so none is
            // ever right (`udplite_error`; seen on Linux 6.18).
            Some(protocol::UDP_LITE) => false,
            Some(protocol::ICMP) if !self.is_v6() => checksum::adds_up(bytes),
            Some(protocol::ICMPV6) if self.is_v6() => between(protocol::ICMPV6, bytes),
            _ => true,
        }
    }
}

/// The window scale among TCP options (RFC 7323 §2).
fn window_scale(mut options: &[u8]) -> Option<u8> {
    loop {
        match options {
            [1, rest @ ..] => options = rest,
            [3, 3, scale, ..] => return Some((*scale).min(14)),
            [kind, size, ..] if *kind != 0 && *size >= 2 => {
                options = options.get(usize::from(*size)..)?;
            }
            _ => return None,
        }
    }
}
