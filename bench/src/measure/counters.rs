//! What the kernel counts in a network namespace.

use std::fs;

use ringfence_testbed::netns::Namespace;

use crate::kernel::MeasureError;

/// How many packets an interface has received so far, those that a program dropped among them.
///
/// # Errors
///
/// [`MeasureError::Wrong`] without such an interface; [`MeasureError::Refused`].
pub fn received(namespace: &Namespace, interface: &str) -> Result<u64, MeasureError> {
    let text = read(namespace, "/proc/thread-self/net/dev")?;
    let absent = || format!("it has no interface `{interface}`");
    packets(&text, interface).ok_or_else(|| MeasureError::wrong("/proc/net/dev", absent()))
}

/// How many TCP segments the namespace has sent again so far.
///
/// # Errors
///
/// [`MeasureError::Wrong`] when the kernel does not say; [`MeasureError::Refused`].
pub fn sent_again(namespace: &Namespace) -> Result<u64, MeasureError> {
    let text = read(namespace, "/proc/thread-self/net/snmp")?;
    let absent = || MeasureError::wrong("/proc/net/snmp", "it has no `RetransSegs`");
    retransmitted(&text).ok_or_else(absent)
}

fn read(namespace: &Namespace, path: &str) -> Result<String, MeasureError> {
    let text = namespace.run(|| fs::read_to_string(path));
    let text = text.map_err(MeasureError::refused("enter a namespace"))?;
    text.map_err(MeasureError::refused(format!("read `{path}`")))
}

/// The packets that an interface has received: bytes come first, then packets.
fn packets(text: &str, interface: &str) -> Option<u64> {
    let of = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        (name.trim() == interface).then(|| counts.split_whitespace().nth(1)?.parse().ok())?
    };
    text.lines().find_map(of)
}

/// `RetransSegs` of the lines `Tcp:`, the first of which has the names.
fn retransmitted(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == "RetransSegs")?;
    values.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_interface() {
        let text =
            "Inter-|   Receive\n face |bytes    packets errs\n  veth1: 70 1 0\n veth: 80 2 0\n";
        assert_eq!(packets(text, "veth"), Some(2));
        assert_eq!(packets(text, "veth1"), Some(1));
        assert_eq!(packets(text, "eth"), None);
    }

    #[test]
    fn retransmissions_are_found_by_name() {
        let text = "Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn RetransSegs InErrs\nTcp: 200 -1 7 0\n";
        assert_eq!(retransmitted(text), Some(7));
        assert_eq!(retransmitted("Tcp: RtoMin\nTcp: 200\n"), None);
    }
}
