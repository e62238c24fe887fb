//! DHCP (RFC 2131) and DHCPv6 (RFC 8415) messages, in UDP.

use super::frame::Frame;

impl Frame {
    /// Adds a DHCP message of a client to a server: 1 discovers, 3 requests.
    #[must_use]
    pub fn dhcp_request(self, message: u8) -> Self {
        self.udp(68, 67).bytes(&dhcp(1, message))
    }

    /// Adds a DHCP message of a server to a client: 2 offers, 5 acknowledges.
    #[must_use]
    pub fn dhcp_answer(self, message: u8) -> Self {
        self.udp(67, 68).bytes(&dhcp(2, message))
    }

    /// Adds a DHCPv6 message of a client to a server: 1 solicits.
    #[must_use]
    pub fn dhcpv6_request(self, message: u8) -> Self {
        self.udp(546, 547).bytes(&dhcpv6(message))
    }

    /// Adds a DHCPv6 message of a server to a client: 2 advertises, 7 replies.
    #[must_use]
    pub fn dhcpv6_answer(self, message: u8) -> Self {
        self.udp(547, 546).bytes(&dhcpv6(message))
    }
}

/// 236 bytes of BOOTP, the magic number, the message type option and the end mark.
fn dhcp(operation: u8, message: u8) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..8].copy_from_slice(&[operation, 1, 6, 0, 0, 0, 0, 42]);
    bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    bytes.extend_from_slice(&[99, 130, 83, 99, 53, 1, message, 255]);
    bytes
}

/// Message type, transaction, and a client identifier option (DUID-LL).
fn dhcpv6(message: u8) -> Vec<u8> {
    vec![message, 0, 0, 42, 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1]
}
