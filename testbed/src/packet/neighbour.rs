//! IPv6 neighbour and router discovery (RFC 4861) and multicast listener discovery (RFC 2710,
//! RFC 3810).

use std::net::Ipv6Addr;

use super::frame::Frame;

/// The link-layer address option that discovery messages carry: type, length 1, six bytes.
const LINK_ADDRESS: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Frame {
    /// Adds a neighbour solicitation for `target`; sets the hop limit to 255.
    #[must_use]
    pub fn neighbour_solicitation(self, target: Ipv6Addr) -> Self {
        let body = [&target.octets(), [1, 1].as_slice(), &LINK_ADDRESS].concat();
        self.discovery(135, [0; 4], &body)
    }

    /// Adds a solicited, overriding neighbour advertisement for `target`.
    #[must_use]
    pub fn neighbour_advertisement(self, target: Ipv6Addr) -> Self {
        let body = [&target.octets(), [2, 1].as_slice(), &LINK_ADDRESS].concat();
        self.discovery(136, [0x60, 0, 0, 0], &body)
    }

    /// Adds a router solicitation.
    #[must_use]
    pub fn router_solicitation(self) -> Self {
        self.discovery(133, [0; 4], &[&[1, 1], LINK_ADDRESS.as_slice()].concat())
    }

    /// Adds a router advertisement: hop limit 64, a lifetime of 1,800 s, no reachability timers.
    #[must_use]
    pub fn router_advertisement(self) -> Self {
        let body = [&[0; 8], [1, 1].as_slice(), &LINK_ADDRESS].concat();
        self.discovery(134, [64, 0, 7, 8], &body)
    }

    /// Adds a redirect of `destination` to `target`.
    #[must_use]
    pub fn redirect(self, target: Ipv6Addr, destination: Ipv6Addr) -> Self {
        self.discovery(137, [0; 4], &[target.octets(), destination.octets()].concat())
    }

    /// Adds an MLDv2 report that joins `group`. It goes inside a hop-by-hop header with the router
    /// alert option, hop limit 1.
    #[must_use]
    pub fn listener_report(self, group: Ipv6Addr) -> Self {
        let record = [&[4, 0, 0, 0], group.octets().as_slice()].concat();
        self.hops(1).router_alert().icmp(143, 0, [0, 0, 0, 1]).bytes(&record)
    }

    /// Adds an MLD general query (RFC 2710: 24 bytes).
    #[must_use]
    pub fn listener_query(self) -> Self {
        self.hops(1).router_alert().icmp(130, 0, [0x27, 0x10, 0, 0]).bytes(&[0; 16])
    }

    /// Adds a hop-by-hop header with the router alert option (RFC 2711).
    #[must_use]
    pub fn router_alert(self) -> Self {
        self.hop_by_hop(&[5, 2, 0, 0, 1, 0])
    }

    fn discovery(self, kind: u8, rest: [u8; 4], body: &[u8]) -> Self {
        self.hops(255).icmp(kind, 0, rest).bytes(body)
    }
}
