//! Checksums as receivers check them (RFC 1071, RFC 8200 §8.1, RFC 9260 appendix A).

use std::net::IpAddr;

/// Whether bytes that contain their own Internet checksum add up.
pub fn adds_up(bytes: &[u8]) -> bool {
    fold(sum(bytes)) == 0xffff
}

/// As [`adds_up`], with the pseudo-header in front.
pub fn adds_up_between(source: IpAddr, destination: IpAddr, protocol: u8, bytes: &[u8]) -> bool {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            sum(&source.octets()) + sum(&destination.octets())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            sum(&source.octets()) + sum(&destination.octets())
        }
        _ => return false,
    };
    let length = sum(&(bytes.len() as u32).to_be_bytes());
    fold(addresses + length + u64::from(protocol) + sum(bytes)) == 0xffff
}

/// Whether the CRC32c in an SCTP header is that of the packet.
pub fn is_crc32c(packet: &[u8]) -> bool {
    let Some(carried) = packet.get(8..12) else { return false };
    let zeroed = packet[..8].iter().chain(&[0; 4]).chain(&packet[12..]);
    let crc = zeroed.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    });
    carried == (!crc).to_le_bytes()
}

fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum
}
