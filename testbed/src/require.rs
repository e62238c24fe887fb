//! What a test needs from the machine, and how it says that the machine does not have it.
//!
//! ```no_run
//! use ringfence_testbed::require;
//!
//! // #[test]
//! fn a_test_that_attaches_programs() {
//!     let Some(_granted) = require::kernel() else { return };
//! }
//! ```
//!
//! A test whose requirement is missing must not look like one that passed. So the guard writes a
//! line to the file named by [`SKIPS_VARIABLE`], which `scripts/test` counts and prints. Where
//! [`STRICT_VARIABLE`] is `1`, as in CI, a missing requirement is a panic instead.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The environment variable that names the file to which skips are appended, one per line:
/// test binary, test name and reason, separated by tabs.
pub const SKIPS_VARIABLE: &str = "RINGFENCE_SKIPS";

/// The environment variable that makes a missing requirement a failure when it is `1`.
pub const STRICT_VARIABLE: &str = "REQUIRE_PRIVILEGED";

/// Capabilities that attaching programs and making namespaces takes, with their bit in the masks
/// of `/proc/self/status` (Linux `include/uapi/linux/capability.h`).
const CAPABILITIES: &[(&str, u32)] =
    &[("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_SYS_ADMIN", 21), ("CAP_BPF", 39)];

/// Where the tools are, also for a user whose `PATH` has only what everybody uses.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The first kernel with tcx links (Linux commit e420bed02507).
const OLDEST_KERNEL: (u32, u32) = (6, 6);

/// A tool of the kernel's packet filters, whose rules the backends write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `iptables` in its variant for the kernel's older interface.
    IptablesLegacy,
    /// `iptables` in its variant for nf_tables.
    IptablesNft,
    /// `ipset`.
    Ipset,
    /// `nft`.
    Nft,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::IptablesLegacy, Self::IptablesNft, Self::Ipset, Self::Nft];

    /// The commands that have to be there, and Debian's package that has them.
    const fn commands(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::IptablesLegacy => {
                (&["iptables-legacy-restore", "ip6tables-legacy-restore"], "iptables")
            }
            Self::IptablesNft => (&["iptables-nft-restore", "ip6tables-nft-restore"], "iptables"),
            Self::Ipset => (&["ipset"], "ipset"),
            Self::Nft => (&["nft"], "nftables"),
        }
    }
}

/// Proof that a requirement was looked at and is met.
#[derive(Debug)]
pub struct Granted(());

/// Grants when this process may make network namespaces, send raw packets and load programs into
/// the kernel; otherwise records a skip of the running test.
///
/// # Panics
///
/// When the requirement is missing and [`STRICT_VARIABLE`] is `1`, or when the skip cannot be
/// recorded: a skip must never go unseen.
#[must_use = "a test must return when its requirement is not granted"]
pub fn privileged() -> Option<Granted> {
    granted(check_capabilities())
}

/// Grants when, besides [`privileged`], the kernel has what the eBPF backend uses: BTF, the file
/// system for pins, and tcx links. Otherwise records a skip of the running test.
///
/// # Panics
///
/// As [`privileged`].
#[must_use = "a test must return when its requirement is not granted"]
pub fn kernel() -> Option<Granted> {
    granted(check_capabilities().and_then(|()| check_kernel()))
}

/// Grants when, besides [`privileged`], `tools` are installed: [`Tool::ALL`] for a test of all rule
/// chains. Otherwise records a skip of the running test.
///
/// # Panics
///
/// As [`privileged`].
#[must_use = "a test must return when its requirement is not granted"]
pub fn tools(tools: &[Tool]) -> Option<Granted> {
    granted(check_capabilities().and_then(|()| check_tools(tools)))
}

/// What [`privileged`] would miss, in words; nothing if it would grant.
#[must_use]
pub fn missing_for_namespaces() -> Option<String> {
    check_capabilities().err().map(|missing| missing.to_string())
}

/// What [`kernel`] would miss, in words; nothing if it would grant. For commands, which say it and
/// end, where tests are skipped.
#[must_use]
pub fn missing_for_kernel() -> Option<String> {
    let check = check_capabilities().and_then(|()| check_kernel());
    check.err().map(|missing| missing.to_string())
}

/// What [`tools`] would miss, in words; nothing if it would grant.
#[must_use]
pub fn missing_for_tools(tools: &[Tool]) -> Option<String> {
    let check = check_capabilities().and_then(|()| check_tools(tools));
    check.err().map(|missing| missing.to_string())
}

/// Why a requirement is not met.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    Capability(&'static str),
    Btf,
    PinFileSystem,
    Kernel(String),
    Command { name: &'static str, package: &'static str },
    Unreadable(&'static str),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(name) => write!(f, "{name} is missing: run this as root"),
            Self::Btf => f.write_str("the kernel has no BTF (/sys/kernel/btf/vmlinux)"),
            Self::PinFileSystem => f.write_str("the kernel has no file system `bpf`"),
            Self::Kernel(release) => {
                let (major, minor) = OLDEST_KERNEL;
                write!(f, "kernel {release} is older than {major}.{minor}")
            }
            Self::Command { name, package } => {
                write!(f, "`{name}` is missing: `apt-get install {package}` brings it")
            }
            Self::Unreadable(path) => write!(f, "`{path}` cannot be read"),
        }
    }
}

