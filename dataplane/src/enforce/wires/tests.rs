//! Every rule on hosts made up for it.

use super::*;
use crate::compile::Subject;
use crate::enforce::host::{HostAddress, HostError, Route};

/// `a0` to `a3` and `lo`, all fit.
struct MadeUp {
    interfaces: Vec<Interface>,
    addresses: Vec<HostAddress>,
}

impl MadeUp {
    fn new() -> Self {
        let interface = |index: u32, name: &str, link_layer| Interface {
            index,
            name: name.to_owned(),
            kind: None,
            link_layer,
            master: None,
            up: true,
            link: None,
            xdp: Vec::new(),
        };
        let mut interfaces = vec![interface(1, "lo", LinkLayer::Loopback)];
        for number in 0..4 {
            interfaces.push(interface(number + 10, &format!("a{number}"), LinkLayer::Ethernet));
        }
        Self { interfaces, addresses: Vec::new() }
    }

    fn with(mut self, change: impl FnOnce(&mut Interface)) -> Self {
        change(&mut self.interfaces[1]);
        self
    }

    fn address(self, address: &str) -> Self {
        self.address_of(10, address)
    }

    fn address_of(mut self, interface: u32, address: &str) -> Self {
        self.addresses.push(HostAddress { address: address.parse().unwrap(), interface });
        self
    }
}

impl Host for MadeUp {
    fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    fn addresses(&self) -> &[HostAddress] {
        &self.addresses
    }

    fn default_interfaces(&self) -> &[u32] {
        &[]
    }

    fn route(&self, _: IpAddr) -> Result<Option<Route>, HostError> {
        Ok(None)
    }
}

/// Workloads numbered from 300 with the interfaces they name, and a host that policy selects.
fn tables(interfaces: &[Option<&str>]) -> Tables {
    let mut tables = Tables::default();
    for (index, interface) in interfaces.iter().enumerate() {
        let endpoint = EndpointDescription {
            name: format!("shop/w{index}"),
            interface: interface.map(str::to_owned),
            ..EndpointDescription::default()
        };
        tables.endpoints.insert(300 + index as u32, endpoint);
    }
    let host = EndpointDescription {
        name: "platform/node".to_owned(),
        subject: 7,
        host: true,
        ..EndpointDescription::default()
    };
    tables.endpoints.insert(1, host);
    tables
}

fn ends(pairs: &[(&str, &str)]) -> Vec<Ends> {
    let ends = |(inside, outside): &(&str, &str)| Ends {
        inside: (*inside).to_owned(),
        outside: (*outside).to_owned(),
    };
    pairs.iter().map(ends).collect()
}

fn fit(
    host: &MadeUp,
    tables: &Tables,
    pairs: &[(&str, &str)],
) -> Result<(Vec<Vec<u32>>, Vec<String>), String> {
    let fit = fit_wires(tables, &ends(pairs), host, &Settings(|_: &str| None));
    let fit = fit.map_err(|error| error.to_string())?;
    let behind = fit.wires.iter().map(|wire| wire.endpoints.iter().copied().collect()).collect();
    Ok((behind, fit.warnings.iter().map(ToString::to_string).collect()))
}

#[test]
fn workloads_are_behind_the_inner_end_they_name_or_the_only_one() {
    let host = MadeUp::new();
    let named = tables(&[Some("a2"), Some("a0"), Some("a0"), Some("a3")]);
    let fit_both = fit(&host, &named, &[("a0", "a1"), ("a2", "a3")]).unwrap();
    assert_eq!(fit_both, (vec![vec![301, 302], vec![300]], vec![]));

    let unnamed = tables(&[None, Some("a1"), Some("eth9"), None]);
    let (behind, warnings) = fit(&host, &unnamed, &[("a0", "a1")]).unwrap();
    assert_eq!(behind, [[300, 303]]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("workload `shop/w2` is behind `eth9`"), "{warnings:?}");

    let (behind, warnings) = fit(&host, &tables(&[]), &[("a0", "a1")]).unwrap();
    assert_eq!(behind, [[0_u32; 0]]);
    assert!(warnings[0].starts_with("no workload is behind `a0`"), "{warnings:?}");
}

#[test]
fn a_workload_that_does_not_say_is_named() {
    let both = &[("a0", "a1"), ("a2", "a3")];
    let error = fit(&MadeUp::new(), &tables(&[Some("a0"), None]), both).unwrap_err();
    assert_eq!(
        error,
        "workload `shop/w1` does not say which of the wires it is behind: give its document \
         `interface:` with one of `a0`, `a2`, or with an outer end if it is outside"
    );
}

#[test]
fn a_host_with_policy_is_not_enforced_and_a_warning_says_so() {
    let mut selected = tables(&[None]);
    selected.subjects.insert(7, Subject { ingress_forms: 1, egress_forms: 0 });
    let (behind, warnings) = fit(&MadeUp::new(), &selected, &[("a0", "a1")]).unwrap();
    assert_eq!(behind, [[300]]);
    assert!(warnings[0].starts_with("the policy of host `platform/node`"), "{warnings:?}");
}

