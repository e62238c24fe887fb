//! A verdict on a frame as one line, whatever the frame was.

use std::fmt::Write as _;

use jiff::Zoned;
use ringfence_common::abi::event::Event;

use super::flow_line::{decision, flow_line};
use crate::model::Inventory;

/// Bytes of an Ethernet header: two addresses of six, and the type.
const ETHERNET: usize = 14;

/// The line for `event` about the frame that starts with `bytes`: [`flow_line`] where its addresses
/// are known, else one with its Ethernet addresses,
/// `Nov 22 02:00:00.123: 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff NonIp FORWARDED (Ethernet type
/// 0x0806)`.
#[must_use]
pub fn frame_line(event: &Event, bytes: &[u8], inventory: &Inventory, at: &Zoned) -> String {
    let has_addresses = event.source != [0; 16] || event.destination != [0; 16];
    if event.family != 0 && has_addresses {
        return flow_line(event, inventory, at);
    }
    let mut line = at.strftime("%b %d %H:%M:%S%.3f: ").to_string();
    let Some(header) = bytes.first_chunk::<ETHERNET>() else {
        let _ = write!(line, "{} ({} bytes)", decision(event), bytes.len());
        return line;
    };
    let (destination, source) = (address(&header[..6]), address(&header[6..12]));
    let number = u16::from_be_bytes([header[12], header[13]]);
    let _ =
        write!(line, "{source} -> {destination} {} (Ethernet type {number:#06x})", decision(event));
    line
}

fn address(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

#[cfg(test)]
mod tests {
    use ringfence_common::verdict::{Reason, Verdict};

    use super::*;

    fn line(event: &Event, bytes: &[u8]) -> String {
        let at = "2026-11-22T02:00:00.123456[UTC]".parse().unwrap();
        frame_line(event, bytes, &Inventory::default(), &at)
    }

    #[test]
    fn frames_without_addresses_show_those_of_ethernet() {
        let arp = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1];
        let passed = Event {
            verdict: Verdict::Allow as u8,
            reason: Reason::NonIp as u8,
            ..Event::default()
        };
        assert_eq!(
            line(&passed, &arp),
            "Nov 22 02:00:00.123: 02:00:00:00:00:01 -> 02:00:00:00:00:02 NonIp FORWARDED \
             (Ethernet type 0x0806)"
        );
        let cut = Event {
            verdict: Verdict::Deny as u8,
            reason: Reason::TruncatedEthernet as u8,
            ..Event::default()
        };
        assert_eq!(
            line(&cut, &arp[..9]),
            "Nov 22 02:00:00.123: TruncatedEthernet DROPPED (9 bytes)"
        );
        let flow = Event { family: 4, destination: [1; 16], ..cut };
        assert!(line(&flow, &arp).contains("0.0.0.0 (world) -> 1.1.1.1 (world)"));
    }
}
