//! How often TCP had to send a segment again, from the namespace's counters.

use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc;

use crate::workload::Process;

/// Counters of the namespaces at both ends of a transfer, added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeats {
    /// Segments sent again.
    repeated: u64,
    /// Segments that the other end had already (RFC 2883): they were late and not lost.
    needless: u64,
}

impl Repeats {
    /// Reads the counters in the namespaces of `ends`; `None` when one cannot be read.
    pub(super) fn now(processes: &[Process], ends: &BTreeSet<usize>) -> Option<Self> {
        let (sender, receiver) = mpsc::channel();
        for &end in ends {
            let sender = sender.clone();
            processes[end].spawn(async move {
                // Nobody listens any more only when the transfer was given up.
                let _ = sender.send(Self::of_this_namespace());
            });
        }
        drop(sender);
        let readings: Vec<Self> = receiver.iter().collect::<Option<_>>()?;
        (readings.len() == ends.len()).then(|| Self {
            repeated: readings.iter().map(|reading| reading.repeated).sum(),
            needless: readings.iter().map(|reading| reading.needless).sum(),
        })
    }

    /// Segments lost between the reading `earlier` and this one.
    pub(super) fn lost_since(self, earlier: Self) -> u64 {
        let repeated = self.repeated.saturating_sub(earlier.repeated);
        repeated.saturating_sub(self.needless.saturating_sub(earlier.needless))
    }

    fn of_this_namespace() -> Option<Self> {
        let basic = fs::read_to_string("/proc/thread-self/net/snmp").ok()?;
        let extended = fs::read_to_string("/proc/thread-self/net/netstat").ok()?;
        Some(Self {
            repeated: counter(&basic, "Tcp:", "RetransSegs")?,
            needless: counter(&extended, "TcpExt:", "TCPDSACKRecv")?,
        })
    }
}

/// The counter `name` of `group`: each group has a line of names and then a line of numbers.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let position = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(position)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "Ip: Forwarding InReceives\nIp: 1 20\n\
                    Tcp: ActiveOpens RetransSegs InErrs\nTcp: 5 17 0\n";
        assert_eq!(counter(text, "Tcp:", "RetransSegs"), Some(17));
        assert_eq!(counter(text, "Ip:", "Forwarding"), Some(1));
        assert_eq!(counter(text, "Tcp:", "NoSuchCounter"), None);
        assert_eq!(counter(text, "Udp:", "InErrors"), None);
    }

    #[test]
    fn what_the_other_end_had_already_was_not_lost() {
        let before = Repeats { repeated: 10, needless: 4 };
        assert_eq!(Repeats { repeated: 13, needless: 5 }.lost_since(before), 2);
        assert_eq!(Repeats { repeated: 11, needless: 5 }.lost_since(before), 0);
    }
}
