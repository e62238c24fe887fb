//! The limits of the semantics, as the oracle reads them. A test compares them with those that the
//! dataplane has.

use std::time::Duration;

/// VLAN tags of a frame: one for 802.1Q, two for 802.1ad.
pub const VLAN_TAGS: usize = 2;

/// IPv6 extension headers of a packet.
pub const EXTENSION_HEADERS: usize = 8;

/// Pieces with gaps between them that are remembered of a fragmented packet.
pub const FRAGMENT_PIECES: usize = 8;

/// How long mid-stream TCP may be picked up, at most.
pub const PICK_UP: Duration = Duration::from_secs(3_600);
