//! Rule chains on a host under traffic: iptables in both variants, ipset, nftables.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accepted;
mod conversation;
mod datagrams;
mod failures;
mod host;
mod jumps;
mod large;
mod notifications;
mod revocation;
mod swaps;
mod tools;
mod touched;

use ringfence_testbed::require;
use ringfence_testbed::suite::live::Backend;

/// A test for each backend.
macro_rules! on_each_backend {
    ($($test:path as $name:ident;)*) => {
        mod iptables_legacy { $(on_each_backend!($name, $test, IptablesLegacy);)* }
        mod iptables_nft { $(on_each_backend!($name, $test, IptablesNft);)* }
        mod ipset { $(on_each_backend!($name, $test, Ipset);)* }
        mod nftables { $(on_each_backend!($name, $test, Nftables);)* }
    };
    ($name:ident, $test:path, $backend:ident) => {
        #[test]
        fn $name() {
            let backend = super::Backend::$backend;
            let Some(_granted) = super::require::tools(backend.tools()) else { return };
            $test(backend);
        }
    };
}

on_each_backend! {
    crate::swaps::never_a_mixture as a_packet_never_meets_a_mixture_of_two_policies;
    crate::revocation::revoked_connections_end_and_others_go_on as revoked_connections_end;
    crate::jumps::a_missing_jump_is_seen_and_restored as a_missing_jump_is_seen_and_restored;
    crate::failures::a_missing_tool as a_missing_tool_is_named_with_its_package;
    crate::failures::a_refused_line as a_refused_line_is_traced_to_its_rule;
    crate::failures::things_of_others as things_of_others_with_our_names_are_left_alone;
    crate::accepted::ten_thousand_entries as ten_thousand_entries_are_accepted;
    crate::large::one_change as one_change_among_ten_thousand_touches_nothing_else;
}
