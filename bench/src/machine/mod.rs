//! The machine that figures belong to, and what about it may mislead.

mod mitigations;
mod processor;
mod tools;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::mitigations::mitigations;
use self::tools::version;

/// Above this load before the first measurement something else was at work.
pub const BUSY: f64 = 0.5;

/// What is written where the machine does not tell.
const UNKNOWN: &str = "unknown";

/// What decides about figures beside the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of its cores, or their threads, this process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Whether it is a virtual machine.
    pub virtualised: String,
    /// What chooses the clock's speed.
    pub governor: String,
    /// Whether the clock may go beyond its nominal speed.
    pub turbo: String,
    /// The kernel's release.
    pub kernel: String,
    /// Whether eBPF programs are compiled, and whether against attackers, which makes them slower.
    pub jit: String,
    /// What the kernel does against the processor's faults: what makes calls expensive.
    pub mitigations: String,
    /// How many processes wanted to run in the last minute, before anything was measured.
    pub load: f64,
    /// The same at the end, this program's own work included; none while it runs.
    pub load_after: Option<f64>,
    /// The version of iptables-legacy.
    pub iptables: String,
    /// The version of iptables-nft.
    pub iptables_nft: String,
    /// The version of nftables.
    pub nft: String,
    /// The version of ipset.
    pub ipset: String,
    /// The version of the compiler that is found now.
    pub rustc: String,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            processor: processor::name(&info).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory(&read("/proc/meminfo")),
            virtualised: processor::virtualised(&info).to_owned(),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            turbo: processor::turbo(Path::new("/sys/devices/system/cpu")).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease"),
            jit: jit(Path::new("/proc/sys/net/core")),
            mitigations: mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities")),
            load: load_now(),
            load_after: None,
            iptables: version("iptables-legacy"),
            iptables_nft: version("iptables-nft"),
            nft: version("nft"),
            ipset: version("ipset"),
            rustc: version("rustc"),
        }
    }

    /// Adds the load at the end.
    pub fn finish(&mut self) {
        self.load_after = Some(load_now());
    }

    /// Whether something else was at work before the first measurement, or nobody can say.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.load.is_nan() || self.load > BUSY
    }

    /// As lines of text: the few that belong beside every figure.
    #[must_use]
    pub fn lines(&self) -> String {
        let Self { processor, kernel, mitigations, load, jit, .. } = self;
        format!(
            "processor    {processor}\nkernel       {kernel}\njit          {jit}\nmitigations  {mitigations}\nload         {load}\n"
        )
    }

    /// What about this machine may make figures wrong, or unlike those of others; a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_busy() {
            let load = self.load;
            warnings.push(format!(
                "The machine was busy before the first measurement (load {load}, above {BUSY}): figures may be too high and unsteady."
            ));
        }
        if !self.jit.starts_with("on") {
            warnings.push(format!("eBPF programs are not compiled (JIT {}).", self.jit));
        }
        if self.jit.contains("hardened") {
            warnings.push("The JIT is hardened, which makes eBPF programs slower.".to_owned());
        }
        if self.governor != UNKNOWN && self.governor != "performance" {
            let governor = &self.governor;
            warnings.push(format!(
                "The governor `{governor}` changes the clock's speed while figures are taken."
            ));
        }
        if self.governor == UNKNOWN {
            warnings.push("Nothing tells what changes the clock's speed here, nor whether it changed while figures were taken.".to_owned());
        }
        if self.virtualised.starts_with("yes") {
            warnings.push("A virtual machine: its host's other guests share caches, memory and, unseen, time of the cores.".to_owned());
        }
        if self.cores < 3 {
            let cores = self.cores;
            warnings.push(format!("With {cores} cores, client, router and server share them with whatever else the machine does."));
        }
        warnings
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| UNKNOWN.to_owned(), |text| text.trim().to_owned())
}

fn load_now() -> f64 {
    let text = read("/proc/loadavg");
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

/// Bytes of memory in the text of `/proc/meminfo`, which counts in units of 1,024; 0 if it says
/// nothing.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

fn jit(folder: &Path) -> String {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u8>().ok();
    let is_on = match number("bpf_jit_enable") {
        None => return UNKNOWN.to_owned(),
        Some(0) => "off",
        Some(_) => "on",
    };
    // Linux Documentation/admin-guide/sysctl/net.rst: 1 is for the unprivileged only.
    let hardened = match number("bpf_jit_harden") {
        Some(0) => "",
        Some(1) => ", hardened for the unprivileged",
        Some(_) => ", hardened for all",
        None => ", hardening unknown",
    };
    format!("{is_on}{hardened}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20, "{machine:?}");
        assert_eq!(machine.load_after, None);
        assert!(machine.lines().starts_with("processor    "), "{}", machine.lines());
        assert!(machine.rustc.starts_with("rustc 1."), "{machine:?}");
    }

    #[test]
    fn what_may_mislead_is_said() {
        let mut machine = Machine::this();
        machine.load = 0.5;
        machine.jit = "on".to_owned();
        machine.governor = "performance".to_owned();
        machine.virtualised = "no".to_owned();
        machine.cores = 8;
        assert!(machine.warnings().is_empty(), "{:?}", machine.warnings());
        machine.load = 1.2;
        machine.jit = "off, hardened for all".to_owned();
        machine.governor = "powersave".to_owned();
        machine.virtualised = "yes".to_owned();
        machine.cores = 2;
        let warnings = machine.warnings();
        assert_eq!(warnings.len(), 6, "{warnings:#?}");
        assert!(machine.is_busy() && warnings[0].contains("load 1.2"), "{warnings:#?}");
        machine.load = f64::NAN;
        assert!(machine.is_busy(), "nobody can say");
    }

    #[test]
    fn memory_is_counted_in_bytes() {
        assert_eq!(memory("MemTotal:       24683656 kB\nMemFree: 1 kB\n"), 24_683_656 * 1024);
        assert_eq!(memory("nothing"), 0);
    }

    #[test]
    fn the_jit_is_on_off_or_hardened() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(jit(folder.path()), "unknown");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("bpf_jit_enable", "1\n");
        write("bpf_jit_harden", "0\n");
        assert_eq!(jit(folder.path()), "on");
        write("bpf_jit_harden", "2\n");
        assert_eq!(jit(folder.path()), "on, hardened for all");
        write("bpf_jit_enable", "0\n");
        assert_eq!(jit(folder.path()), "off, hardened for all");
    }
}
