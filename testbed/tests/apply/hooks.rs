//! Where programs sit, and what is said of it.

use ringfence_dataplane::enforce::{HookChoice, Options};
use ringfence_testbed::require;

use crate::host::{Documents, Host, WORKLOADS, usual_policies};

const XDP: Options = Options { hook: HookChoice::Xdp, ..DEFAULT };

const DEFAULT: Options = Options {
    backend: ringfence_dataplane::enforce::BackendChoice::Ebpf,
    mode: ringfence_dataplane::backend::Mode::Enforce,
    hook: HookChoice::Auto,
    settings: ringfence_dataplane::backend::Settings {
        essential: ringfence_common::abi::config::essential::ALL,
        report: ringfence_common::abi::config::report::DENIED,
        keep_established: false,
        pick_up_seconds: 60,
        pick_up_until: None,
    },
    dry_run: false,
};

#[test]
fn xdp_on_veths_is_native() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    let summary = host.apply_with(&documents, XDP);
    for interface in ["rf-web", "rf-api", "rf-db", "uplink"] {
        let line = format!("{interface} xdp attached (xdp native)");
        assert!(summary.hooks.contains(&line), "{line}: {:?}", summary.hooks);
    }
    let attached = host.status().unwrap().installed.attached;
    let native = attached.iter().filter(|attached| attached.how == "xdp native").count();
    assert_eq!((native, attached.len()), (4, 8), "{attached:?}");
    host.assert_verdicts(Some(&documents));

    // And back, while everything else stays.
    let back = host.apply(&documents);
    assert_eq!(back.hooks.len(), 6, "three attached, three detached: {:?}", back.hooks);
    host.assert_verdicts(Some(&documents));
}

/// The kernel cannot run XDP in a bridge, so it runs in the stack, and that is said.
#[test]
fn xdp_where_the_driver_has_none_is_generic_and_named_so() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            let bridge = rtnetlink::LinkBridge::new("br0").up().build();
            handle.link().add(bridge).execute().await.unwrap();
        });
    });
    let bridged = "---\n{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: {namespace: \
                   shop, name: bridged}, spec: {addresses: [10.30.0.1], interface: br0}}\n";
    let documents = Documents::new(&[WORKLOADS, bridged].concat());
    let summary = host.apply_with(&documents, XDP);
    let line = "br0 xdp attached (xdp generic)";
    assert!(summary.hooks.iter().any(|hook| hook == line), "{:?}", summary.hooks);
    let attached = host.status().unwrap().installed.attached;
    let found = attached.iter().find(|at| at.how == "xdp generic").unwrap();
    assert_eq!((found.interface.as_str(), found.alive), ("br0", true));
    host.assert_verdicts(Some(&documents));
}
