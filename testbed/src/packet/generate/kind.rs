//! What kinds of packets there are, and how many of each were made.

use std::collections::BTreeMap;
use std::fmt;

/// Declares the kinds and their list.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What a generated packet was meant to be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $name),+ }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

kinds! {
    /// A SYN that opens a connection.
    TcpSyn,
    /// The SYN of the other side at the same time.
    TcpCrossedSyn,
    /// A SYN+ACK that acknowledges the SYN.
    TcpSynAck,
    /// A SYN+ACK that acknowledges something else.
    TcpWrongSynAck,
    /// An acknowledgement without data.
    TcpAck,
    /// Data.
    TcpData,
    /// The same segment once more.
    TcpRetransmit,
    /// A FIN.
    TcpFin,
    /// A reset with the next sequence number.
    TcpReset,
    /// A reset with some sequence number.
    TcpResetOutOfWindow,
    /// A segment with any combination of flags.
    TcpOddFlags,
    /// A segment of a connection nobody opened.
    TcpStray,
    /// A SYN on the ports of a connection that has ended.
    TcpPortReuse,
    /// A datagram from the client.
    UdpQuery,
    /// A datagram from the server.
    UdpReply,
    /// An SCTP packet from the client.
    SctpFromClient,
    /// An SCTP packet from the server.
    SctpFromServer,
    /// An echo request.
    EchoRequest,
    /// The reply to a request.
    EchoReply,
    /// An echo reply nobody asked for.
    EchoUnasked,
    /// ICMP of other types, ICMPv6 in IPv4, ICMP in IPv6.
    IcmpOther,
    /// An ICMP error about an earlier packet.
    IcmpErrorTracked,
    /// An ICMP error about a packet that never was.
    IcmpErrorInvented,
    /// An ICMP error that quotes too little, or no packet.
    IcmpErrorMalformed,
    /// An IP protocol without ports.
    OtherProtocol,
    /// IPv4 options.
    IpOptions,
    /// A proper chain of extension headers.
    ExtensionChain,
    /// More extension headers than anyone needs.
    ExtensionMany,
    /// A hop-by-hop header that is not the first, two fragment headers.
    ExtensionMisplaced,
    /// An extension header that ends past the packet.
    ExtensionTruncated,
    /// A routing header of type 0.
    ExtensionSourceRoute,
    /// No next header, ESP, or a header nobody knows.
    ExtensionOpaque,
    /// A jumbogram.
    Jumbogram,
    /// A fragment of a packet whose fragments all come, in order or not.
    FragmentWhole,
    /// A fragment of a packet whose first fragment never comes.
    FragmentHeadless,
    /// A first fragment without the whole transport header.
    FragmentTiny,
    /// A fragment that overlaps another.
    FragmentOverlap,
    /// A fragment with the identification of an earlier packet.
    FragmentReuse,
    /// Many fragments with holes between them.
    FragmentHoles,
    /// A fragment of odd length, an empty one, one past the end.
    FragmentBad,
    /// A fragment header on a packet that is whole.
    FragmentAtomic,
    /// Neighbour solicitations and advertisements, router solicitations.
    NeighbourDiscovery,
    /// A router advertisement.
    RouterAdvertisement,
    /// Multicast listener discovery.
    MulticastListener,
    /// DHCP and DHCPv6.
    Dhcp,
    /// ARP.
    Arp,
    /// LLC, LLDP and unknown Ethernet types.
    NonIp,
    /// More VLAN tags than the limit.
    TooManyTags,
    /// Addresses that may not be on a wire.
    Martian,
    /// A source that is somebody else's.
    Spoofed,
    /// A packet at an interface that nobody knows.
    UnknownInterface,
    /// A workload to itself.
    SelfTraffic,
    /// Neither end is of this host.
    Forwarded,
    /// Random bytes.
    Noise,
    /// A packet cut short.
    Truncated,
    /// A packet with flipped bits.
    BitFlipped,
    /// A packet with a length field that is wrong.
    LengthCorrupted,
}

/// How many packets of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: BTreeMap<Kind, usize>,
}

impl Distribution {
    /// Counts a packet.
    pub fn add(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Counts what another distribution has counted.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(*kind).or_default() += count;
        }
    }

    /// Packets of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// All packets.
    #[must_use]
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }
}

/// One line per kind, the most frequent first.
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<_> = self.counts.iter().collect();
        kinds.sort_by_key(|(kind, count)| (usize::MAX - **count, **kind));
        for (kind, count) in kinds {
            writeln!(f, "{count:>9}  {kind:?}")?;
        }
        Ok(())
    }
}
