//! Counting what leaves.
//!
//! That nothing arrives says nothing about a filter unless something was sent to it: a packet may
//! also wait for its neighbour's address, or find a queue full.

use std::fs::File;
use std::io::{Read as _, Seek as _};

use super::TrafficError;
use crate::netns::Namespace;

/// Packets that a namespace's interfaces have sent.
#[derive(Debug)]
pub struct Departures {
    /// The table of interfaces; it stays that of the namespace it was opened in.
    table: File,
}

impl Departures {
    /// Those from `namespace`.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when its table of interfaces cannot be opened.
    pub fn of(namespace: &Namespace) -> Result<Self, TrafficError> {
        let path = "/proc/thread-self/net/dev";
        let table = namespace.run(|| File::open(path))?;
        Ok(Self { table: table.map_err(TrafficError::refused(format!("open `{path}`")))? })
    }

    /// How many packets have left so far, over all interfaces but the loopback.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when the table cannot be read.
    pub fn count(&mut self) -> Result<u64, TrafficError> {
        let mut text = String::new();
        self.table
            .rewind()
            .and_then(|()| self.table.read_to_string(&mut text))
            .map_err(TrafficError::refused("read the table of interfaces"))?;
        sent(&text).ok_or_else(|| {
            TrafficError::Unexpected("the table of interfaces has no numbers".to_owned())
        })
    }
}

/// The sum of the tenth numbers, packets sent, below the two lines of titles.
fn sent(table: &str) -> Option<u64> {
    let interfaces = table.lines().skip(2).filter_map(|line| line.split_once(':'));
    interfaces
        .filter(|(name, _)| name.trim() != "lo")
        .map(|(_, numbers)| numbers.split_whitespace().nth(9)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_sent_are_added_up_without_the_loopback() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
             lo:     100       2    0    0    0     0          0         0      100       3    0    0    0     0       0          0\n  \
             eth0:     100       2    0    0    0     0          0         0      100      40    0    0    0     0       0          0\n  \
             eth1:     100       2    0    0    0     0          0         0      100     500    0    0    0     0       0          0\n";
        assert_eq!(sent(table), Some(540));
        assert_eq!(sent("titles\ntitles\n eth0: 1 2\n"), None);
    }
}
