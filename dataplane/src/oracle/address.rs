//! Which addresses may be on a wire, and what kind they are.

use std::net::IpAddr;

/// Whether an address may not be on a wire as the source of a packet: loopback (RFC 1122 §3.2.1.3,
/// RFC 4291 §2.5.3), a group or everyone, an IPv4-mapped one (RFC 4291 §2.5.5.2). Nobody is another
/// matter: see [`super::essential::may_come_from_nobody`].
pub fn is_martian_source(address: IpAddr) -> bool {
    is_never_on_a_wire(address) || is_for_many(address)
}

/// Whether an address may not be on a wire as the destination of a packet.
pub fn is_martian_destination(address: IpAddr) -> bool {
    is_never_on_a_wire(address) || address.is_unspecified()
}

fn is_never_on_a_wire(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.to_ipv4_mapped().is_some(),
    }
}

/// Whether an address is a group's or everyone's.
pub fn is_for_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether an address is one that every interface has without being told (RFC 4291 §2.1, §2.5.6).
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
