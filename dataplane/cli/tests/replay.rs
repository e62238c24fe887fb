//! `ringfence replay` over a capture of everything that captures have.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use ringfence_dataplane::backend::userspace::capture::{Reader, Record};
use ringfence_testbed::packet::Frame;
use serde_json::Value;
use tempfile::TempDir;

const WEB: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 11);
const API: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 12);
const DB: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 13);
const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

const DOCUMENTS: &str = r#"
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: web, labels: {app: web}}, spec: {addresses: [10.20.0.11]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: api, labels: {app: api}}, spec: {addresses: [10.20.0.12]}}
---
{apiVersion: ringfence.dev/v1alpha1, kind: Workload,
 metadata: {namespace: shop, name: db, labels: {app: db}}, spec: {addresses: [10.20.0.13]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop, name: db},
 spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress],
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}}
"#;

/// A capture's record: the frame, how much of it was recorded, and what must become of it.
struct Recorded {
    frame: Vec<u8>,
    recorded: usize,
    verdict: &'static str,
    reason: &'static str,
}

fn whole(frame: &Frame, verdict: &'static str, reason: &'static str) -> Recorded {
    let frame = frame.build();
    Recorded { recorded: frame.len(), frame, verdict, reason }
}

fn tcp(source: Ipv4Addr, destination: Ipv4Addr, ports: (u16, u16)) -> Frame {
    Frame::ethernet().ipv4(source, destination).tcp(ports.0, ports.1)
}

fn records() -> Vec<Recorded> {
    let (to_db, from_db) = ((40_000, 5_432), (5_432, 40_000));
    let opening = |source| tcp(source, DB, to_db).syn().sequence(100);
    let data = tcp(WEB, DB, to_db).ack(501).sequence(101).payload(1_000).build();
    let mut bad_header_length = opening(WEB).build();
    bad_header_length[14] = 0x41;
    let mut flags_gone = opening(API).build();
    flags_gone[14 + 20 + 13] = 0;
    let part = |recorded, frame: &[u8], verdict, reason| Recorded {
        frame: frame.to_vec(),
        recorded,
        verdict,
        reason,
    };
    vec![
        whole(&opening(WEB), "allow", "Rule"),
        whole(&tcp(DB, WEB, from_db).syn().sequence(500).ack(101), "allow", "Reply"),
        whole(&tcp(WEB, DB, to_db).sequence(101).ack(501), "allow", "Established"),
        whole(&opening(API), "deny", "NoRule"),
        whole(&Frame::ethernet().arp(WEB, DB), "allow", "NonIp"),
        whole(&Frame::ethernet().lldp(), "allow", "NonIp"),
        // Only headers were recorded; the frame was whole.
        part(60, &data, "allow", "Established"),
        part(40, &data, "deny", "TruncatedTcp"),
        part(20, &data, "deny", "TruncatedIpv4"),
        part(9, &data[..9], "deny", "TruncatedEthernet"),
        part(0, &[], "deny", "TruncatedEthernet"),
        part(bad_header_length.len(), &bad_header_length, "deny", "MalformedIpv4"),
        part(flags_gone.len(), &flags_gone, "deny", "BadTcpFlags"),
        whole(
            &Frame::ethernet().ipv4(WEB, DB).fragment(7, 185, false).payload(100),
            "deny",
            "UnknownFragment",
        ),
        whole(&opening(WORLD), "deny", "NoRule"),
        whole(&tcp(WORLD, WEB, to_db).syn(), "allow", "NotIsolated"),
        whole(&tcp(WORLD, Ipv4Addr::LOCALHOST, to_db).syn(), "deny", "Martian"),
    ]
}

/// A pcap file with `records` a millisecond apart.
fn pcap(records: &[Recorded]) -> Vec<u8> {
    let header = [0xa1b2_3c4d, 0x0002_0004, 0, 0, 65_535, 1_u32];
    let mut file: Vec<u8> = header.iter().flat_map(|number| number.to_be_bytes()).collect();
    for (index, record) in records.iter().enumerate() {
        let lengths = [record.recorded as u32, record.frame.len() as u32];
        let time = [1_790_000_000, index as u32 * 1_000_000];
        file.extend(time.iter().chain(&lengths).flat_map(|number| number.to_be_bytes()));
        file.extend(&record.frame[..record.recorded]);
    }
    file
}

struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        fs::write(lab.path("policies.yaml"), DOCUMENTS).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the command on a capture with these bytes: exit code, stdout, stderr.
    fn replay(&self, capture: &[u8], more: &[&str]) -> (Option<i32>, String, String) {
        let file = self.path("capture.pcap");
        fs::write(&file, capture).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.env("TZ", "UTC").args(["--color", "never", "replay"]).arg(file);
        let output = command.arg("-f").arg(self.path("policies.yaml")).args(more).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

/// What was written: the frames, and the comment of each.
fn written(path: &Path) -> (Vec<Record>, Vec<String>) {
    let records = Reader::new(File::open(path).unwrap()).unwrap().map(Result::unwrap).collect();
    let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
    let mut comments = Vec::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block.unwrap() else { continue };
        let [EnhancedPacketOption::Comment(comment)] = packet.options.as_slice() else {
            panic!("one comment for each frame: {:?}", packet.options);
        };
        comments.push(comment.to_string());
    }
    (records, comments)
}

#[test]
fn every_frame_has_a_verdict_and_a_reason() {
    let (lab, records) = (Lab::new(), records());
    let (code, stdout, stderr) = lab.replay(&pcap(&records), &["-o", "json"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), records.len() + 1);
    for (index, (record, line)) in records.iter().zip(&lines).enumerate() {
        let decided = (line["verdict"].as_str().unwrap(), line["reason"].as_str().unwrap());
        assert_eq!(decided, (record.verdict, record.reason), "{line}");
        assert_eq!((&line["version"], &line["frame"]), (&1.into(), &(index + 1).into()));
        assert_eq!(line["recorded"], record.recorded, "{line}");
        assert_eq!(line["length"], record.frame.len(), "{line}");
    }
    assert_eq!(lines[0]["rule"], "networkpolicy/shop/db ingress[0]");
    assert_eq!(
        (&lines[3]["decidedBy"], &lines[3]["direction"]),
        (&"shop/db".into(), &"ingress".into())
    );
    assert_eq!(lines[records.len()]["version"], 1);
    let totals = &lines[records.len()]["totals"];
    let count = |verdict| records.iter().filter(|record| record.verdict == verdict).count();
    assert_eq!(totals["frames"], records.len());
    assert_eq!(
        (&totals["allowed"], &totals["denied"]),
        (&count("allow").into(), &count("deny").into())
    );
    assert_eq!(totals["incomplete"], 3);
}

#[test]
fn a_frame_without_a_time_has_none() {
    let lab = Lab::new();
    let mut capture = pcap(&records()[..2]);
    capture[24..32].fill(0);
    let (code, stdout, _) = lab.replay(&capture, &["-o", "json"]);
    assert_eq!(code, Some(0));
    let mut lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.next().unwrap()["time"], Value::Null);
    assert_eq!(lines.next().unwrap()["time"], "2026-09-21T14:13:20.001Z");
}

#[test]
fn lines_are_for_people() {
    let lab = Lab::new();
    let (code, stdout, _) = lab.replay(&pcap(&records()), &[]);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = stdout.lines().collect();
    for (number, parts) in [
        (
            1,
            &[
                "1 Sep 21 ",
                "shop/web:40000 (ID:",
                "policy-verdict:rule INGRESS ALLOWED",
                "SYN) Rule networkpolicy/shop/db ingress[0]",
            ][..],
        ),
        (4, &["shop/api:40000", "-> shop/db:5432", "INGRESS DENIED (TCP Flags: SYN) NoRule"]),
        (5, &["02:00:00:00:00:01 -> ", "NonIp FORWARDED (Ethernet type 0x0806) NonIp"]),
        (7, &["Established FORWARDED", "[60 of 1054 bytes recorded]"]),
        (11, &["TruncatedEthernet DROPPED (0 bytes)"]),
    ] {
        for part in parts {
            assert!(lines[number - 1].contains(part), "`{part}` in `{}`", lines[number - 1]);
        }
    }
    assert!(
        stdout
            .contains("\n17 frames: 7 allowed, 10 denied, 0 audited; 3 were not recorded whole\n"),
        "{stdout}"
    );
}

