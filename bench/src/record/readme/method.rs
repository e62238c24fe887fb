//! How it was measured, and where that may mislead.

use super::Page;
use crate::record::{Measurement, Record};

/// Who sends what to whom.
const TOPOLOGY: &str = "   client                       router                          server
 ┌───────────┐    veth    ┌─────────────────────┐    veth    ┌───────────┐
 │ sends     ├────────────┤ forwards; the       ├────────────┤ receives, │
 │           │  (uplink)  │ contender filters   │ (workload) │ answers   │
 └───────────┘            └─────────────────────┘            └───────────┘
";

/// What a measurement gives.
pub const fn what(measurement: Measurement) -> &'static str {
    match measurement {
        Measurement::Decision => "time of a decision in the kernel",
        Measurement::Send => "time that one packet takes of the core that sends it",
        Measurement::RoundTrip => "time from a packet's intended sending to its answer",
        Measurement::LossFree => "highest rate of packets without loss",
        Measurement::Drop => "rate of denied packets",
        Measurement::Stream => "bits a second of TCP",
        Measurement::Connect => "TCP connections a second, one after the other",
        Measurement::Change => "time of a change of policy",
        Measurement::Disturbance => "packets lost, and decided wrongly, while policy changes",
        Measurement::Memory => "memory that rules take",
        Measurement::Cpu => "time of all cores for a packet",
    }
}

/// How a measurement is made.
const fn how(measurement: Measurement) -> &'static str {
    match measurement {
        Measurement::Decision => {
            "The kernel runs the program on one frame many times (`BPF_PROG_TEST_RUN`) and says how long one run took, parsing included; the empty program is run in turns with it. `hot` is one peer over and over, which the processor predicts; `random` is peers in random order. A new flow is one that no rule allows, so the tables decide; a known connection is found in the flow cache."
        }
        Measurement::Send => {
            "One core sends UDP packets; a veth hands each to its receiver in the sender's own time, so a call of `send` contains the client's output, the router's whole way with its filter and the server's input. `median` is a round's time for a packet. `added` is that less the same in a second laboratory without a filter, measured in turns, round by round. Nobody answers, so netfilter asks its rules for each packet; the eBPF programs answer the second packet of such a flow from their flow cache. What other cores do, a filter in user space for instance, is not in it. All packets have to arrive, or for denied ones none."
        }
        Measurement::RoundTrip => {
            "Both ends spin, on cores of their own. Requests are sent at fixed intended times, late or not (open loop), and counted from then; percentiles are of an HDR histogram. `unloaded` is in turns with a laboratory without a filter. The loads are shares of the rate that the contender itself can answer, in that setup, so that a slow filter is loaded with fewer packets; where the two ends are slower than the router, it is their rate. `steered` gives the router a core of its own, the two ends taking turns on another, so that a queue can form before the router, as behind a network card. `first packet`: each request is a connection of its own. Requests of one flow that are answered are a known connection for whoever tracks connections."
        }
        Measurement::LossFree => {
            "RFC 2544-style, not compliant: the rate is halved in between until two neighbouring ones are known of which one gets everything through; short trials, one size. Without steering the sender does the router's work and nothing can get lost: then it is the fastest rate of one core. `offered` is what was sent at full speed, `lost` the share of that."
        }
        Measurement::Drop => {
            "One core sends as fast as it can, from a packet socket (`AF_PACKET`) or from a program (`live XDP frames`), packets that no rule allows. What left and did not reach the server was denied. The generator's own time is in it."
        }
        Measurement::Stream => {
            "One or four TCP connections carry bytes that are compared on arrival. Segments are as large as veth lets them be, so there are few packets for the bits."
        }
        Measurement::Connect => {
            "A connection is opened, carries one byte each way and is ended, and then the next one, each from another port."
        }
        Measurement::Change => {
            "Changes are made for real, and the next packets have to obey. `call` is from the call, or the start of a tool's process, to its return; `net` is that less what a process of the same tool takes that only says its version; `visible` is to the first packet that obeys, with packets sent one after the other meanwhile. `one rule` is the shortest way of each contender, behind all other rules; `one rule, applied` is the whole of `ringfence apply`. `all, loaded` begins with no rules; `all, rebuilt` is everything again for one rule."
        }
        Measurement::Disturbance => {
            "Policy changes again and again while two senders send steadily: of one whom both policies let in nothing may be lost, of one whom neither lets in nothing may arrive. A gap shorter than the time between two packets is found by chance only."
        }
        Measurement::Memory => {
            "`kernel`: for eBPF what the kernel says that the maps take, for others how much more the kernel has given itself after rules were installed. `process`: what a process that stays has allocated. All of it is what rules add to a host without rules."
        }
        Measurement::Cpu => {
            "Packets go out at a fixed rate; the time that all cores were not idle, less the same without packets, by their number."
        }
    }
}

/// Writes topology, method and bias.
pub fn write(page: &mut Page, record: &Record) {
    page.section("How it was measured");
    page.code("text", TOPOLOGY);
    page.paragraph("Three network namespaces on one machine, joined by veth, all made by the command and ended with it. The server is a workload of the router's host; the contender filters what the router forwards to it. Each contender is put into place by the engine itself, or, where it is called bare, by the tool's own restore command; then real packets check that it allows and denies what it should. A contender has so many rules, each of which allows one peer and one port. The packets measured match the first, the middle, the last or no rule. The other rules differ *in address* (a chain compares that by itself) or *in port* (for that a chain calls a match). With more than about 30,000 rules ports run out.");
    let is_there = |measurement: &Measurement| {
        record.samples.iter().any(|sample| sample.measurement == *measurement)
    };
    let of_it = Measurement::ALL.into_iter().filter(is_there);
    page.list(of_it.map(|measurement| {
        format!("**{}** (`{}`): {}", what(measurement), measurement.file(), how(measurement))
    }));
    page.section("Where it may mislead");
    page.list(record.machine.warnings().into_iter().chain(BIAS.map(str::to_owned)));
}

/// What is known to lean to one side.
const BIAS: [&str; 10] = [
    "The authors of one contender made the comparison. The bare rules are there so that nobody has to take Ringfence's own rendering for iptables, ipset or nftables.",
    "Contenders do different work: the eBPF programs and the rules that Ringfence writes track connections, refuse spoofed and malformed packets, count and report; bare rules do none of that, which favours them.",
    "The eBPF programs' flow cache answers all but a flow's first packet; of a stream that nobody answers netfilter asks the rules each time. That favours eBPF in `added to each packet`; the decision on a new flow, the first packet's round trip and the rate of denied packets do not contain the cache.",
    "The last rule is the worst case of a chain, the first rule its best; sets and hash tables have neither.",
    "Packets of one flow over and over are predicted by the processor and found in its caches; a chain of 100,000 rules is not.",
    "veth is no network card: no interrupts, no DMA, one queue. XDP on veth takes one more turn of the receiver (about a microsecond) that it would not take on a card.",
    "Without steering no queue forms: overload shows as a slower sender. With steering, loads are shares of each contender's own rate, so the packets a second differ.",
    "Mitigations against the processor's faults make calls expensive, which favours whoever calls least; other machines have others.",
    "Small packets cost a filter as much as large ones, so shares of a real load are smaller than here.",
    "A tool's process is started for each change, as scripts do; a program that talks to the kernel itself waits for less.",
];
