//! Captures that are read, and captures that are not.

use std::io::Cursor;

use super::{CaptureError, Reader, Record, Writer};

fn record(number: u64, time_ns: u64, length: u32, bytes: usize) -> Record {
    Record { number, time_ns, length, bytes: (0..bytes).map(|byte| byte as u8).collect() }
}

fn records() -> Vec<Record> {
    let start = 1_790_000_000_123_456_789;
    vec![
        record(1, start, 60, 60),
        record(2, start + 1, 1_514, 96),
        record(3, start + 1_000, 0, 0),
        record(4, start + 2_000, 9, 9),
    ]
}

fn pcapng() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for record in records() {
        writer.write(&record, &format!("frame {}", record.number)).unwrap();
    }
    writer.finish().unwrap()
}

/// A pcap file with frames of these lengths: on the wire, and recorded.
fn pcap(magic: u32, link: u32, frames: &[(u32, u32)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut put = |number: u32| file.extend_from_slice(&number.to_be_bytes());
    put(magic);
    [0x0002_0004, 0, 0, 96, link].into_iter().for_each(&mut put);
    for (index, (length, recorded)) in frames.iter().enumerate() {
        let header = [1_790_000_000 + index as u32, 500, *recorded, *length];
        header.iter().for_each(|number| file.extend_from_slice(&number.to_be_bytes()));
        file.extend((0..*recorded).map(|byte| byte as u8));
    }
    file
}

fn read(file: &[u8]) -> Result<Vec<Record>, (Vec<Record>, CaptureError)> {
    let mut records = Vec::new();
    let reader = Reader::new(Cursor::new(file)).map_err(|error| (Vec::new(), error))?;
    for record in reader {
        match record {
            Ok(record) => records.push(record),
            Err(error) => return Err((records, error)),
        }
    }
    Ok(records)
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(read(&pcapng()).unwrap(), records());
}

#[test]
fn pcap_files_have_microseconds_or_nanoseconds_and_frames_longer_than_recorded() {
    let frames = [(60, 60), (1_514, 96), (0, 0), (10, 40)];
    for (magic, fraction) in [(0xa1b2_c3d4, 500_000), (0xa1b2_3c4d, 500)] {
        let records = read(&pcap(magic, 1, &frames)).unwrap();
        let times: Vec<u64> = records.iter().map(|record| record.time_ns).collect();
        let second = |index: u64| (1_790_000_000 + index) * 1_000_000_000 + fraction;
        assert_eq!(times, [0, 1, 2, 3].map(second));
        let lengths: Vec<(u32, usize)> =
            records.iter().map(|record| (record.length, record.bytes.len())).collect();
        assert_eq!(lengths, [(60, 60), (1_514, 96), (0, 0), (40, 40)]);
    }
}

#[test]
fn a_cut_capture_gives_what_is_whole_and_says_where_it_ends() {
    let file = pcap(0xa1b2_c3d4, 1, &[(60, 60), (60, 60)]);
    for end in 24 + 76 + 1..file.len() {
        let (records, error) = read(&file[..end]).unwrap_err();
        assert_eq!(records.len(), 1, "cut at {end}");
        assert!(matches!(error, CaptureError::Cut { whole: 1 }), "cut at {end}: {error}");
    }
    assert_eq!(read(&file[..24 + 76]).unwrap().len(), 1);

    let file = pcapng();
    let (records, error) = read(&file[..file.len() - 1]).unwrap_err();
    assert_eq!((records.len(), matches!(error, CaptureError::Cut { whole: 3 })), (3, true));
}

#[test]
fn other_files_and_other_links_are_refused() {
    for file in [&b""[..], b"abc", b"apiVersion: v1\nkind: List\n"] {
        let (_, error) = read(file).unwrap_err();
        assert!(matches!(error, CaptureError::NotACapture), "{error}");
    }
    // 113: Linux' "cooked" captures, as on `any`.
    let (_, error) = read(&pcap(0xa1b2_c3d4, 113, &[(60, 60)])).unwrap_err();
    assert!(error.to_string().contains("link type LINUX_SLL"), "{error}");
}

/// Whatever a damaged file says, reading it ends, and gives no more frames than fit into it.
#[test]
fn damage_anywhere_ends_the_reading_and_nothing_else() {
    for file in [pcapng(), pcap(0xa1b2_c3d4, 1, &[(60, 60), (1_514, 96), (0, 0)])] {
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[at] ^= flip;
                let records = read(&damaged).unwrap_or_else(|(records, _)| records);
                let bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
                assert!(bytes <= file.len(), "byte {at} flipped by {flip:#x}");
            }
        }
    }
}

#[test]
fn packets_of_other_interfaces_are_counted_and_passed_over() {
    let block = |kind: u32, body: &[u32]| -> Vec<u8> {
        let length = 12 + 4 * body.len() as u32;
        let words = [kind, length].into_iter().chain(body.iter().copied()).chain([length]);
        words.flat_map(u32::to_be_bytes).collect()
    };
    let section = || block(0x0a0d_0d0a, &[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX]);
    // An Ethernet interface, and one of Linux' "cooked" frames.
    let [ethernet, cooked] = [1, 113].map(|link: u32| block(1, &[link << 16, 0]));
    let packet = |interface| block(6, &[interface, 0, 1, 4, 4, 0xaabb_ccdd]);

    let file = [section(), ethernet, cooked.clone(), packet(0), packet(1), packet(0)].concat();
    let mut reader = Reader::new(Cursor::new(&file)).unwrap();
    let numbers: Vec<u64> = reader.by_ref().map(|record| record.unwrap().number).collect();
    assert_eq!(numbers, [1, 3]);
    assert_eq!((reader.foreign(), reader.only_foreign().is_none()), (1, true));

    let only = [section(), cooked, packet(0)].concat();
    let mut reader = Reader::new(Cursor::new(&only)).unwrap();
    assert_eq!(reader.by_ref().count(), 0);
    let error = reader.only_foreign().unwrap().to_string();
    assert!(error.contains("link type LINUX_SLL"), "{error}");
}
