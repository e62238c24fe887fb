//! Ranges of addresses as prefixes.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::Family;
use crate::backend::chains::Peers;

impl Family {
    /// Whether the address is of this family.
    pub(in crate::backend) fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    /// Two prefixes that are all addresses together.
    pub(in crate::backend) fn halves(self) -> [&'static str; 2] {
        match self {
            Self::V4 => ["0.0.0.0/1", "128.0.0.0/1"],
            Self::V6 => ["::/1", "8000::/1"],
        }
    }
}

/// The fewest prefixes that are exactly the peers' addresses of `family`, in their order; nothing
/// for everyone.
pub(in crate::backend) fn cover(peers: &Peers, family: Family) -> Option<Vec<IpNet>> {
    let Peers::Of { v4, v6 } = peers else { return None };
    Some(match family {
        Family::V4 => {
            let nets =
                v4.iter().flat_map(|range| Ipv4Subnets::new(*range.start(), *range.end(), 0));
            nets.map(IpNet::V4).collect()
        }
        Family::V6 => {
            let nets =
                v6.iter().flat_map(|range| Ipv6Subnets::new(*range.start(), *range.end(), 0));
            nets.map(IpNet::V6).collect()
        }
    })
}

/// The fewest prefixes that are exactly these addresses of `family`.
pub(in crate::backend) fn cover_all<'a>(
    addresses: impl IntoIterator<Item = &'a IpAddr>,
    family: Family,
) -> Vec<IpNet> {
    let own = addresses.into_iter().filter(|address| family.has(address));
    let nets: Vec<IpNet> = own.map(|address| IpNet::from(*address)).collect();
    IpNet::aggregate(&nets)
}

/// As people write it: an address alone without its length.
pub(in crate::backend) fn words(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(ranges: &[[u32; 2]]) -> Peers {
        let range = |[first, last]: &[u32; 2]| Ipv4Addr::from(*first)..=Ipv4Addr::from(*last);
        Peers::Of { v4: ranges.iter().map(range).collect(), v6: Vec::new() }
    }

    fn texts(peers: &Peers, family: Family) -> Vec<String> {
        cover(peers, family).unwrap().iter().map(words).collect()
    }

    #[test]
    fn ranges_become_the_fewest_prefixes() {
        let hole = v4(&[[0xc633_6400, 0xc633_647f], [0x0a00_0003, 0x0a00_0006]]);
        let expected = ["198.51.100.0/25", "10.0.0.3", "10.0.0.4/31", "10.0.0.6"];
        assert_eq!(texts(&hole, Family::V4), expected);
        assert_eq!(texts(&hole, Family::V6), Vec::<String>::new());
        assert_eq!(texts(&v4(&[[0, u32::MAX]]), Family::V4), ["0.0.0.0/0"]);

        let (first, last) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff".parse().unwrap());
        let most: Ipv6Addr = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        let v6 = Peers::Of { v4: Vec::new(), v6: vec![first..=last, most..=most] };
        let cover = texts(&v6, Family::V6);
        assert_eq!(cover.len(), 17, "{cover:?}");
        assert_eq!((cover[0].as_str(), cover[15].as_str()), ("2001:db8::1", "2001:db8::8000/113"));
        assert_eq!(super::cover(&Peers::Anyone, Family::V4), None);
    }

    /// Every range in a small space, address by address.
    #[test]
    fn prefixes_cover_a_range_and_nothing_else() {
        for first in 0..32_u32 {
            for last in first..32 {
                let nets = cover(&v4(&[[first, last]]), Family::V4).unwrap();
                for address in 0..40 {
                    let inside = nets
                        .iter()
                        .filter(|net| net.contains(&IpAddr::V4(Ipv4Addr::from(address))));
                    let expected = usize::from((first..=last).contains(&address));
                    assert_eq!(inside.count(), expected, "{address} in {first}..={last}: {nets:?}");
                }
            }
        }
    }

    #[test]
    fn neighbouring_addresses_become_one_prefix() {
        let addresses: Vec<IpAddr> = ["10.0.0.2", "10.0.0.3", "fd00::2", "10.0.0.9"]
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        let texts: Vec<String> = cover_all(&addresses, Family::V4).iter().map(words).collect();
        assert_eq!(texts, ["10.0.0.2/31", "10.0.0.9"]);
    }
}
