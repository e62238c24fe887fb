//! The words that variants and statistics are written in.
//!
//! A [`Sample`](super::Sample) may use others; tables, plots and claims look for these.

/// What else was chosen: [`Sample::variant`](super::Sample::variant).
pub mod variant {
    /// A decision on one packet over and over.
    pub const HOT: &str = "hot";
    /// A decision on packets of many peers in random order.
    pub const RANDOM: &str = "random";

    /// A round trip while nothing else is under way.
    pub const UNLOADED: &str = "unloaded";
    /// A round trip at half of the rate that gets through.
    pub const HALF: &str = "50%";
    /// A round trip at nine tenths of the rate that gets through.
    pub const NEARLY_FULL: &str = "90%";
    /// A round trip while more is sent than gets through.
    pub const OVERLOAD: &str = "120%";
    /// The same as [`UNLOADED`], with receive steering.
    pub const STEERED_UNLOADED: &str = "steered unloaded";
    /// The same as [`HALF`], with receive steering, so that a queue can form.
    pub const STEERED_HALF: &str = "steered 50%";
    /// The same as [`NEARLY_FULL`], with receive steering, so that a queue can form.
    pub const STEERED_NEARLY_FULL: &str = "steered 90%";
    /// The same as [`OVERLOAD`], with receive steering, so that a queue can form.
    pub const STEERED_OVERLOAD: &str = "steered 120%";
    /// A round trip of which each request is a new connection's first packet.
    pub const FIRST_PACKET: &str = "first packet";

    /// What loses or denies packets where the router's work is given to another core.
    pub const STEERED: &str = "steered";

    /// The loads of a round trip, in their order.
    pub const LOADS: [&str; 8] = [
        UNLOADED,
        HALF,
        NEARLY_FULL,
        OVERLOAD,
        STEERED_UNLOADED,
        STEERED_HALF,
        STEERED_NEARLY_FULL,
        STEERED_OVERLOAD,
    ];

    /// A change of one rule.
    pub const ONE_RULE: &str = "one rule";
    /// The same rule taken away.
    pub const ONE_RULE_REMOVED: &str = "one rule, removed";
    /// A change of a hundred rules.
    pub const HUNDRED_RULES: &str = "100 rules";
    /// All rules, where there were none.
    pub const LOADED: &str = "all, loaded";
    /// All rules once more, because one of them changed.
    pub const REBUILT: &str = "all, rebuilt";
}

/// Which figure it is: [`Sample::statistic`](super::Sample::statistic).
pub mod statistic {
    /// The median of what a round measured.
    pub const MEDIAN: &str = "median";
    /// How much more that is than without a filter, measured in the same round.
    pub const ADDED: &str = "added";
    /// How much more [`P50`] is than without a filter, measured in the same round.
    pub const ADDED_P50: &str = "added p50";
    /// How many times [`P50`] is what it is without a filter, measured in the same round.
    pub const RATIO_P50: &str = "ratio p50";
    /// The half of a round's packets took no longer.
    pub const P50: &str = "p50";
    /// Nine tenths of a round's packets took no longer.
    pub const P90: &str = "p90";
    /// 99 of a hundred of a round's packets took no longer.
    pub const P99: &str = "p99";
    /// 999 of a thousand of a round's packets took no longer.
    pub const P999: &str = "p99.9";
    /// The slowest of a round's packets.
    pub const MAX: &str = "max";
    /// Lost packets: of a round trip their share, else their number.
    pub const LOST: &str = "lost";
    /// Packets a second that were sent.
    pub const OFFERED: &str = "offered";
    /// So many a second.
    pub const RATE: &str = "rate";
    /// From a call to its return.
    pub const CALL: &str = "call";
    /// The same without what starting a process takes.
    pub const NET: &str = "net";
    /// From a call to the first packet that obeys.
    pub const VISIBLE: &str = "visible";
    /// Packets that neither the old policy nor the new one decides so.
    pub const WRONG: &str = "wrong";
    /// Packets that were sent.
    pub const SENT: &str = "sent";
    /// Segments of TCP that were sent again.
    pub const RETRANSMITTED: &str = "retransmitted";
    /// Changes that were made.
    pub const CHANGES: &str = "changes";
    /// Hosts on which rules were installed at once.
    pub const HOSTS: &str = "hosts";
    /// Memory of the kernel.
    pub const KERNEL: &str = "kernel";
    /// Memory of a process in user space.
    pub const PROCESS: &str = "process";
}
