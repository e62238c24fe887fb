//! Running a program many times on one frame.

use aya::TestRunAttrs;
use aya::programs::{
    ProgramError, ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions, Xdp,
};
use ringfence_common::abi::config::Hook;
use ringfence_dataplane::backend::ebpf::LoadedProgram;

use super::MeasureError;

/// A program in the kernel.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// For XDP.
    Xdp(&'a Xdp),
    /// For tc.
    Tc(&'a SchedClassifier),
}

/// What running a program showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What the last run returned.
    pub returned: u32,
    /// Nanoseconds of one run, the mean of all, as the kernel tells it: a whole number.
    pub ns: u64,
}

/// The return value with which a program at `hook` drops a packet (`XDP_DROP`, `TCX_DROP`), or lets
/// it go on (`XDP_PASS`, `TCX_NEXT`; include/uapi/linux/bpf.h).
#[must_use]
pub const fn returns(hook: Hook, passes: bool) -> u32 {
    ringfence_testbed::suite::kernel::returns(hook, passes)
}

impl<'a> From<&'a LoadedProgram> for Program<'a> {
    fn from(program: &'a LoadedProgram) -> Self {
        match program {
            LoadedProgram::Xdp(program) => Self::Xdp(program),
            LoadedProgram::Tc(program) => Self::Tc(program),
        }
    }
}

impl Program<'_> {
    /// What the kernel says of it.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn info(self) -> Result<ProgramInfo, MeasureError> {
        let info = match self {
            Self::Xdp(program) => program.info(),
            Self::Tc(program) => program.info(),
        };
        info.map_err(MeasureError::refused("ask for a program"))
    }

    /// Runs the program `repeat` times on `frame`, as if it were at interface `ifindex`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn run(self, frame: &[u8], ifindex: u32, repeat: u32) -> Result<Measured, MeasureError> {
        let hook = match self {
            Self::Xdp(_) => Hook::Xdp,
            Self::Tc(_) => Hook::TcIngress,
        };
        let context = context(hook, frame.len() as u32, ifindex);
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        };
        let result = match self {
            Self::Xdp(program) => program.test_run(options),
            Self::Tc(program) => program.test_run(options),
        };
        let result = result.map_err(refused)?;
        let ns = u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX);
        Ok(Measured { returned: result.return_value, ns })
    }
}

/// What says that a frame of `length` bytes is at interface `ifindex`; at tc it is the same for both
/// hooks.
pub fn context(hook: Hook, length: u32, ifindex: u32) -> Vec<u8> {
    match hook {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index.
        Hook::Xdp => words(&[0, length, 0, ifindex, 0]),
        // struct __sk_buff: `ifindex` is its eleventh word.
        Hook::TcIngress | Hook::TcEgress => words(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ifindex]),
    }
}

/// Frames that the kernel sends before it lets others work: its NAPI budget.
const BATCH: u32 = 64;

impl Program<'_> {
    /// Sends `count` frames through a program for XDP as if they had arrived; what it says is done
    /// with them. The nanoseconds of one frame, with all that its receiver did with it on this core:
    /// the mean of all, as the kernel tells it, without the time that it takes to begin.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn run_live(self, frame: &[u8], count: u32) -> Result<u64, MeasureError> {
        let Self::Xdp(program) = self else {
            let why = "only XDP has live frames".to_owned();
            return Err(MeasureError::Refused { what: "send frames".to_owned(), why });
        };
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).map_err(refused)?;
        Ok(u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

fn refused(error: ProgramError) -> MeasureError {
    MeasureError::refused("run a program for measuring")(error)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
