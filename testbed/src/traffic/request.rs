//! What a request says about itself, and its answer repeats.

use std::time::Duration;

/// A numbered request: the payload of a datagram, repeated by whoever answers.
///
/// It has the 18 bytes that fill the shortest Ethernet frame with IPv4 and UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the requests of one run have in common.
    pub mark: u16,
    /// Its number in the run, from 0.
    pub number: u64,
    /// When it was to be sent, from the start of the run; in whole nanoseconds.
    pub intended: Duration,
}

impl Request {
    /// How long it is.
    pub const LENGTH: usize = 18;

    /// As it is sent, in network order: mark, number, nanoseconds.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        // 584 years fit.
        let nanoseconds = u64::try_from(self.intended.as_nanos()).unwrap_or(u64::MAX);
        bytes[..2].copy_from_slice(&self.mark.to_be_bytes());
        bytes[2..10].copy_from_slice(&self.number.to_be_bytes());
        bytes[10..].copy_from_slice(&nanoseconds.to_be_bytes());
        bytes
    }

    /// Reads one; nothing if the length is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mark, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let nanoseconds = rest.try_into().ok()?;
        Some(Self {
            mark: u16::from_be_bytes(*mark),
            number: u64::from_be_bytes(*number),
            intended: Duration::from_nanos(u64::from_be_bytes(nanoseconds)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_it_was_written() {
        let request = Request { mark: 7, number: 1 << 40, intended: Duration::from_nanos(123_456) };
        let bytes = request.to_bytes();
        assert_eq!(Request::from_bytes(&bytes), Some(request));
        assert_eq!(Request::from_bytes(&bytes[..17]), None);
        assert_eq!(Request::from_bytes(&[0; 19]), None);
    }
}
