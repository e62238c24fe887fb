//! Taking away what backends have installed.

use super::choice::BackendChoice;
use super::installed::InstalledPolicies;
use super::lock::Lock;
use super::{EnforceError, Paths, privilege};
use crate::backend::Backend;
use crate::backend::ebpf::{Ebpf, Pins};
use crate::backend::ipset::Ipset;
use crate::backend::iptables::{Iptables, Layout};
use crate::backend::nftables::Nftables;

/// What has been taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Hooks, a line each: the interface and the hook.
    pub hooks: Vec<String>,
    /// Everything else, a line each.
    pub steps: Vec<String>,
}

impl Removed {
    /// A line for each thing.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let hooks = self.hooks.iter().map(|hook| format!("hook {hook} detached"));
        hooks.chain(self.steps.iter().cloned())
    }
}

/// Takes away everything of ours, of every backend, and says what that was; nothing where nothing
/// of ours was there.
///
/// # Errors
///
/// [`EnforceError`]: the first, after everything has been tried.
pub fn off(paths: &Paths) -> Result<Option<Removed>, EnforceError> {
    privilege::check("off", privilege::needed_for_installed(paths))?;
    let _lock = Lock::take(&paths.lock())?;
    let mut taking = Taking { paths, removed: None, error: None };
    for place in PLACES {
        taking.away(place);
    }
    if let Some(error) = taking.error {
        return Err(error);
    }
    InstalledPolicies::remove(&paths.installed())?;
    Ok(taking.removed)
}

/// Takes away what is not where `chosen` keeps its own; in a dry run, says what that would be.
///
/// # Errors
///
/// [`EnforceError::Left`].
pub(super) fn others(
    paths: &Paths,
    chosen: BackendChoice,
    dry_run: bool,
) -> Result<Removed, EnforceError> {
    let mut taking = Taking { paths, removed: None, error: None };
    for place in PLACES.into_iter().filter(|place| !place.shares_place_with(chosen)) {
        if dry_run {
            taking.preview(place)?;
        } else {
            taking.away(place);
        }
    }
    match taking.error {
        None => Ok(taking.removed.unwrap_or_default()),
        Some(error) => {
            let source = Box::new(error);
            Err(EnforceError::Left { backend: chosen.name(), source })
        }
    }
}

/// A backend for each place where something can be installed.
const PLACES: [BackendChoice; 3] =
    [BackendChoice::Ebpf, BackendChoice::Ipset { variant: None }, BackendChoice::Nftables];

struct Taking<'a> {
    paths: &'a Paths,
    removed: Option<Removed>,
    error: Option<EnforceError>,
}

impl Taking<'_> {
    /// Takes away what is in one place. An error does not keep the other places from being tried.
    fn away(&mut self, place: BackendChoice) {
        let taken = match place {
            BackendChoice::Ebpf => remove(&mut Ebpf::new(Pins::below(self.paths.pins()))),
            BackendChoice::Iptables { .. } | BackendChoice::Ipset { .. } => {
                remove(&mut Ipset::new(self.paths.records(), None))
            }
            BackendChoice::Nftables => remove(&mut Nftables::new(&self.paths.records())),
        };
        match taken {
            Ok(None) => {}
            Ok(Some(lines)) => {
                let removed = self.removed.get_or_insert_default();
                match place {
                    BackendChoice::Ebpf => removed.hooks.extend(lines),
                    _ => removed.steps.extend(removed_lines(lines)),
                }
            }
            Err(error) => _ = self.error.get_or_insert(error),
        }
    }

    /// Says whether something is in one place.
    fn preview(&mut self, place: BackendChoice) -> Result<(), EnforceError> {
        let generation = match place {
            BackendChoice::Ebpf => Ebpf::new(Pins::below(self.paths.pins())).generation()?,
            BackendChoice::Iptables { .. } | BackendChoice::Ipset { .. } => {
                let layout = Layout::default();
                let iptables = Iptables::new(self.paths.records(), None, layout).generation()?;
                iptables.max(Ipset::new(self.paths.records(), None).generation()?)
            }
            BackendChoice::Nftables => Nftables::new(&self.paths.records()).generation()?,
        };
        if generation != 0 {
            let line = format!("removed: all of {}", place.place_name());
            self.removed.get_or_insert_default().steps.push(line);
        }
        Ok(())
    }
}

fn removed_lines(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("removed: {line}"))
}

fn remove<B: Backend>(backend: &mut B) -> Result<Option<Vec<String>>, EnforceError>
where
    EnforceError: From<B::Error>,
{
    Ok(backend.remove()?)
}
