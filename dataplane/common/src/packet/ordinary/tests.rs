//! Ordinary frames read twice: what this module takes, `parse` has to read in the same way, and
//! what `parse` refuses, this module must not take.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::packet::parse;

/// A frame with `ports` and some data behind the transport header.
fn frame(is_v4: bool, is_tcp: bool, data: usize) -> Vec<u8> {
    let mut transport = vec![0x9c, 0x40, 0x01, 0xbb];
    let protocol = if is_tcp {
        transport.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x18, 1, 1, 0, 0, 0, 0]);
        protocol::TCP
    } else {
        transport.extend((8 + data as u16).to_be_bytes());
        transport.extend([0, 0]);
        protocol::UDP
    };
    transport.extend((0..data).map(|byte| byte as u8));
    let length = transport.len() as u16;
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    if is_v4 {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + length).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9]);
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([protocol, 64]);
        frame.extend((1..=32).collect::<Vec<u8>>());
    }
    frame.extend(transport);
    frame
}

fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for is_v4 in [true, false] {
        for is_tcp in [true, false] {
            frames.extend([0, 1, 25].map(|data| frame(is_v4, is_tcp, data)));
        }
    }
    frames
}

/// What the frame is, if it is ordinary.
fn read(frame: &[u8]) -> Option<Packet> {
    let mut packet = Packet::default();
    match kind(frame)? {
        Kind::Ipv4 => ipv4(frame, &mut packet).and_then(|()| numbers_v4(frame, &mut packet))?,
        Kind::Ipv6 => ipv6(frame, &mut packet).and_then(|()| numbers_v6(frame, &mut packet))?,
    }
    Some(packet)
}

/// Whether the frame is ordinary; if it is, `parse` reads the same.
fn is_alike(frame: &[u8]) -> bool {
    let Some(packet) = read(frame) else { return false };
    let mut expected = Packet::default();
    assert_eq!(parse(frame, &mut expected), Ok(()), "{frame:02x?}");
    assert_eq!(packet, expected, "{frame:02x?}");
    true
}

#[test]
fn proper_frames_are_ordinary() {
    for frame in frames() {
        assert!(is_alike(&frame), "{frame:02x?}");
        let padded = [&frame[..], &[0; 20]].concat();
        assert!(is_alike(&padded), "{padded:02x?}");
    }
}

#[test]
fn cut_frames_are_not() {
    for frame in frames() {
        for length in 0..frame.len() {
            assert!(!is_alike(&frame[..length]), "{length} bytes of {frame:02x?}");
        }
    }
}

#[test]
fn flipped_bits_make_no_difference() {
    let mut ordinary = 0;
    for frame in frames() {
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            ordinary += usize::from(is_alike(&flipped));
            for other in (96..frame.len().min(60) * 8).step_by(7) {
                let mut twice = flipped.clone();
                twice[other / 8] ^= 1 << (other % 8);
                is_alike(&twice);
            }
        }
    }
    assert!(ordinary > 2_000, "only {ordinary} frames were ordinary");
}

#[test]
fn every_value_of_every_byte_of_the_headers_is_read_alike() {
    for frame in frames() {
        for at in 12..frame.len().min(80) {
            for value in 0..=255 {
                let mut changed = frame.clone();
                changed[at] = value;
                is_alike(&changed);
            }
        }
    }
}

#[test]
fn what_is_out_of_the_ordinary_is_left_to_others() {
    let change = |at: usize, bytes: &[u8]| {
        let mut frame = frame(true, true, 25);
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        read(&frame)
    };
    assert!(change(12, &[8, 0]).is_some());
    let others: [(usize, &[u8]); 6] = [
        (12, &[0x81, 0]), // a tag
        (12, &[8, 6]),    // ARP
        (14, &[0x46]),    // options
        (20, &[0x20, 0]), // more fragments
        (20, &[0, 1]),    // an offset
        (23, &[132]),     // SCTP
    ];
    for (at, bytes) in others {
        assert_eq!(change(at, bytes), None, "{bytes:02x?} at {at}");
    }
}
