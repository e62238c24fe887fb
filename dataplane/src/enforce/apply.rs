//! Applying tables to this host.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::choice::BackendChoice;
use super::desired::desired;
use super::host::HostView;
use super::installed::{InstalledPolicies, Unwritten};
use super::lock::Lock;
use super::off::{self, Removed};
use super::placement::{Placement, place};
use super::summary::{Summary, changes};
use super::{EnforceError, Paths, privilege};
use crate::backend::conntrack::{self, ConntrackError};
use crate::backend::ebpf::{Ebpf, Pins};
use crate::backend::ipset::Ipset;
use crate::backend::iptables::{Iptables, Layout};
use crate::backend::nftables::Nftables;
use crate::backend::{Applied, Backend, Desired, Mode, Settings};
use crate::compile::Tables;

/// How tables are to be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which backend enforces.
    pub backend: BackendChoice,
    /// Whether denials are denied.
    pub mode: Mode,
    /// Which hooks, where there are hooks.
    pub hook: HookChoice,
    /// Everything else.
    pub settings: Settings,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// Which hook sees the frames that arrive on an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookChoice {
    /// tcx where workloads are, XDP on uplinks: the cheaper one of each.
    #[default]
    Auto,
    /// tcx everywhere.
    Tcx,
    /// XDP everywhere.
    Xdp,
}

/// Makes this host behave as `tables` say. `policies` are the names of the policies that they
/// were made of, each with the digest of what it says.
///
/// What another backend has installed is taken away after this one is in force; in between both
/// enforce. Where chains enforce, connections that the kernel knows and that policy refuses now
/// are forgotten by it, so that policy is asked at their next packet (semantics 3).
///
/// # Errors
///
/// [`EnforceError`]; the host behaves as before then, unless what failed came after the change.
/// The rest was done nevertheless then: [`EnforceError::NotKept`], [`EnforceError::NotFinished`],
/// [`EnforceError::NotRevoked`], [`EnforceError::Left`], or several of them in
/// [`EnforceError::Several`].
pub fn apply(
    paths: &Paths,
    tables: &Tables,
    policies: &BTreeMap<String, String>,
    options: &Options,
) -> Result<Summary, EnforceError> {
    privilege::check("apply", privilege::needed(options.backend))?;
    let started = Instant::now();
    let _lock = Lock::take(&paths.lock())?;
    let placement = place(tables, &HostView::read()?)?;
    let mut desired = desired(tables, &placement, options)?;
    let known = InstalledPolicies::read(&paths.installed())?;
    if options.backend.is_chains() {
        let is_installed = known.is_none() && is_installed(paths, options.backend);
        let seconds = if is_installed { 0 } else { options.settings.pick_up_seconds };
        let until = pick_up_until(known.as_ref(), now(), seconds);
        let is_open = until.is_some_and(|until| until > now());
        // What is revoked would come back as a connection that nobody has seen begin.
        let is_closed = is_open && refuses_known(&desired)?;
        desired.settings.pick_up_until = until.filter(|_| !is_closed);
    }
    let change = Change { paths, options, policies, desired: &desired, known: known.as_ref() };
    let Made { applied, before, mut errors } = match options.backend {
        BackendChoice::Ebpf => change.make(&mut Ebpf::new(Pins::below(paths.pins())))?,
        BackendChoice::Iptables { variant, layout } => {
            change.make(&mut Iptables::new(paths.records(), variant, layout))?
        }
        BackendChoice::Ipset { variant } => {
            change.make(&mut Ipset::new(paths.records(), variant))?
        }
        BackendChoice::Nftables => change.make(&mut Nftables::new(&paths.records()))?,
    };
    let revoked = match options.backend.is_chains() && !options.dry_run {
        true => revoke(&desired, options.backend),
        false => Ok(0),
    };
    let revoked = revoked.unwrap_or_else(|error| {
        errors.push(error);
        0
    });
    let removed = off::others(paths, options.backend, options.dry_run);
    let removed = removed.unwrap_or_else(|error| {
        errors.push(error);
        Removed::default()
    });
    EnforceError::of_all(errors).map_or(Ok(()), Err)?;
    let summary = change.summary(applied, before, placement, started);
    Ok(Summary { removed, revoked, ..summary })
}

/// Until when connections that are older than the chains are picked up. Chains that have been
/// there all along have seen every connection begin, and keep the time that was said first, so that
/// the same again is no change; programs track connections by themselves, so the kernel may not
/// know those that began under them.
fn pick_up_until(known: Option<&InstalledPolicies>, now: u64, seconds: u32) -> Option<u64> {
    match known {
        Some(known) if known.backend != BackendChoice::Ebpf.name() => known.pick_up_until,
        _ => (seconds > 0).then(|| now + u64::from(seconds)),
    }
}

/// Whether chains are installed where `backend` has its own, whether or not anything describes them:
/// they have seen every connection begin. Chains that cannot be looked at may be there.
fn is_installed(paths: &Paths, backend: BackendChoice) -> bool {
    let (records, layout) = (paths.records(), Layout::default());
    match backend {
        BackendChoice::Ebpf => false,
        BackendChoice::Iptables { variant, .. } | BackendChoice::Ipset { variant } => {
            let iptables = Iptables::new(records.clone(), variant, layout).read_back();
            !matches!((iptables, Ipset::new(records, variant).read_back()), (Ok(None), Ok(None)))
        }
        BackendChoice::Nftables => !matches!(Nftables::new(&records).read_back(), Ok(None)),
    }
}

