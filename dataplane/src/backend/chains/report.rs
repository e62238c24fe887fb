//! How chains report a packet to whoever listens.

use ringfence_common::verdict::Reason;

/// The group of the kernel's packet log (`nfnetlink_log`) that reports go to.
pub const LOG_GROUP: u16 = 5;

/// What a report says: the reason, and the rule in hex where one has decided (`DenyRule 1a2b3c4d`).
#[must_use]
pub fn log_prefix(reason: Reason, rule: u32) -> String {
    match rule {
        0 => reason.name().to_owned(),
        rule => format!("{} {rule:08x}", reason.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_the_reason_and_the_rule_and_fits_every_tool() {
        assert_eq!(log_prefix(Reason::NoRule, 0), "NoRule");
        assert_eq!(log_prefix(Reason::DenyRule, 0x1a2b), "DenyRule 00001a2b");
        // iptables takes 63 bytes, nft more.
        let longest = Reason::ALL.iter().map(|reason| log_prefix(*reason, u32::MAX).len()).max();
        assert!(longest <= Some(63), "{longest:?}");
    }
}
