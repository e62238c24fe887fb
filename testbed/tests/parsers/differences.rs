//! Where the two parsers may differ, each with the reason. A difference is named by what the frame
//! holds and not by the two answers alone, so that no other fault hides behind it.

use etherparse::{Ipv6ExtensionSlice, LinkExtSlice, NetSlice, err};
use ringfence_common::abi::limits;
use ringfence_common::abi::policy::protocol;
use ringfence_common::packet::tcp;
use ringfence_common::verdict::Reason;

use super::reading::{Head, Reading, Refusal, Theirs};

/// Declares the differences and their list.
macro_rules! differences {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Difference { $($(#[doc = $doc])+ $name),+ }

        impl Difference {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

differences! {
    /// Refused: a third VLAN tag. IEEE 802.1Q has one, 802.1ad two; etherparse reads three and then
    /// stops without an error.
    TooManyTags,
    /// Read: the tag type 0x9200 of old QinQ switches, which Linux' drivers and others still take
    /// for a tag. etherparse does not know it.
    OldTagType,
    /// Read as not IP: MACsec (IEEE 802.1AE) and ARP (RFC 826), whose content etherparse reads too.
    NotIp,
    /// Refused: fragments without a byte, of which no datagram can be made (RFC 791 §3.2), or past
    /// the largest datagram, or odd in the middle (RFC 8200 §4.5). etherparse reads the fields
    /// alone.
    BadFragment,
    /// Refused: a first fragment without the whole transport header (RFC 7112 §5, RFC 1858 §3).
    /// etherparse does not read the transport header of fragments.
    TinyFragment,
    /// Refused: in a first fragment as in a whole packet, a TCP data offset below five words
    /// (RFC 9293 §3.1) or past the packet, or a UDP length below eight (RFC 768).
    HeaderOfFirstFragment,
    /// Refused: TCP flags that no stack sends (RFC 9293 §3.10.7). etherparse checks no flags.
    TcpFlags,
    /// Refused: a UDP length of 0, which RFC 2675 §4 allows in jumbograms alone. etherparse takes
    /// the packet's length.
    NoUdpLength,
    /// Refused: an SCTP packet without its common header (RFC 9260 §3.1), which etherparse does not
    /// read.
    CutSctp,
    /// Refused: more extension headers than anybody sends (RFC 8200 §4.1 orders seven).
    TooManyExtensions,
    /// Refused: two fragment headers (RFC 8200 §4.1: each at most once).
    TwoFragmentHeaders,
    /// Refused: routing header type 0 with segments left (RFC 5095 §3).
    SourceRoute,
    /// Refused, or without the bytes behind it: an IPv6 payload length of 0. Only with a jumbo
    /// payload option (RFC 2675 §3), which Linux follows no longer, is there anything behind such
    /// a header; etherparse takes all that is in the frame.
    NoPayloadLength,
    /// Read: the AH of IPv4 as a protocol without ports (RFC 4302 §3.1): what is behind it reaches
    /// nobody without a security association, so no rule about its ports can be meant.
    AuthenticationInV4,
    /// Read, or refused for another reason: an AH that says it is shorter than its fixed fields
    /// (RFC 4302 §2.2). Linux walks over it (`ipv6_skip_exthdr`), and so do we, to find the
    /// header that Linux would find.
    ShortAuthentication,
    /// Read: a later fragment's bytes are data (RFC 8200 §4.5: its next header is the first
    /// fragment's). etherparse reads them as extension headers.
    LaterFragmentIsData,
    /// Read: ICMP in IPv6 and ICMPv6 in IPv4, as protocols without ports (RFC 4443 §1: ICMPv6 is
    /// IPv6's). etherparse reads them as messages, and refuses short ones.
    ForeignIcmp,
    /// Read: ICMP timestamps of another length than RFC 792's, and IGMP of any. Neither decides
    /// anything here; etherparse wants all their fields.
    MessageLength,
}

use Difference::*;

/// The difference that explains two answers; `None` for one that nobody has understood.
pub fn explain(
    frame: &[u8],
    ours: &Result<Option<Reading>, Reason>,
    theirs: &Result<Theirs<'_>, Refusal>,
) -> Option<Difference> {
    match (ours, theirs) {
        (Err(reason), Ok(theirs)) => refused_by_us(*reason, theirs),
        (Ok(ours), Err(refusal)) => refused_by_them(frame, ours.as_ref(), refusal),
        (Ok(ours), Ok(theirs)) => read_otherwise(ours.as_ref(), theirs),
        (Err(_), Err(_)) => None,
    }
}

fn refused_by_us(reason: Reason, theirs: &Theirs<'_>) -> Option<Difference> {
    let reading = theirs.reading.as_ref();
    let first_fragment =
        reading.and_then(|reading| reading.fragment).is_some_and(|piece| piece.bytes.0 == 0);
    let is = |difference, really: bool| really.then_some(difference);
    match reason {
        Reason::TooManyVlanTags => {
            is(TooManyTags, theirs.packet.link_exts.len() > limits::VLAN_TAGS)
                .or_else(|| is(OldTagType, has_old_tag(theirs)))
        }
        _ if has_old_tag(theirs) => Some(OldTagType),
        Reason::BadFragment => {
            let piece = reading?.fragment?;
            let (start, end) = piece.bytes;
            let odd = piece.more && !(end - start).is_multiple_of(8);
            is(BadFragment, start == end || end > 0xffff || odd)
        }
        Reason::TinyFragment => is(TinyFragment, first_fragment && theirs.head_is_cut),
        Reason::BadTcpOffset if first_fragment => is(HeaderOfFirstFragment, theirs.head_is_cut),
        Reason::BadUdpLength if first_fragment => Some(HeaderOfFirstFragment),
        Reason::BadTcpFlags => match reading?.head {
            Head::Tcp { flags, .. } => is(TcpFlags, !sensible(flags)),
            _ => None,
        },
        _ if has_no_payload_length(theirs) => Some(NoPayloadLength),
        Reason::BadUdpLength => is(NoUdpLength, reading?.protocol == protocol::UDP),
        Reason::TruncatedSctp => is(CutSctp, theirs.head_is_cut),
        Reason::TooManyExtensions => {
            is(TooManyExtensions, extensions(theirs).len() > limits::EXTENSION_HEADERS)
        }
        Reason::MisplacedExtension => {
            let headers = extensions(theirs);
            let fragments =
                headers.iter().filter(|header| matches!(header, Ipv6ExtensionSlice::Fragment(_)));
            is(TwoFragmentHeaders, fragments.count() > 1)
        }
        Reason::SourceRouted => {
            let routed = |header: &Ipv6ExtensionSlice<'_>| match header {
                Ipv6ExtensionSlice::Routing(routing) => {
                    routing.slice()[2] == 0 && routing.slice()[3] != 0
                }
                _ => false,
            };
            is(SourceRoute, extensions(theirs).iter().any(routed))
        }
        _ => None,
    }
}

fn refused_by_them(frame: &[u8], ours: Option<&Reading>, refusal: &Refusal) -> Option<Difference> {
    use err::Layer;

    let Some(ours) = ours else {
        let other = match refusal {
            Refusal::Macsec(_) => true,
            Refusal::Len(length) => matches!(
                length.layer,
                Layer::Arp | Layer::MacsecHeader | Layer::MacsecPacket | Layer::VlanHeader
            ),
            // Behind MACsec it goes on reading.
            _ => frame.windows(2).any(|type_of| type_of == [0x88, 0xe5]),
        };
        return other.then_some(NotIp);
    };
    let later = ours.fragment.is_some_and(|piece| piece.bytes.0 != 0);
    match refusal {
        Refusal::Ipv4Exts(_) => Some(AuthenticationInV4),
        Refusal::Ipv6Exts(_) if later => Some(LaterFragmentIsData),
        Refusal::Ipv6Exts(err::ipv6_exts::HeaderError::IpAuth(_)) => Some(ShortAuthentication),
        Refusal::Len(_) if later && ours.family == 6 => Some(LaterFragmentIsData),
        Refusal::Len(_) | Refusal::Tcp(_) if ours.protocol == 51 && ours.family == 4 => {
            Some(AuthenticationInV4)
        }
        Refusal::Len(length) => match length.layer {
            Layer::Icmpv4 | Layer::Icmpv4Timestamp | Layer::Icmpv4TimestampReply
                if ours.family == 6 =>
            {
                Some(ForeignIcmp)
            }
            Layer::Icmpv6 if ours.family == 4 => Some(ForeignIcmp),
            Layer::Icmpv4Timestamp | Layer::Icmpv4TimestampReply | Layer::Igmp => {
                Some(MessageLength)
            }
            _ => None,
        },
        _ => None,
    }
}

fn read_otherwise(ours: Option<&Reading>, theirs: &Theirs<'_>) -> Option<Difference> {
    let (ours, reading) = match (ours, &theirs.reading) {
        (Some(ours), Some(reading)) => (ours, reading),
        (Some(_), None) => return has_old_tag(theirs).then_some(OldTagType),
        (None, Some(_)) => {
            let macsec = |tag: &LinkExtSlice<'_>| matches!(tag, LinkExtSlice::Macsec(_));
            return theirs.packet.link_exts.iter().any(macsec).then_some(NotIp);
        }
        (None, None) => return None,
    };
    let piece = ours.fragment;
    if ours.family == 4 && ours.protocol == 51 {
        let behind = Reading {
            protocol: reading.protocol,
            payload: reading.payload,
            head: reading.head,
            ..ours.clone()
        };
        return (behind == *reading).then_some(AuthenticationInV4);
    }
    if ours.family == 6 && piece.is_some_and(|piece| piece.bytes.0 != 0) {
        let deeper = Reading {
            protocol: reading.protocol,
            payload: (reading.payload.0, ours.payload.1),
            ..ours.clone()
        };
        return (deeper == *reading).then_some(LaterFragmentIsData);
    }
    let longer = Reading { payload: reading.payload, head: reading.head, ..ours.clone() };
    (has_no_payload_length(theirs) && longer == *reading).then_some(NoPayloadLength)
}

/// Whether etherparse stopped at a tag of type 0x9200.
fn has_old_tag(theirs: &Theirs<'_>) -> bool {
    theirs.packet.ether_payload().is_some_and(|payload| payload.ether_type.0 == 0x9200)
}

fn has_no_payload_length(theirs: &Theirs<'_>) -> bool {
    matches!(&theirs.packet.net, Some(NetSlice::Ipv6(ip)) if ip.header().payload_length() == 0)
}

fn extensions<'a>(theirs: &Theirs<'a>) -> Vec<Ipv6ExtensionSlice<'a>> {
    match &theirs.packet.net {
        Some(NetSlice::Ipv6(ip)) => ip.extensions().clone().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Exactly one of SYN, RST and FIN, or none of them with ACK; FIN with ACK only; URG not with SYN+ACK
/// or RST.
fn sensible(flags: u8) -> bool {
    let has = |bit: u8| flags & bit != 0;
    let control = flags & (tcp::SYN | tcp::FIN | tcp::RST);
    match control {
        0 => has(tcp::ACK),
        tcp::SYN => !(has(tcp::ACK) && has(tcp::URG)),
        tcp::FIN => has(tcp::ACK),
        tcp::RST => !has(tcp::URG),
        _ => false,
    }
}
