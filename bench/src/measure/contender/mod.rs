//! Contenders whose rules change while the measurement looks.
//!
//! Goals: (a) what is timed is what a user waits for, and nothing that can be done before; (b) each
//! contender is changed by the shortest way that it offers, and by the usual one; (c) nothing runs
//! for ever.
//!
//! Design. A [`Changing`] stands on the host of a [`Scene`]. A change is prepared first: texts are
//! written, differences reckoned, and only then made and timed (a). The ways are [`Form`]s (b).
//! Processes are ended at a limit; Ringfence's own tools end theirs by themselves after two minutes
//! ([`ringfence_dataplane::backend::tool::LONGEST`]), so a case whose installation has taken longer
//! than the limit is given up there (c).

mod bare;
mod chains;
mod ebpf;
mod form;
mod ready;
mod standing;
mod userspace;

use std::time::{Duration, Instant};

use ringfence_dataplane::enforce::BackendChoice;
use ringfence_testbed::lab::{Contender, options};
use ringfence_testbed::require::{self, Tool};
use ringfence_testbed::topology::Wiring;

use super::scene::{Scene, State};
use crate::kernel::MeasureError;

pub use self::form::{Direction, Form};
pub use self::standing::Standing;

/// A contender on the host of a scene, whose calls are all made there.
pub trait Changing {
    /// The ways in which its rules can be changed.
    fn forms(&self) -> &'static [Form];

    /// Makes `state` what holds, in whatever way.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    fn reset(&mut self, state: State) -> Result<(), MeasureError>;

    /// Makes what [`Changing::reset`] to `state` takes, as far as that is in this process.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    fn know(&mut self, _state: State) -> Result<(), MeasureError> {
        Ok(())
    }

    /// Prepares a change, so that nothing but the change is left to do.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    fn prepare(&mut self, form: Form, direction: Direction) -> Result<(), MeasureError>;

    /// Makes the change that was prepared, and returns when its maker says that it is done.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    fn change(&mut self) -> Result<Call, MeasureError>;

    /// What the processes of the change that was prepared take by themselves: as many, of the same
    /// program, that do nothing. Nothing where the change takes no process.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    fn processes_alone(&self) -> Result<Option<Duration>, MeasureError> {
        Ok(None)
    }

    /// What the kernel says that it keeps for the contender, in bytes, where it says so exactly.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    fn exact_memory(&mut self) -> Result<Option<u64>, MeasureError> {
        Ok(None)
    }

    /// What this process has allocated for the contender's standing policy, over one that lets nobody
    /// in; nothing of a contender that needs no process. To be asked before any rules were there,
    /// since some of what they take stays when they go.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    fn process_memory(&mut self) -> Result<Option<u64>, MeasureError> {
        Ok(None)
    }
}

/// When a change was begun, and when its maker said that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it was begun.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
}

impl Call {
    /// Times what a change is.
    fn time<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<Self, E> {
        let began = Instant::now();
        work()?;
        Ok(Self { began, took: began.elapsed() })
    }
}

/// How the host has to be wired for a contender.
#[must_use]
pub fn wiring(contender: Contender) -> Wiring {
    match contender {
        Contender::Userspace => Wiring::ThroughBox,
        _ => Wiring::Direct,
    }
}

/// What a contender needs of the machine.
///
/// # Errors
///
/// [`MeasureError::Missing`].
pub fn check(contender: Contender) -> Result<(), MeasureError> {
    let missing = match contender {
        Contender::None | Contender::EmptyTcx | Contender::EmptyXdp => {
            Some("it has no rules that could change".to_owned())
        }
        Contender::EbpfTcx | Contender::EbpfXdp => require::missing_for_kernel(),
        Contender::Userspace => require::missing_for_namespaces(),
        Contender::Iptables | Contender::IptablesFlat | Contender::BareIptables => {
            require::missing_for_tools(&[Tool::IptablesLegacy])
        }
        Contender::IptablesNft | Contender::BareIptablesNft => {
            require::missing_for_tools(&[Tool::IptablesNft])
        }
        Contender::Ipset | Contender::BareIpset => {
            require::missing_for_tools(&[Tool::Ipset, Tool::IptablesLegacy])
        }
        Contender::Nftables | Contender::BareNft | Contender::BareNftSet => {
            require::missing_for_tools(&[Tool::Nft])
        }
    };
    missing.map_or(Ok(()), |missing| Err(MeasureError::Missing(missing)))
}

/// Puts a contender on the host of `scene`, with the policy `state`, and hands it to `work`, on the
/// host. `limit` is for one change, and for the installation.
///
/// # Errors
///
/// What [`check`] says; [`MeasureError`] when the policy cannot be installed or does not do what it
/// has to; what `work` says.
pub fn with<T: Send>(
    contender: Contender,
    scene: &Scene,
    state: State,
    limit: Duration,
    work: impl FnOnce(&mut dyn Changing) -> Result<T, MeasureError> + Send,
) -> Result<T, MeasureError> {
    check(contender)?;
    if contender == Contender::Userspace {
        let mut filter = userspace::Filter::start(scene)?;
        return scene.on_host(|| work_with(&mut filter, scene, state, limit, work));
    }
    scene.on_host(|| {
        scene.warm_up()?;
        match options(contender) {
            Some(options) if options.backend == BackendChoice::Ebpf => {
                work_with(&mut ebpf::Programs::start(scene, options)?, scene, state, limit, work)
            }
            Some(options) => {
                work_with(&mut chains::Chains::new(scene, options), scene, state, limit, work)
            }
            None => work_with(
                &mut bare::Bare::start(contender, scene, limit)?,
                scene,
                state,
                limit,
                work,
            ),
        }
    })
}

fn work_with<T>(
    contender: &mut dyn Changing,
    scene: &Scene,
    state: State,
    limit: Duration,
    work: impl FnOnce(&mut dyn Changing) -> Result<T, MeasureError>,
) -> Result<T, MeasureError> {
    let begin = Instant::now();
    contender.reset(state)?;
    let took = begin.elapsed();
    if took > limit {
        let what = format!("install {} rules", scene.rules());
        let why = format!("it takes {:.0} s, and the limit is {limit:?}", took.as_secs_f64());
        return Err(MeasureError::Refused { what, why });
    }
    scene.check(state)?;
    work(contender)
}