fn granted(check: Result<(), Missing>) -> Option<Granted> {
    let Err(missing) = check else { return Some(Granted(())) };
    let strict = std::env::var_os(STRICT_VARIABLE).is_some_and(|value| value == "1");
    assert!(!strict, "{STRICT_VARIABLE}=1, and {missing}");
    let test = std::thread::current().name().unwrap_or("a test without a name").to_owned();
    eprintln!("skipped {test}: {missing}");
    if let Some(file) = std::env::var_os(SKIPS_VARIABLE) {
        record(Path::new(&file), &test, &missing)
            .unwrap_or_else(|error| panic!("cannot record a skip in {}: {error}", file.display()));
    }
    None
}

/// Appends one line to `file` in one write, since several test binaries may do so at once.
fn record(file: &Path, test: &str, missing: &Missing) -> io::Result<()> {
    let binary = std::env::current_exe()?;
    let binary = binary.file_stem().unwrap_or_default().display();
    let line = format!("{binary}\t{test}\t{missing}\n");
    OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())
}

fn check_capabilities() -> Result<(), Missing> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).map_err(|_| Missing::Unreadable(path))?;
    let effective = effective_capabilities(&status).ok_or(Missing::Unreadable(path))?;
    match CAPABILITIES.iter().find(|(_, bit)| effective & (1 << bit) == 0) {
        Some((name, _)) => Err(Missing::Capability(name)),
        None => Ok(()),
    }
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn check_kernel() -> Result<(), Missing> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(Missing::Btf);
    }
    let path = "/proc/filesystems";
    let file_systems = fs::read_to_string(path).map_err(|_| Missing::Unreadable(path))?;
    if !file_systems.lines().any(|line| line.split_whitespace().last() == Some("bpf")) {
        return Err(Missing::PinFileSystem);
    }
    let path = "/proc/sys/kernel/osrelease";
    let release = fs::read_to_string(path).map_err(|_| Missing::Unreadable(path))?;
    if is_new_enough(&release) { Ok(()) } else { Err(Missing::Kernel(release.trim().to_owned())) }
}

fn check_tools(tools: &[Tool]) -> Result<(), Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    let folders: Vec<PathBuf> = folders.collect();
    tools.iter().try_for_each(|tool| {
        let (commands, package) = tool.commands();
        check_commands(commands, package, &folders)
    })
}

fn check_commands(
    commands: &[&'static str],
    package: &'static str,
    folders: &[PathBuf],
) -> Result<(), Missing> {
    let is_missing = |name: &&str| !folders.iter().any(|folder| folder.join(name).exists());
    match commands.iter().copied().find(is_missing) {
        Some(name) => Err(Missing::Command { name, package }),
        None => Ok(()),
    }
}

/// Whether a kernel release such as `6.18.5-generic` is not older than [`OLDEST_KERNEL`].
fn is_new_enough(release: &str) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= OLDEST_KERNEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_capabilities_and_no_others() {
        let status = "CapInh:\t0000000000000001\nCapPrm:\t0000000000000002\n\
                      CapEff:\t000001ffffffffff\nCapBnd:\t0000000000000004\n";
        assert_eq!(effective_capabilities(status), Some(0x1ff_ffff_ffff));
        assert_eq!(effective_capabilities("CapPrm:\t0000000000000002\n"), None);
        assert_eq!(effective_capabilities("CapEff:\tmany\n"), None);
    }

    #[test]
    fn a_missing_command_is_named_with_its_package() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a-command"), "").unwrap();
        let found = |names| check_commands(names, "its-package", &[folder.path().to_owned()]);
        assert_eq!(found(&["a-command"]), Ok(()));
        let missing = found(&["a-command", "another"]).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "`another` is missing: `apt-get install its-package` brings it"
        );
    }

    #[test]
    fn compares_releases_by_number() {
        for (release, new_enough) in [
            ("6.6.0\n", true),
            ("6.18.5-generic\n", true),
            ("7.0-rc1", true),
            ("6.5.13", false),
            ("5.15.0-91-generic", false),
            ("6", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(release), new_enough, "release `{release}`");
        }
    }

    #[test]
    fn each_skip_is_one_line_with_binary_test_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skips");
        record(&file, "first", &Missing::Capability("CAP_BPF")).unwrap();
        record(&file, "second", &Missing::Kernel("5.4.0".to_owned())).unwrap();

        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let [first, second] = lines.as_slice() else { panic!("two skips wrote {text:?}") };
        assert!(first[0].starts_with("ringfence_testbed"), "binary in {text:?}");
        assert_eq!(first[1..], ["first", "CAP_BPF is missing: run this as root"]);
        assert_eq!(second[1..], ["second", "kernel 5.4.0 is older than 6.6"]);
    }
}
