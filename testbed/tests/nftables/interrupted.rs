//! Applies that fail on their way, and tables that somebody has put to sleep: what the next apply
//! makes of them is what a fresh host would have.

use std::fs;
use std::time::Duration;

use ringfence_dataplane::backend::nftables::{Nftables, NftablesError};
use ringfence_dataplane::backend::tool::Tools;
use ringfence_dataplane::backend::{Backend as _, ChainState, Desired, How, Mode};
use ringfence_testbed::require::{Tool, tools};

use super::applied::{instead, of_ports};
use super::host::Host;

/// What a tool reads from its standard input is refused where it empties a chain.
const NO_SWITCH: &str = "text=$(cat); case \"$text\" in *'flush chain'*) echo refused >&2; \
                         exit 1 ;; esac; printf '%s\\n' \"$text\" | /usr/sbin/nft \"$@\"";

/// The error of an apply with other tools.
fn fails(host: &Host, tools: Tools, desired: &Desired) -> NftablesError {
    let mut nft = Nftables::new(host.records.path()).with_tools(tools);
    host.network.run(|| nft.apply(desired, None)).unwrap().unwrap_err()
}

/// Applies `desired` after an apply has failed, and looks at all of it.
fn mends(host: &Host, desired: &Desired, why: &str) {
    let applied = host.apply(desired);
    assert_eq!((applied.how, applied.warnings), (How::Switched, vec![why.to_owned()]));
    assert_eq!(host.odd(), [], "after `{why}`");
    let fresh = Host::new();
    fresh.apply(desired);
    assert_eq!(host.everything(), fresh.everything(), "after `{why}`");
    assert_eq!(host.apply(desired).how, How::Nothing, "after `{why}`");
}

const REPLACED: &str = "table `inet ringfence` is replaced as a whole: an apply was interrupted";
const ANEW: &str = "table `inet ringfence` is installed anew: an apply was interrupted";

#[test]
fn after_switches_that_failed_the_new_elements_are_there() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    for failures in [1, 2, 3, 5] {
        let host = Host::new();
        host.apply(&of_ports(&[80]));
        for failure in 0..failures {
            let other = Desired { mode: Mode::Audit, ..of_ports(&[81 + failure]) };
            let error = fails(&host, instead(&host, "-f*", NO_SWITCH), &other);
            assert!(error.to_string().contains("refused"), "{error}");
            let there = host.odd();
            let is_left = |state: &(String, ChainState)| state.0.starts_with('@');
            assert!(!there.is_empty() && there.iter().all(is_left), "{there:?}");
        }
        mends(&host, &of_ports(&[443, 444]), REPLACED);
    }
}

#[test]
fn a_change_whose_answer_is_lost_is_done_anew() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let short = Duration::from_secs(3);
    for (action, is_short) in
        [("/usr/sbin/nft \"$@\"; exit 1", false), ("/usr/sbin/nft \"$@\"; exec sleep 60", true)]
    {
        let host = Host::new();
        let tools = || match (instead(&host, "-f*", action), is_short) {
            (tools, true) => tools.no_longer_than(short),
            (tools, false) => tools,
        };
        fails(&host, tools(), &of_ports(&[80]));
        mends(&host, &of_ports(&[80, 81]), REPLACED);
        // Elements alone: those of the change that is said to have failed are there.
        fails(&host, tools(), &of_ports(&[80, 81, 8443]));
        assert!(host.nft(&["list", "ruleset"]).contains("8443"), "after `{action}`");
        mends(&host, &of_ports(&[80, 82]), REPLACED);
    }
}

#[test]
fn what_nft_says_it_has_done_is_looked_at() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    let host = Host::new();
    let nothing = || instead(&host, "-f*", "cat > /dev/null");
    let error = fails(&host, nothing(), &of_ports(&[80]));
    assert!(matches!(error, NftablesError::NotInstalled { .. }), "{error}");
    assert!(error.to_string().contains("(the table was missing)"), "{error}");
    mends(&host, &of_ports(&[80]), ANEW);
    let error = fails(&host, nothing(), &of_ports(&[80, 81]));
    assert!(error.to_string().contains("` was changed"), "{error}");
    let record = fs::read_to_string(host.records.path().join("nftables.json")).unwrap();
    assert!(record.contains("\"unfinished\":true"), "{record}");
    mends(&host, &of_ports(&[80, 81]), REPLACED);
}

#[test]
fn a_table_that_is_put_to_sleep_is_woken() {
    let Some(_granted) = tools(&[Tool::Nft]) else { return };
    for next in [of_ports(&[80]), of_ports(&[80, 81])] {
        let host = Host::new();
        host.apply(&of_ports(&[80]));
        host.give("add table inet ringfence { flags dormant; }\n");
        let found = host.odd();
        assert!(found.contains(&("forward".to_owned(), ChainState::Changed)), "{found:?}");
        let applied = host.apply(&next);
        assert_eq!(applied.how, How::Switched);
        assert!(applied.warnings[0].contains("it was dormant"), "{:?}", applied.warnings);
        assert_eq!(host.odd(), []);
        let fresh = Host::new();
        fresh.apply(&next);
        assert_eq!(host.everything(), fresh.everything());
        assert!(!host.nft(&["list", "ruleset"]).contains("dormant"));
    }
}