#[test]
fn denied_frames_are_written_as_they_were_with_reason_and_rule() {
    let (lab, records) = (Lab::new(), records());
    let drops = lab.path("drops.pcapng");
    let (code, ..) = lab.replay(&pcap(&records), &["-w", drops.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let (frames, comments) = written(&drops);
    let denied: Vec<(usize, &Recorded)> =
        records.iter().enumerate().filter(|(_, record)| record.verdict == "deny").collect();
    assert_eq!((frames.len(), comments.len()), (denied.len(), denied.len()));
    for ((frame, comment), (index, record)) in frames.iter().zip(&comments).zip(denied) {
        let time_ns = 1_790_000_000_000_000_000 + index as u64 * 1_000_000;
        assert_eq!(frame.time_ns, time_ns);
        assert_eq!(frame.length as usize, record.frame.len());
        assert_eq!(frame.bytes, record.frame[..record.recorded]);
        assert!(comment.starts_with(&format!("deny: {}", record.reason)), "{comment}");
    }
    assert_eq!(comments[0], "deny: NoRule (ingress of shop/db)");
}

#[test]
fn a_rule_that_denies_is_named_and_audit_lets_pass() {
    let lab = Lab::new();
    let (code, stdout, _) = lab.replay(&pcap(&records()), &["--mode", "audit", "-o", "json"]);
    assert_eq!(code, Some(0));
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[3]["verdict"], &lines[3]["reason"]), (&"audit".into(), &"NoRule".into()));
    assert_eq!(lines.last().unwrap()["totals"]["denied"], 0);
}

#[test]
fn a_capture_of_one_interface_is_decided_there() {
    let (lab, records) = (Lab::new(), records());
    let decided = |more: &[&str]| -> Vec<String> {
        let (code, stdout, stderr) = lab.replay(&pcap(&records[..4]), more);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.take(4).map(|line| line["reason"].as_str().unwrap().to_owned()).collect()
    };
    // Nobody isolates web, and api's packet to db is none of web's.
    let at_web = decided(&["-o", "json", "--at", "shop/web"]);
    assert_eq!(at_web, ["NotIsolated", "Reply", "Established", "NotIsolated"]);
    let to_db = decided(&[
        "-o",
        "json",
        "--at",
        "db",
        "--direction",
        "ingress",
        "--default-namespace",
        "shop",
    ]);
    assert_eq!(to_db[0], "Rule");
    assert_eq!(to_db[3], "NoRule");
    // What leaves db has to come from db.
    let from_db = decided(&["-o", "json", "--at", "shop/db", "--direction", "egress"]);
    assert_eq!((from_db[0].as_str(), from_db[3].as_str()), ("Spoofed", "Spoofed"));
}

#[test]
fn a_cut_capture_is_read_as_far_as_it_goes_and_that_is_said() {
    let (lab, file) = (Lab::new(), pcap(&records()));
    let (code, stdout, stderr) = lab.replay(&file[..file.len() - 3], &[]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("\n16 frames: "), "{stdout}");
    assert!(stderr.contains("ends in the middle of a record, after 16 whole frames"), "{stderr}");
}

#[test]
fn what_cannot_be_replayed_is_the_callers_mistake() {
    let lab = Lab::new();
    let refused = |capture: &[u8], more: &[&str], part: &str| {
        let (code, stdout, stderr) = lab.replay(capture, more);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(part), "`{part}` in {stderr}");
    };
    refused(b"apiVersion: v1", &[], "neither a pcap nor a pcapng file");
    let mut cooked = pcap(&records());
    cooked[23] = 113;
    refused(&cooked, &[], "only Ethernet frames");
    let good = pcap(&records());
    refused(&good, &["--at", "shop/cache"], "there is no workload `shop/cache`");
    refused(&good, &["--at", "203.0.113.10"], "is no workload of the documents");
    refused(&good, &["--direction", "ingress"], "--at");
    refused(&good[..10], &[], "in the middle of a record");
    let same = lab.path("capture.pcap");
    let link = lab.path("link.pcap");
    std::os::unix::fs::symlink(&same, &link).unwrap();
    for path in [&same, &link] {
        refused(&good, &["-w", path.to_str().unwrap()], "`-w` would overwrite the capture");
        assert_eq!(fs::read(&same).unwrap(), good, "the capture is whole");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let documents = lab.path("policies.yaml");
    let folder = command.arg("replay").arg(lab.0.path()).arg("-f").arg(&documents).output();
    assert_eq!(folder.unwrap().status.code(), Some(2), "a directory is no capture");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let output = command.args(["replay", "/no/such.pcap", "-f"]).arg(documents).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot open `/no/such.pcap`"));
}
