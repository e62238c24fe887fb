//! What an apply has done, and how it is said.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{BackendChoice, PlacementWarning, Removed};
use crate::backend::{How, Mode};

/// Interfaces named in one line.
const INTERFACES: usize = 16;

/// What an apply has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What enforces.
    pub backend: BackendChoice,
    /// Policy name → what became of it; by name.
    pub policies: BTreeMap<String, Change>,
    /// What the user should know about where workloads are.
    pub warnings: Vec<PlacementWarning>,
    /// What the user should know about the host's other rules, in sentences.
    pub host_warnings: Vec<String>,
    /// Workloads on this host.
    pub local: usize,
    /// Workloads elsewhere, which are peers only.
    pub remote: usize,
    /// Policy entries, or rules and elements of sets, added, changed, removed.
    pub entries: [usize; 3],
    /// Policy entries of this host after the apply.
    pub policy_entries: usize,
    /// All entries of tables, or rules and elements of sets, after the apply.
    pub installed: usize,
    /// Entries of maps, or rules and elements of sets, written or removed by the apply.
    pub touched: usize,
    /// Bytes of kernel memory of the tables; nothing where only the kernel knows.
    pub bytes: Option<u64>,
    /// Hooks touched, a line each.
    pub hooks: Vec<String>,
    /// What was run, a line each.
    pub steps: Vec<String>,
    /// What another backend had installed and is gone.
    pub removed: Removed,
    /// Connections that the kernel knew and has forgotten because policy refuses them.
    pub revoked: usize,
    /// The generation that is installed now.
    pub generation: u32,
    /// How it was installed.
    pub how: How,
    /// The mode.
    pub mode: Mode,
    /// How long it took on the host.
    pub duration: Duration,
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
}

/// What became of a policy; the words are kubectl's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there before.
    Created,
    /// It says something else than before.
    Configured,
    /// It says what it said.
    Unchanged,
    /// It was there before and is no more.
    Pruned,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Pruned => "pruned",
        })
    }
}

/// What becomes of each policy, from the digests before and after.
pub(super) fn changes(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> BTreeMap<String, Change> {
    let pruned = before.keys().filter(|name| !after.contains_key(*name));
    let pruned = pruned.map(|name| (name.clone(), Change::Pruned));
    let change = |(name, digest): (&String, &String)| {
        let change = match before.get(name) {
            None => Change::Created,
            Some(old) if old == digest => Change::Unchanged,
            Some(_) => Change::Configured,
        };
        (name.clone(), change)
    };
    after.iter().map(change).chain(pruned).collect()
}

impl Summary {
    /// The lines that `ringfence apply` prints.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let dry = if self.dry_run { " (dry run)" } else { "" };
        let mut lines: Vec<String> =
            self.policies.iter().map(|(name, change)| format!("{name} {change}{dry}")).collect();
        lines.extend(self.hook_lines().map(|line| format!("{line}{dry}")));
        lines.extend(self.steps.iter().map(|step| format!("{step}{dry}")));
        lines.extend(self.removed.lines().map(|line| format!("{line}{dry}")));
        lines.push(self.plan_line());
        lines.push(self.result_line());
        lines
    }

    /// One line for what was done at a hook, with the interfaces it was done to.
    fn hook_lines(&self) -> impl Iterator<Item = String> {
        let mut by_deed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for hook in &self.hooks {
            let (interface, deed) = hook.split_once(' ').unwrap_or(("", hook));
            by_deed.entry(deed).or_default().push(interface);
        }
        by_deed.into_iter().map(|(deed, interfaces)| {
            let shown = interfaces[..interfaces.len().min(INTERFACES)].join(", ");
            match interfaces.len().checked_sub(INTERFACES) {
                None | Some(0) => format!("hook {deed}: {shown}"),
                Some(more) => format!("hook {deed}: {shown} and {more} more"),
            }
        })
    }

    fn plan_line(&self) -> String {
        let [add, change, remove] = self.entries;
        let (installed, policy) = (thousands(self.installed), thousands(self.policy_entries));
        let installed = match self.bytes {
            Some(bytes) => format!("{installed} map entries ({policy} policy), {}", memory(bytes)),
            None => format!("{installed} {} (policy entries: {policy})", self.units()),
        };
        let (local, all) = (self.local, self.local + self.remote);
        format!(
            "Plan: {add} to add, {change} to change, {remove} to remove; {installed}; {local} of \
             {all} workloads on this host"
        )
    }

    fn result_line(&self) -> String {
        let milliseconds = self.duration.as_secs_f64() * 1e3;
        if self.dry_run {
            return format!("Dry run: nothing changed ({milliseconds:.1} ms)");
        }
        let how = match self.how {
            How::Nothing => "nothing to do",
            How::InPlace => "changed in place",
            How::Switched => "switched as a whole",
        };
        let backend = match self.backend {
            BackendChoice::Ebpf => String::new(),
            other => format!(", {}", other.name()),
        };
        let revoked = match self.revoked {
            0 => String::new(),
            1 => "; 1 connection revoked".to_owned(),
            more => format!("; {} connections revoked", thousands(more)),
        };
        format!(
            "Generation {} ({}{backend}), {how}: {} {} touched in {milliseconds:.1} ms{revoked}",
            self.generation,
            self.mode,
            thousands(self.touched),
            self.units(),
        )
    }

    /// What is counted.
    fn units(&self) -> &'static str {
        match self.backend {
            BackendChoice::Ebpf => "map entries",
            BackendChoice::Iptables { .. } => "rules",
            BackendChoice::Ipset { .. } | BackendChoice::Nftables => "rules and elements",
        }
    }
}

/// A number with commas: `10,432`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that fits.
fn memory(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_compared_by_digest() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let before = map(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = map(&[("b", "1"), ("c", "2"), ("d", "1")]);
        let changes: Vec<_> = changes(&before, &after).into_iter().collect();
        let expected = [
            ("a", Change::Pruned),
            ("b", Change::Unchanged),
            ("c", Change::Configured),
            ("d", Change::Created),
        ];
        assert_eq!(changes, expected.map(|(name, change)| (name.to_owned(), change)));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(memory(1), "1 KiB");
        assert_eq!(memory(3 << 20), "3.0 MiB");
    }
}
