//! The programs that do nothing, in the places of those that filter.

use aya::programs::XdpMode;
use aya::programs::tc::TcAttachType;
use ringfence_testbed::lab::{Contender, Lab};

use crate::kernel::{Control, Controls, MeasureError};

/// Attaches what `contender` stands for: at tcx a program where packets leave for the server, which
/// is where policy for a workload is asked; at XDP one more where they arrive from the client. They
/// stay for as long as the result lives.
///
/// # Errors
///
/// [`MeasureError::Refused`].
pub fn attach(lab: &Lab, contender: Contender) -> Result<Option<Controls>, MeasureError> {
    let is_at_xdp = match contender {
        Contender::EmptyTcx => false,
        Contender::EmptyXdp => true,
        _ => return Ok(None),
    };
    let (uplink, workload) = (lab.uplink().index, lab.workload().name.clone());
    let attached = lab.at_router(|| {
        let mut controls = Controls::load(1)?;
        controls
            .tc_mut(Control::EmptyTc)?
            .attach(&workload, TcAttachType::Egress)
            .map_err(MeasureError::refused("attach the empty program at tcx"))?;
        if is_at_xdp {
            controls
                .xdp_mut(Control::EmptyXdp)?
                .attach_to_if_index(uplink, XdpMode::Driver)
                .map_err(MeasureError::refused("attach the empty program at XDP"))?;
        }
        Ok(controls)
    });
    attached.map_err(MeasureError::refused("enter the router"))?.map(Some)
}
