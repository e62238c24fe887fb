//! Where a measurement takes place: one CPU, and an interface that carries nothing.

use aya::programs::{Xdp, XdpMode};
use ringfence_testbed::affinity::{self, THIS_THREAD};
use ringfence_testbed::require;
use ringfence_testbed::suite::kernel::Interfaces;

use super::{Control, Controls, MeasureError};

/// The calling thread, kept on one CPU, in a network namespace of its own that has one interface
/// which is up and carries nothing. It stays there until it ends.
pub struct Seat {
    ifindex: u32,
    _interfaces: Interfaces,
    /// Keeps a program at the interface: only where there is one does the kernel run XDP programs
    /// as if a frame had come from there.
    _empty: Controls,
}

impl Seat {
    /// Takes the calling thread there.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Missing`] without the privilege or on a kernel without the features;
    /// [`MeasureError::Refused`].
    pub fn take() -> Result<Self, MeasureError> {
        if let Some(missing) = require::missing_for_kernel() {
            return Err(MeasureError::Missing(missing));
        }
        stay_on_one_cpu()?;
        let refused = MeasureError::refused("make an interface");
        let interfaces = Interfaces::new().map_err(MeasureError::refused("make a namespace"))?;
        interfaces.host().enter().map_err(MeasureError::refused("enter a namespace"))?;
        let ifindex = interfaces.add("measured").map_err(refused)?;
        let mut empty = Controls::load(1)?;
        attach(empty.xdp_mut(Control::EmptyXdp)?, ifindex)?;
        Ok(Self { ifindex, _interfaces: interfaces, _empty: empty })
    }

    /// The interface's number.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }
}

fn attach(program: &mut Xdp, ifindex: u32) -> Result<(), MeasureError> {
    let attached = program.attach_to_if_index(ifindex, XdpMode::Driver);
    attached.map(|_| ()).map_err(MeasureError::refused("attach the empty program"))
}

/// Keeps the calling thread, and those that it starts from now on, on the last CPU that it may use:
/// others' work tends to be on the first.
///
/// # Errors
///
/// [`MeasureError::Refused`].
pub fn stay_on_one_cpu() -> Result<(), MeasureError> {
    let refused = || MeasureError::refused::<nix::Error>("stay on one CPU");
    let allowed = affinity::allowed(THIS_THREAD).map_err(refused())?;
    let last = allowed.last().ok_or(nix::Error::ENODEV).map_err(refused())?;
    affinity::keep_on(&[*last]).map_err(refused())
}
