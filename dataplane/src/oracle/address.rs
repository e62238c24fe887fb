//! Which addresses may be on a wire, and what kind they are.

use std::net::IpAddr;

/// Whether a packet between these addresses may not be on a wire: loopback (RFC 1122 §3.2.1.3,
/// RFC 4291 §2.5.3), a source that is a group or everyone, IPv4-mapped addresses (RFC 4291
/// §2.5.5.2), nobody as destination, and nobody as source of anything but what is for everyone
/// or a group: that is how an address is asked for (RFC 2131, RFC 4862).
pub fn is_martian(source: IpAddr, destination: IpAddr) -> bool {
    let never = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.to_ipv4_mapped().is_some(),
    };
    never(source)
        || never(destination)
        || is_for_many(source)
        || destination.is_unspecified()
        || source.is_unspecified() && !is_for_many(destination)
}

/// Whether an address is a group's or everyone's.
pub fn is_for_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether an address is good on its link alone (RFC 3927, RFC 4291 §2.5.6).
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