#[test]
fn interfaces_that_are_unfit_are_refused() {
    let refused = |host: &MadeUp, pairs: &[(&str, &str)], part: &str| {
        let error = fit(host, &tables(&[None]), pairs).unwrap_err();
        assert!(error.contains(part), "`{part}` in `{error}`");
    };
    let pair: &[(&str, &str)] = &[("a0", "a1")];
    refused(&MadeUp::new(), &[("a0", "a9")], "no interface `a9` on this host (similar: `a0`");
    refused(&MadeUp::new(), &[("a0", "a0")], "`a0` can be one end of one wire only");
    refused(&MadeUp::new(), &[("a0", "a1"), ("a2", "a1")], "`a1` can be one end");
    refused(&MadeUp::new(), &[("lo", "a1")], "`lo` is no Ethernet interface");
    refused(&MadeUp::new().with(|a0| a0.up = false), pair, "ip link set a0 up");
    refused(&MadeUp::new().with(|a0| a0.master = Some(13)), pair, "`a0` is a port of `a3`");
    refused(&MadeUp::new().address("192.0.2.1"), pair, "has the address 192.0.2.1");
    refused(&MadeUp::new().address("2001:db8::1"), pair, "has the address 2001:db8::1");
}

#[test]
fn a_link_local_address_is_told() {
    let host = MadeUp::new().address("fe80::1");
    let (_, warnings) = fit(&host, &tables(&[None]), &[("a0", "a1")]).unwrap();
    assert!(warnings[0].contains("link-local address fe80::1 on `a0`"), "{warnings:?}");
    assert!(warnings[0].contains("`sysctl -w net/ipv6/conf/a0/disable_ipv6=1`"), "{warnings:?}");
}

/// What is said where these settings are on, and all others off.
fn with_settings(host: &MadeUp, on: &[&str]) -> Result<Vec<String>, String> {
    let value = |path: &str| Some(if on.contains(&path) { "1\n" } else { "0\n" }.to_owned());
    fit_wires(&tables(&[None]), &ends(&[("a0", "a1")]), host, &Settings(value))
        .map(|fit| fit.warnings.iter().map(ToString::to_string).collect())
        .map_err(|error| error.to_string())
}

#[test]
fn what_the_kernel_forwards_is_refused_by_the_settings_that_count() {
    let host = MadeUp::new();
    let refused = |on: &[&str], setting: &str, remedy: &str| {
        let error = with_settings(&host, on).unwrap_err();
        assert!(error.contains(&format!("because `{setting}` is on")), "{error}");
        assert!(error.ends_with(&format!("`sysctl -w {remedy}`")), "{error}");
    };
    let v4 = "net/ipv4/conf/a1/forwarding";
    refused(&["ipv4/conf/a1/forwarding"], v4, "net/ipv4/conf/a1/forwarding=0");
    let (all, without) = ("ipv6/conf/all/forwarding", "ipv6/conf/a0/disable_ipv6");
    refused(&[all], "net/ipv6/conf/all/forwarding", "net/ipv6/conf/a0/disable_ipv6=1");
    // Both ends have to be without IPv6.
    refused(&[all, without], "net/ipv6/conf/all/forwarding", "net/ipv6/conf/a1/disable_ipv6=1");
    let force = "ipv6/conf/a1/force_forwarding";
    refused(&[force], "net/ipv6/conf/a1/force_forwarding", "net/ipv6/conf/a1/disable_ipv6=1");

    let both_without = [all, without, "ipv6/conf/a1/disable_ipv6"];
    assert_eq!(with_settings(&host, &both_without), Ok(vec![]));
    // These say nothing of packets from the ends.
    let others = ["ipv6/conf/a0/forwarding", "ipv4/conf/all/forwarding", "ipv4/conf/a2/forwarding"];
    assert_eq!(with_settings(&host, &others), Ok(vec![]));
}

#[test]
fn addresses_of_the_host_elsewhere_are_told() {
    let host = MadeUp::new()
        .address_of(1, "127.0.0.1")
        .address_of(1, "::1")
        .address_of(12, "fe80::1")
        .address_of(13, "2001:db8::1");
    let without_v6 = ["ipv6/conf/a0/disable_ipv6", "ipv6/conf/a1/disable_ipv6"];
    assert_eq!(with_settings(&host, &without_v6), Ok(vec![]));
    let warnings = with_settings(&host, &without_v6[..1]).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("at 2001:db8::1 of `a3` past the filter"), "{warnings:?}");

    let host = host.address_of(12, "192.0.2.1").address_of(12, "192.0.2.2");
    let warnings = with_settings(&host, &without_v6).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("at 192.0.2.1 of `a2`"), "{warnings:?}");
}

#[test]
fn ends_that_are_linked_to_each_other_are_refused() {
    let host = MadeUp::new().with(|a0| a0.link = Some(11));
    let pair: &[(&str, &str)] = &[("a0", "a1")];
    let error = fit(&host, &tables(&[None]), pair).unwrap_err();
    assert!(error.contains("the ends `a0` and `a1` are linked to each other"), "{error}");
    let error = fit(&host, &tables(&[Some("a0")]), &[("a2", "a1"), ("a0", "a3")]).unwrap_err();
    assert!(error.contains("`a0` and `a1`"), "{error}");
    let elsewhere = MadeUp::new().with(|a0| a0.link = Some(12));
    assert!(fit(&elsewhere, &tables(&[None]), pair).is_ok());
}
