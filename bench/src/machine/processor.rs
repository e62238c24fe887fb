//! What the processor says of itself.

use std::fs;
use std::path::Path;

/// Its name in the text of `/proc/cpuinfo`.
pub fn name(info: &str) -> &str {
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or(super::UNKNOWN, |rest| rest.trim_start_matches([' ', '\t', ':']))
}

/// Whether it runs under a hypervisor, by the flag that x86 hypervisors set; other processors have
/// no such flag.
pub fn virtualised(info: &str) -> &'static str {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags"));
    match flags {
        None => super::UNKNOWN,
        Some(flags) if flags.split_whitespace().any(|flag| flag == "hypervisor") => "yes",
        Some(_) => "no",
    }
}

/// Whether the clock may go beyond its nominal speed, by whichever driver is there.
pub fn turbo(folder: &Path) -> &'static str {
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let is_on = match (read("intel_pstate/no_turbo"), read("cpufreq/boost")) {
        (Ok(text), _) => text.trim() == "0",
        (_, Ok(text)) => text.trim() == "1",
        _ => return super::UNKNOWN,
    };
    if is_on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_told_by_its_flag() {
        let info = "model name\t: Some Processor 9\nflags\t\t: fpu vme hypervisor avx\n";
        assert_eq!((name(info), virtualised(info)), ("Some Processor 9", "yes"));
        assert_eq!(virtualised("flags\t\t: fpu vme\n"), "no");
        assert_eq!((name(""), virtualised("")), ("unknown", "unknown"));
    }

    #[test]
    fn turbo_is_read_from_either_driver() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(turbo(folder.path()), "unknown");
        fs::create_dir(folder.path().join("cpufreq")).unwrap();
        fs::write(folder.path().join("cpufreq/boost"), "1\n").unwrap();
        assert_eq!(turbo(folder.path()), "on");
        fs::create_dir(folder.path().join("intel_pstate")).unwrap();
        fs::write(folder.path().join("intel_pstate/no_turbo"), "1\n").unwrap();
        assert_eq!(turbo(folder.path()), "off");
    }
}
