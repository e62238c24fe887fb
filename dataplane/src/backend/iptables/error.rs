//! Why something has no words in iptables or ipset.

/// Why tables cannot be written as rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// An interface has a name that the tools cannot say.
    #[error(
        "iptables cannot name interface `{}` of `{workload}`: {why}; rename it (`ip link set dev \
         OLD name NEW`), or use another backend",
        interface.escape_debug()
    )]
    Interface {
        /// The interface.
        interface: String,
        /// The workload behind it, or the host.
        workload: String,
        /// What is wrong with the name.
        why: &'static str,
    },
    /// A rule is about a protocol that the tools cannot say.
    #[error(
        "rule `{rule}`{} is about IP protocol {protocol}, and {why}: leave the protocol out of \
         the rule, or use another backend",
        origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default()
    )]
    Protocol {
        /// What the rule is called.
        rule: String,
        /// Where it stands.
        origin: Option<String>,
        /// The protocol's number.
        protocol: u8,
        /// Why not.
        why: &'static str,
    },
    /// A rule is about type 255 of ICMP, which rules cannot tell from the others.
    #[error(
        "rule `{rule}`{} is about type 255 of ICMP, and for iptables that is every type: leave it \
         out of the rule, or use another backend",
        origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default()
    )]
    IcmpType {
        /// What the rule is called.
        rule: String,
        /// Where it stands.
        origin: Option<String>,
    },
    /// The end of the time in which connections are picked up is no date.
    #[error("connections cannot be picked up until {until} seconds after 1970: that is no date")]
    Date {
        /// Seconds since the epoch.
        until: u64,
    },
    /// Frames that are not IP shall not pass.
    #[error(
        "iptables sees no frames other than IP, so it cannot refuse them: leave that kind of \
         essential traffic on, or use another backend"
    )]
    NonIp,
    /// A set would have more elements than it is made for.
    #[error(
        "set `{set}` would have {elements} elements, and sets are made for {limit}, the last of \
         them for rule `{rule}`: name fewer or wider address blocks, or use another backend"
    )]
    Elements {
        /// The set.
        set: String,
        /// How many it would have.
        elements: usize,
        /// How many fit.
        limit: usize,
        /// A rule that has elements in it.
        rule: String,
    },
}
