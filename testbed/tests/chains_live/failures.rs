//! What cannot be applied leaves everything as it was, and says why.

use std::error::Error as _;
use std::fs::File;

use ringfence_dataplane::model::PolicySet;
use ringfence_testbed::suite::live::Backend;

use crate::datagrams::{Way, arrive};
use crate::host::{Host, policies};
use crate::tools::Tools;

const WORKLOADS: [&str; 2] = ["client", "server"];

const OLD: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{protocol: UDP, port: 7001}]}]
"#;

const NEW: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{protocol: UDP, port: 7002}]}]
"#;

/// A host on which one policy holds, and another that it is to have.
struct Changing {
    host: Host,
    new: PolicySet,
    rules: String,
}

impl Changing {
    fn start(backend: Backend) -> Self {
        let (old, new) = (policies(&WORKLOADS, OLD), policies(&WORKLOADS, NEW));
        let host = Host::start(backend, &old.inventory, &[]);
        host.apply(&old);
        let rules = host.rules();
        Self { host, new, rules }
    }

    /// What the apply says that has to fail; all causes, outermost first.
    fn fail(&self) -> String {
        let error = self.host.try_apply(&self.new).expect_err("it cannot be applied");
        let mut said = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            said += &format!(": {error}");
            cause = error.source();
        }
        said
    }

    /// That the old policy holds, and that the new one can be applied now.
    fn assert_kept(&self) {
        let backend = self.host.backend;
        assert_eq!(self.host.rules(), self.rules, "{backend}: the rules have changed");
        self.assert_open(true, false);
        self.host.apply(&self.new);
        self.assert_open(false, true);
    }

    /// That exactly those ports are open, of the old and the new policy, that shall be.
    fn assert_open(&self, old: bool, new: bool) {
        for (port, expected) in [(7001, old), (7002, new)] {
            let way = Way { from: "shop/client", to: "shop/server", port };
            let is_open = arrive(&self.host, way, expected);
            assert_eq!(is_open, expected, "{}: port {port}", self.host.backend);
        }
    }
}

/// The program that installs what `backend` does, and Debian's package that has it.
fn program(backend: Backend) -> (&'static str, &'static str) {
    match backend {
        Backend::IptablesLegacy => ("iptables-legacy-restore", "iptables"),
        Backend::IptablesNft => ("iptables-nft-restore", "iptables"),
        Backend::Ipset => ("ipset", "ipset"),
        _ => ("nft", "nftables"),
    }
}

pub fn a_missing_tool(backend: Backend) {
    let changing = Changing::start(backend);
    let (program, package) = program(backend);
    let message = Tools::without(program).on(&changing.host, || changing.fail());
    for name in [program, package] {
        assert!(message.contains(&format!("{name}`")), "`{name}` is named: {message}");
    }
    changing.assert_kept();
}

/// The tool gets another text than the engine has written: a port that is no number, and for ipset,
/// which does not say where such a thing stands, a set that is not there.
pub fn a_refused_line(backend: Backend) {
    let change = match backend {
        Backend::Ipset => "/7002/s/^add rf/add no/",
        _ => "s/7002/7002x/",
    };
    let changing = Changing::start(backend);
    let (program, _) = program(backend);
    let tools = Tools::with(program, |real| format!("sed '{change}' | exec {real} \"$@\""));
    let message = tools.on(&changing.host, || changing.fail());
    let rule = "networkpolicy/shop/server ingress[0]";
    assert!(message.contains(rule), "the rule `{rule}` is named: {message}");
    assert!(message.contains("7002"), "the line is quoted: {message}");
    changing.assert_kept();
}

/// Chains and tables that are called as ours are, but were made by somebody else.
pub fn things_of_others(backend: Backend) {
    let new = policies(&WORKLOADS, NEW);
    let host = Host::start(backend, &new.inventory, &[]);
    let (lines, name) = match backend {
        Backend::IptablesLegacy => (
            [
                "iptables-legacy -N RINGFENCE-FORWARD",
                "iptables-legacy -A RINGFENCE-FORWARD -j ACCEPT",
            ],
            "RINGFENCE-FORWARD",
        ),
        Backend::IptablesNft | Backend::Ipset => (
            ["iptables-nft -N RINGFENCE-FORWARD", "iptables-nft -A RINGFENCE-FORWARD -j ACCEPT"],
            "RINGFENCE-FORWARD",
        ),
        _ => (
            ["nft add table inet ringfence", "nft add chain inet ringfence theirs"],
            "table inet ringfence",
        ),
    };
    lines.iter().for_each(|line| drop(host.command(line)));
    let rules = host.rules();
    let changing = Changing { host, new, rules };
    let message = changing.fail();
    assert!(message.contains(name), "`{name}` is named: {message}");
    assert_eq!(changing.host.rules(), changing.rules, "{backend}: the rules have changed");
    changing.assert_open(true, true);
}

/// Only the legacy variant has a lock: others hold it longer than anybody waits.
#[test]
fn a_lock_that_somebody_else_holds() {
    let backend = Backend::IptablesLegacy;
    let Some(_granted) = ringfence_testbed::require::tools(backend.tools()) else { return };
    let changing = Changing::start(backend);
    let lock = changing.host.run(|| {
        let lock = File::create("/run/xtables.lock").unwrap();
        lock.lock().unwrap();
        lock
    });
    let message = changing.fail();
    assert!(message.contains("xtables"), "the lock is named: {message}");
    drop(lock);
    changing.assert_kept();
}
