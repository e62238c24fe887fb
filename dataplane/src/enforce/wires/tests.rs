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

    fn address(mut self, address: &str) -> Self {
        self.addresses.push(HostAddress { address: address.parse().unwrap(), interface: 10 });
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
    let fit = fit_wires(tables, &ends(pairs), host, |_| None).map_err(|error| error.to_string())?;
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
fn a_link_local_address_is_told_and_forwarding_is_refused() {
    let host = MadeUp::new().address("fe80::1");
    let (_, warnings) = fit(&host, &tables(&[None]), &[("a0", "a1")]).unwrap();
    assert!(warnings[0].contains("link-local address fe80::1 on `a0`"), "{warnings:?}");

    let forwards = |name: &str| (name == "a1").then(|| format!("net.ipv4.conf.{name}.forwarding"));
    let fit = fit_wires(&tables(&[None]), &ends(&[("a0", "a1")]), &host, forwards);
    let error = fit.unwrap_err().to_string();
    assert!(error.ends_with("`sysctl -w net.ipv4.conf.a1.forwarding=0`"), "{error}");
}
