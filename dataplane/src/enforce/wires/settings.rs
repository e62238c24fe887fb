//! What the kernel does by itself with packets that arrive on an interface, past the filter.
//!
//! IPv4 is forwarded where the interface they arrive on says so (`ip_route_input_slow` in Linux
//! net/ipv4/route.c). IPv6 is forwarded where all interfaces say so or this one is forced to
//! (`ip6_forward` in net/ipv6/ip6_output.c); the `forwarding` of one interface says nothing but
//! whether it takes router advertisements. An interface without IPv6 takes no IPv6 packets at all.

use std::fs;
use std::path::Path;

/// Reads the setting at a path below `/proc/sys/net`, in the network namespace of this thread;
/// `None` where the kernel has none.
pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/sys/net").join(path)).ok()
}

/// The settings of this host.
pub(super) struct Settings<F>(pub F);

impl<F: Fn(&str) -> Option<String>> Settings<F> {
    /// What has the kernel forward what arrives on `interface`, and what ends that, as `sysctl -w`
    /// takes it; `None` where nothing does.
    pub fn forwarding(&self, interface: &str) -> Option<(String, String)> {
        let v4 = format!("ipv4/conf/{interface}/forwarding");
        if self.is_on(&v4) {
            return Some((format!("net/{v4}"), format!("net/{v4}=0")));
        }
        if !self.takes_v6(interface) {
            return None;
        }
        let force = format!("ipv6/conf/{interface}/force_forwarding");
        let v6 = ["ipv6/conf/all/forwarding", &force].into_iter().find(|path| self.is_on(path))?;
        Some((format!("net/{v6}"), without_v6(interface)))
    }

    /// Whether the kernel takes IPv6 packets from `interface`.
    pub fn takes_v6(&self, interface: &str) -> bool {
        let path = format!("ipv6/conf/{interface}/disable_ipv6");
        (self.0)(&path).is_some_and(|value| value.trim() == "0")
    }

    fn is_on(&self, path: &str) -> bool {
        (self.0)(path).is_some_and(|value| value.trim() != "0")
    }
}

/// What takes IPv6 away from `interface`, as `sysctl -w` takes it. With slashes, since names of
/// interfaces may have dots.
pub(super) fn without_v6(interface: &str) -> String {
    format!("net/ipv6/conf/{interface}/disable_ipv6=1")
}
