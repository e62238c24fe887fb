//! What is enforced on this host, read from the kernel.

use std::collections::BTreeMap;

use ringfence_common::abi::event::Counter;

use super::installed::InstalledPolicies;
use super::{BackendChoice, EnforceError, Paths, privilege};
use crate::backend::ebpf::{Ebpf, Foreign, Pins};
use crate::backend::ipset::Ipset;
use crate::backend::iptables::{Iptables, Layout};
use crate::backend::nftables::Nftables;
use crate::backend::{Arrival, Backend, Counters, Installed, Interface, Role};

/// What is enforced on this host by one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `ebpf`, `iptables`, `ipset` or `nftables`.
    pub backend: &'static str,
    /// The installed generation, its hooks or chains, and how full its maps or sets are.
    pub installed: Installed,
    /// Counters.
    pub counters: Counters,
    /// Policies of the installed generation; nothing if the file that names them is not of it.
    pub policies: Option<Vec<String>>,
    /// Rules that have decided packets, most packets first.
    pub rules: Vec<RuleStatus>,
    /// Programs of others on our interfaces.
    pub foreign: Vec<Foreign>,
}

/// A rule and what it has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStatus {
    /// Its number.
    pub number: u32,
    /// What it stands for; its number in words where that is not known.
    pub name: String,
    /// Packets and bytes.
    pub count: Counter,
}

/// Reads what is enforced, by each backend that enforces something: that is one, or two after an
/// apply that could not take away what was there before.
///
/// # Errors
///
/// [`EnforceError`] when it cannot be read.
pub fn status(paths: &Paths) -> Result<Vec<Status>, EnforceError> {
    let (all, unreadable) = readable_status(paths)?;
    unreadable.map_or(Ok(all), Err)
}

/// As [`status`], with the backends that can be read although others cannot, and why not.
///
/// # Errors
///
/// [`EnforceError`] when nothing can be read.
pub fn readable_status(paths: &Paths) -> Result<(Vec<Status>, Option<EnforceError>), EnforceError> {
    privilege::check("status", privilege::needed_for_installed(paths))?;
    let known = InstalledPolicies::read(&paths.installed())?;
    let known = known.as_ref();
    let iptables = BackendChoice::Iptables { variant: None, layout: Layout::default() };
    let backend = Iptables::new(paths.records(), None, Layout::default());
    let ipset = Ipset::new(paths.records(), None);
    let nftables = Nftables::new(&paths.records());
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for read in [
        of_programs(&Ebpf::new(Pins::below(paths.pins())), known),
        of(&backend, iptables, known),
        of(&ipset, BackendChoice::Ipset { variant: None }, known),
        of(&nftables, BackendChoice::Nftables, known),
    ] {
        match read {
            Ok(status) => all.extend(status),
            Err(error) => errors.push(error),
        }
    }
    Ok((all, EnforceError::of_all(errors)))
}

/// What programs enforce, and which others there are beside them.
fn of_programs(
    ebpf: &Ebpf,
    known: Option<&InstalledPolicies>,
) -> Result<Option<Status>, EnforceError> {
    let Some(mut status) = of(ebpf, BackendChoice::Ebpf, known)? else { return Ok(None) };
    status.foreign = ebpf.foreign(&interfaces(&status.installed))?;
    Ok(Some(status))
}

/// What one backend enforces.
fn of<B: Backend>(
    backend: &B,
    choice: BackendChoice,
    known: Option<&InstalledPolicies>,
) -> Result<Option<Status>, EnforceError>
where
    EnforceError: From<B::Error>,
{
    let Some(installed) = backend.read_back()? else { return Ok(None) };
    // Where everything of ours is gone, nothing counts, and that it is gone has to be told.
    let counters = backend.counters()?.unwrap_or_default();
    let known = known.filter(|known| {
        known.backend == choice.name() && known.numbers.generation == installed.generation
    });
    Ok(Some(Status {
        backend: choice.name(),
        rules: rules(&counters, known),
        policies: known.map(|known| known.policies.keys().cloned().collect()),
        installed,
        counters,
        foreign: Vec::new(),
    }))
}

fn rules(counters: &Counters, known: Option<&InstalledPolicies>) -> Vec<RuleStatus> {
    let name = |number: u32| {
        let described = known.and_then(|known| known.numbers.rules.get(&number));
        described.map_or_else(|| format!("rule {number}"), |rule| rule.name.clone())
    };
    let used = counters.rules.iter().filter(|(_, count)| count.packets > 0);
    let mut rules: Vec<RuleStatus> = used
        .map(|(number, count)| RuleStatus { number: *number, name: name(*number), count: *count })
        .collect();
    rules.sort_by(|a, b| (b.count.packets, &a.name).cmp(&(a.count.packets, &b.name)));
    rules
}

/// The interfaces our hooks are on.
fn interfaces(installed: &Installed) -> Vec<Interface> {
    let alive = installed.attached.iter().filter(|attached| attached.alive);
    let by_index: BTreeMap<u32, &str> =
        alive.map(|attached| (attached.ifindex, attached.interface.as_str())).collect();
    let interface = |(index, name): (u32, &str)| Interface {
        index,
        name: name.to_owned(),
        role: Role::Workload,
        endpoints: [].into(),
        arrival: Arrival::Tcx,
    };
    by_index.into_iter().map(interface).collect()
}