/// Whether the kernel knows connections that `desired` refuses.
fn refuses_known(desired: &Desired) -> Result<bool, EnforceError> {
    match conntrack::refused(desired) {
        Ok(refused) => Ok(refused > 0),
        Err(ConntrackError::NotTracked) => Ok(false),
        Err(source) => Err(EnforceError::Connections(source)),
    }
}

/// Has the kernel forget the connections that it knows and `desired` refuses; how many.
fn revoke(desired: &Desired, backend: BackendChoice) -> Result<usize, EnforceError> {
    match conntrack::revoke(desired) {
        Ok(revoked) => Ok(revoked.deleted),
        // Nothing passes because it is known.
        Err(ConntrackError::NotTracked) => Ok(0),
        Err(source) => Err(EnforceError::NotRevoked { backend: backend.name(), source }),
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A change of the host that is about to be made.
struct Change<'a> {
    paths: &'a Paths,
    options: &'a Options,
    policies: &'a BTreeMap<String, String>,
    desired: &'a Desired,
    known: Option<&'a InstalledPolicies>,
}

/// What came of a change.
struct Made {
    applied: Applied,
    /// The policies of before.
    before: BTreeMap<String, String>,
    /// What went wrong after the change.
    errors: Vec<EnforceError>,
}

impl Change<'_> {
    /// Makes the change, or in a dry run says what it would be.
    fn make<B: Backend>(&self, backend: &mut B) -> Result<Made, EnforceError>
    where
        EnforceError: From<B::Error>,
    {
        let generation = backend.generation()?;
        let is_own = |known: &&InstalledPolicies| known.backend == self.options.backend.name();
        let is_current = |known: &&InstalledPolicies| known.numbers.generation == generation;
        let enforced = self.known.filter(|known| !is_own(known) || is_current(known));
        let before = enforced.map(|known| known.policies.clone()).unwrap_or_default();
        let numbers = enforced.filter(is_own).map(|known| &known.numbers);
        if self.options.dry_run {
            let applied = backend.preview(self.desired, numbers)?;
            return Ok(Made { applied, before, errors: Vec::new() });
        }
        let file = Unwritten::prepare(&self.paths.installed())?;
        let applied = backend.apply(self.desired, numbers)?;
        let (numbers, policies) = (applied.numbers.clone(), self.policies.clone());
        let mut installed = InstalledPolicies::new(self.options.backend, numbers, policies);
        installed.pick_up_until = self.desired.settings.pick_up_until;
        let name = self.options.backend.name();
        let not_finished =
            |why: &String| EnforceError::NotFinished { backend: name, why: why.clone() };
        let mut errors: Vec<EnforceError> = applied.left_undone.iter().map(not_finished).collect();
        if let Err(error) = file.write(&installed) {
            errors.push(EnforceError::NotKept { backend: name, source: Box::new(error) });
        }
        Ok(Made { applied, before, errors })
    }

    fn summary(
        &self,
        applied: Applied,
        before: BTreeMap<String, String>,
        placement: Placement,
        started: Instant,
    ) -> Summary {
        let Self { options, desired, .. } = self;
        Summary {
            backend: options.backend,
            policies: changes(&before, self.policies),
            warnings: placement.warnings,
            host_warnings: applied.warnings,
            local: placement.endpoints.len(),
            remote: placement.remote.len(),
            entries: applied.policy,
            policy_entries: desired.tables.policy.len(),
            installed: applied.entries,
            touched: applied.entries_touched,
            bytes: (!options.backend.is_chains()).then(|| desired.tables.size().bytes()),
            hooks: applied.hooks,
            steps: applied.steps,
            removed: Removed::default(),
            revoked: 0,
            generation: applied.numbers.generation,
            how: applied.how,
            mode: options.mode,
            duration: started.elapsed(),
            dry_run: options.dry_run,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Numbers;

    #[test]
    fn connections_are_picked_up_when_chains_are_new_and_never_longer() {
        let known = |backend, pick_up_until| {
            let mut known = InstalledPolicies::new(backend, Numbers::default(), BTreeMap::new());
            known.pick_up_until = pick_up_until;
            known
        };
        let (programs, chains) = (BackendChoice::Ebpf, BackendChoice::Nftables);
        for (known, seconds, expected) in [
            (None, 60, Some(1_060)),
            (None, 0, None),
            // The kernel may not know what began under programs.
            (Some(known(programs, None)), 60, Some(1_060)),
            (Some(known(chains, Some(1_030))), 60, Some(1_030)),
            (Some(known(chains, Some(900))), 60, Some(900)),
            (Some(known(chains, None)), 60, None),
        ] {
            let until = pick_up_until(known.as_ref(), 1_000, seconds);
            assert_eq!(until, expected, "{known:?}, {seconds} s");
        }
    }
}
