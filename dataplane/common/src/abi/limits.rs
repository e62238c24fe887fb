//! Every limit, with its reason. Going over one is a diagnostic when compiling policy or a
//! counted reason when handling a packet.

/// VLAN tags walked before the frame is denied: one for 802.1Q, two for 802.1ad (QinQ). More is
/// used to hide a packet from filters and by nothing else.
pub const VLAN_TAGS: usize = 2;

/// IPv6 extension headers walked before the packet is denied. RFC 8200 recommends seven distinct
/// headers at most; longer chains are used to hide the transport header.
pub const EXTENSION_HEADERS: usize = 8;

/// The last offset in a frame at which a header may start. The kernel's verifier wants a bound on
/// offsets; a packet's own chain of headers ends below 17 KB, and only an ICMP error that quotes
/// another chain as long can pass this one.
pub const HEADER_OFFSET: usize = 0x7fff;

/// Disjoint pieces of one fragmented packet remembered at a time. In-order arrival needs one;
/// eight lets a 12 KB datagram arrive in any order.
pub const FRAGMENT_PIECES: usize = 8;

/// Sides of a flow one hook may have to decide: the source's egress and the destination's ingress.
pub const SIDES: usize = 2;

/// Connections tracked, both kinds of endpoint and all protocols together. An entry costs about
/// 120 bytes of kernel memory, so a full table is 30 MB.
pub const FLOWS: u32 = 262_144;

/// Flows that nobody has answered yet: a table of their own, so that a flood of them displaces no
/// connection.
pub const HALF_OPEN_FLOWS: u32 = 65_536;

/// Values of the flow cache of one CPU: 8,192 places, 1 MB.
pub const CACHE_BLOCKS: u32 = 128;

/// Established TCP connections that the fast path lets through at a time: 4 MB. More of them go
/// the full way.
pub const WINDOWS: u32 = 32_768;

/// Words that say until when flows may be alive, two for each place: 1 MB.
pub const PRESENCES: u32 = 131_072;

/// Fragmented packets followed at once (Linux' own reassembly queue is of this order).
pub const FRAGMENTED_PACKETS: u32 = 8_192;

/// Seconds that mid-stream TCP may be picked up after an apply, at most. Tick numbers return after
/// 417 days, and a window that ended long ago must not seem to lie ahead.
pub const PICK_UP_SECONDS: u64 = 3_600;

/// Bytes of the ring buffer that carries verdict events: about 8,000 of them. A power of two and
/// a multiple of the page size, as `BPF_MAP_TYPE_RINGBUF` asks.
pub const EVENT_BYTES: u32 = 1 << 20;

/// Rules with counters of their own. Rules beyond it are enforced all the same, not counted.
pub const COUNTED_RULES: u32 = 65_536;

/// Rules of one host: 4 MB of numbers.
pub const RULES: u32 = 1_048_576;

/// Interfaces times hooks.
pub const ATTACHMENTS: u32 = 16_384;

/// Endpoints on one host.
pub const ENDPOINTS: u32 = 65_536;

/// Known single addresses of one family.
pub const ADDRESSES: u32 = 1_048_576;

/// Address prefixes (CIDR blocks and their exceptions) of one family.
pub const PREFIXES: u32 = 262_144;

/// Policy entries of one host.
pub const POLICY_ENTRIES: u32 = 1_048_576;

/// Reasons that can be counted; their numbers are bytes.
pub const REASONS: u32 = 256;
