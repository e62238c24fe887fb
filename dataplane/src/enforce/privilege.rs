//! Whether this process may change the host.

use std::fs;

use super::EnforceError;

/// Capabilities by number (include/uapi/linux/capability.h).
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// `CAP_SYS_ADMIN` stands for the newer two.
const SYS_ADMIN: u32 = 21;

/// Whether this process has what it takes to load and attach programs.
///
/// # Errors
///
/// [`EnforceError::NotPrivileged`] naming the capabilities that are missing.
pub(super) fn check(what: &'static str) -> Result<(), EnforceError> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).map_err(|source| EnforceError::File {
        verb: "read",
        path: path.into(),
        source,
    })?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    let missing = missing(effective.unwrap_or(0));
    if missing.is_empty() {
        return Ok(());
    }
    Err(EnforceError::NotPrivileged { what, missing: missing.join(", ") })
}

fn missing(effective: u64) -> Vec<&'static str> {
    let has = |number: u32| effective & (1 << number) != 0;
    let stands_in = |number: u32| number >= 38 && has(SYS_ADMIN);
    let is_missing = |&(number, _): &(u32, &str)| !(has(number) || stands_in(number));
    NEEDED.into_iter().filter(is_missing).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn each_capability_is_asked_for() {
        assert_eq!(missing(0), ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"]);
        assert_eq!(missing(1 << 12 | 1 << 39), ["CAP_PERFMON"]);
        assert_eq!(missing(1 << 12 | 1 << 21), [""; 0]);
    }
}
