//! Hooks that come and go while policy changes.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use ringfence_dataplane::enforce::{HookChoice, Options};
use ringfence_testbed::connectivity::Probe;
use ringfence_testbed::require;
use ringfence_testbed::topology::Family;
use ringfence_testbed::transfer::Transfer;
use ringfence_testbed::workload::Transport;

use crate::host::{Documents, Host, usual_policies};

const XDP: Options = with_hook(HookChoice::Xdp);
const TCX: Options = with_hook(HookChoice::Tcx);

const fn with_hook(hook: HookChoice) -> Options {
    Options {
        hook,
        backend: ringfence_dataplane::enforce::BackendChoice::Ebpf,
        mode: ringfence_dataplane::backend::Mode::Enforce,
        settings: ringfence_dataplane::backend::Settings {
            essential: ringfence_common::abi::config::essential::ALL,
            report: ringfence_common::abi::config::report::DENIED,
            keep_established: false,
            pick_up_seconds: 60,
            pick_up_until: None,
        },
        dry_run: false,
    }
}

/// The hook that leaves runs on until the one that comes is there.
#[test]
fn no_packet_is_lost_when_the_hook_changes() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply_with(&documents, TCX);
    let stream = |family| Probe {
        source: host.number("shop/api"),
        destination: host.number("shop/db"),
        port: 5432,
        transport: Transport::Tcp,
        family,
    };
    let transfer = Transfer::start(&host.processes, &Family::ALL.map(stream));
    sleep(Duration::from_millis(200));
    for round in 0..6 {
        host.apply_with(&documents, if round % 2 == 0 { XDP } else { TCX });
    }
    sleep(Duration::from_millis(200));
    let report = transfer.finish();
    assert!(report.is_whole(), "{report:#?}");
    host.assert_verdicts(Some(&documents));
}

/// What cannot be attached leaves the host with what it enforced before.
#[test]
fn a_hook_that_cannot_be_attached_changes_nothing() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply_with(&documents, TCX);
    let before = host.contents();
    let last = before.attachments.keys().last().unwrap().ifindex;
    // A directory where the link's pin would go: the last hook but not the first ones fails.
    let obstacle = host.paths.pins().join(format!("links/if{last}-xdp"));
    host.run(|| fs::create_dir(&obstacle).unwrap());

    let error = host.try_apply(&documents, XDP).unwrap_err();
    assert!(error.to_string().contains(&format!("if{last}-xdp")), "{error}");
    host.run(|| fs::remove_dir(&obstacle).unwrap());

    let after = host.contents();
    assert!(after.config.generation > before.config.generation, "{:?}", after.config);
    let same_generation =
        ringfence_dataplane::backend::host::HostTables { config: before.config, ..after };
    assert_eq!(same_generation, before);
    let attached = host.status().unwrap().installed.attached;
    assert!(attached.iter().all(|hook| hook.alive && hook.how == "tcx"), "{attached:#?}");
    host.assert_verdicts(Some(&documents));
    host.apply_with(&documents, XDP);
    host.assert_verdicts(Some(&documents));
}

/// A hook whose link was taken away is missed.
#[test]
fn a_hook_without_a_link_is_reported_gone() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply_with(&documents, TCX);
    let index = host.contents().attachments.keys().next().unwrap().ifindex;
    let pin = host.paths.pins().join(format!("links/if{index}-tc-ingress"));
    host.run(|| fs::remove_file(&pin).unwrap());
    let attached = host.status().unwrap().installed.attached;
    let gone: Vec<_> = attached.iter().filter(|hook| !hook.alive).collect();
    assert_eq!(gone.len(), 1, "{attached:#?}");
    assert_eq!(gone[0].ifindex, index);
    host.apply_with(&documents, TCX);
    assert!(host.status().unwrap().installed.attached.iter().all(|hook| hook.alive));
}
