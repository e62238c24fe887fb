//! Whether this process may change the host.

use std::fs;
use std::io;

use super::{BackendChoice, EnforceError, Paths};

/// Capabilities by number (include/uapi/linux/capability.h). `CAP_SYS_ADMIN` is among them because
/// the kernel opens maps and programs by their number only to those who have it
/// (`BPF_MAP_GET_FD_BY_ID` in kernel/bpf/syscall.c); it stands for `CAP_BPF` and `CAP_PERFMON`.
pub(super) const ALL: &[Capability] = &[NET_ADMIN, (21, "CAP_SYS_ADMIN")];

const NET_ADMIN: Capability = (12, "CAP_NET_ADMIN");

/// Number and name.
pub(super) type Capability = (u32, &'static str);

/// What installing by `backend` takes; tools say themselves what else they need.
pub(super) const fn needed(backend: BackendChoice) -> &'static [Capability] {
    if backend.is_chains() { &[NET_ADMIN] } else { ALL }
}

/// What reading or taking away all that is installed takes. Only programs that are pinned take more
/// than chains do; pins that cannot be looked for may be there.
pub(super) fn needed_for_installed(paths: &Paths) -> &'static [Capability] {
    match fs::read_dir(paths.pins()).map(|mut pins| pins.next().is_none()) {
        Ok(true) => &[NET_ADMIN],
        Err(error) if error.kind() == io::ErrorKind::NotFound => &[NET_ADMIN],
        Ok(false) | Err(_) => ALL,
    }
}

/// Whether this process has the capabilities `needed` for `what`.
///
/// # Errors
///
/// [`EnforceError::NotPrivileged`] naming the capabilities that are missing.
pub(super) fn check(what: &'static str, needed: &[Capability]) -> Result<(), EnforceError> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).map_err(|source| EnforceError::File {
        verb: "read",
        path: path.into(),
        source,
    })?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    let missing = missing(effective.unwrap_or(0), needed);
    if missing.is_empty() {
        return Ok(());
    }
    Err(EnforceError::NotPrivileged { what, missing: missing.join(", ") })
}

fn missing(effective: u64, needed: &[Capability]) -> Vec<&'static str> {
    let is_missing = |&&(number, _): &&Capability| effective & (1 << number) == 0;
    needed.iter().filter(is_missing).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_is_asked_for() {
        let programs = needed(BackendChoice::Ebpf);
        assert_eq!(missing(0, programs), ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
        assert_eq!(missing(1 << 12 | 1 << 39, programs), ["CAP_SYS_ADMIN"]);
        assert_eq!(missing(1 << 12 | 1 << 21, programs), [""; 0]);
    }

    #[test]
    fn programs_are_cared_for_only_where_some_are_pinned() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path());
        assert_eq!(needed_for_installed(&paths), [NET_ADMIN]);
        fs::create_dir_all(paths.pins()).unwrap();
        assert_eq!(needed_for_installed(&paths), [NET_ADMIN]);
        fs::create_dir(paths.pins().join("links")).unwrap();
        assert_eq!(needed_for_installed(&paths), ALL);
    }
}
