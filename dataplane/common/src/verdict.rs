//! Verdict, reason, decision.

/// What happens to a packet.
#[must_use = "a verdict that is dropped is a packet that passes"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// It passes.
    Allow = 1,
    /// It is dropped.
    Deny = 2,
    /// It would have been dropped; audit mode lets it pass and says so.
    Audit = 3,
}

/// Declares the closed, numbered list of reasons. Numbers are never reused.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal),+ $(,)?) => {
        /// Why a decision was made: a closed list whose numbers are never reused. Below 64 the
        /// packet was allowed, from 64 on denied.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name = $number),+ }

        impl Reason {
            /// All reasons in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }

            /// The reason's name, as events, counters and case files write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

reasons! {
    /// A rule allows the flow.
    Rule = 1,
    /// No policy isolates the endpoint in this direction.
    NotIsolated = 2,
    /// The packet belongs to a flow that was allowed.
    Established = 3,
    /// The packet answers a flow that was allowed.
    Reply = 4,
    /// An ICMP error about a tracked flow (essential traffic).
    Related = 5,
    /// A later fragment of a packet whose first fragment was allowed.
    Fragment = 6,
    /// Not IP: ARP, LLC, LLDP and their like (essential traffic).
    NonIp = 7,
    /// IPv6 neighbour or router discovery (essential traffic).
    NeighbourDiscovery = 8,
    /// Multicast listener discovery (essential traffic).
    MulticastListener = 9,
    /// DHCP (essential traffic).
    Dhcp = 10,
    /// A workload talking to itself (essential traffic).
    SelfTraffic = 11,
    /// The host talking to its own workload (essential traffic).
    HostToWorkload = 12,
    /// A connection older than the engine, admitted in the pick-up window because policy allows it.
    PickedUp = 13,
    /// Nothing at this hook has to be checked for this packet (forwarded traffic).
    NotSubject = 14,

    /// The endpoint is isolated in this direction and no rule allows the flow.
    NoRule = 64,
    /// A rule denies the flow.
    DenyRule = 65,
    /// The flow was allowed under an earlier policy and is not under this one.
    Revoked = 66,
    /// TCP without a connection: not a SYN, and no entry.
    NoConnection = 67,
    /// TCP flags that no step of a connection has in this state.
    InvalidTransition = 68,
    /// A TCP reset whose sequence number does not fit the connection.
    OutOfWindow = 69,
    /// An ICMP error about no flow of this endpoint.
    Unrelated = 70,
    /// An ICMP reply to no question.
    UnexpectedReply = 71,
    /// The source address is not one that may come from here.
    Spoofed = 72,
    /// An address that may not be on the wire: loopback, multicast as source, v4-mapped.
    Martian = 73,
    /// A router advertisement from a workload.
    RogueRouter = 74,
    /// The destination is no endpoint of this interface.
    UnknownEndpoint = 75,
    /// Essential traffic whose rule was switched off.
    EssentialOff = 76,

    /// Fewer bytes than an Ethernet header, or than its VLAN tags.
    TruncatedEthernet = 96,
    /// More VLAN tags than the limit.
    TooManyVlanTags = 97,
    /// The IPv4 header is cut.
    TruncatedIpv4 = 98,
    /// Version or header length of IPv4 is wrong.
    MalformedIpv4 = 99,
    /// The IPv4 total length is shorter than the header or longer than the frame.
    BadIpv4Length = 100,
    /// The IPv6 header is cut.
    TruncatedIpv6 = 101,
    /// The version in an IPv6 packet is wrong.
    MalformedIpv6 = 102,
    /// The IPv6 payload length is longer than the frame.
    BadIpv6Length = 103,
    /// More extension headers than the limit.
    TooManyExtensions = 104,
    /// An extension header is cut or ends past the packet.
    TruncatedExtension = 105,
    /// Extension headers in an order or number that RFC 8200 forbids.
    MisplacedExtension = 106,
    /// A routing header of type 0 with segments left (RFC 5095).
    SourceRouted = 107,
    /// The TCP header is cut.
    TruncatedTcp = 108,
    /// The TCP data offset is below 5 or past the packet.
    BadTcpOffset = 109,
    /// TCP flags that no stack sends: none, SYN with FIN or RST.
    BadTcpFlags = 110,
    /// The UDP header is cut.
    TruncatedUdp = 111,
    /// The UDP length is below 8 or does not fit the packet.
    BadUdpLength = 112,
    /// The SCTP header is cut.
    TruncatedSctp = 113,
    /// The ICMP header is cut.
    TruncatedIcmp = 114,
    /// The packet inside an ICMP error is cut or malformed.
    MalformedEmbedded = 115,
    /// A fragment whose first fragment was not seen or not allowed.
    UnknownFragment = 116,
    /// A fragment that overlaps another.
    OverlappingFragment = 117,
    /// A first fragment without the whole transport header.
    TinyFragment = 118,
    /// A fragment past the largest packet, or a middle one of odd length.
    BadFragment = 119,
    /// More disjoint pieces of one packet than are remembered.
    TooManyFragments = 120,
    /// An IPv6 jumbogram or another length this engine does not follow.
    Unsupported = 121,

    /// The programs run without tables, or with tables of another layout.
    NotReady = 128,
    /// This interface and hook are not in the tables.
    UnknownInterface = 129,
    /// A state table refused an entry.
    TableFull = 130,
}

impl Reason {
    /// Whether this reason goes with a denial.
    #[must_use]
    pub const fn denies(self) -> bool {
        self as u8 >= 64
    }
}

/// A verdict, why, and the rule that made it.
#[must_use = "a decision that is dropped is a packet that passes"]
///
/// Without padding: the kernel build hands it round in one register, and the verifier does not
/// take a register with undefined bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Decision {
    /// What happens.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Whether the rule asks for a report.
    pub log: bool,
    /// Zero.
    reserved: u8,
    /// The rule; 0 where none made it.
    pub rule: u32,
}

impl Decision {
    /// The packet passes.
    #[inline(always)]
    pub const fn allow(reason: Reason, rule: u32) -> Self {
        Self { verdict: Verdict::Allow, reason, log: false, reserved: 0, rule }
    }

    /// The packet is dropped.
    #[inline(always)]
    pub const fn deny(reason: Reason, rule: u32) -> Self {
        Self { verdict: Verdict::Deny, reason, log: false, reserved: 0, rule }
    }

    /// The same decision, to be reported or not.
    #[inline(always)]
    pub const fn logged(self, log: bool) -> Self {
        Self { log, ..self }
    }

    /// Whether the packet goes on.
    #[must_use]
    #[inline(always)]
    pub const fn passes(self) -> bool {
        !matches!(self.verdict, Verdict::Deny)
    }
}
