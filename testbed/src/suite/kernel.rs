//! The kernel's programs, run on one frame at a time (`BPF_PROG_TEST_RUN`).

mod interfaces;

use std::time::Duration;

use aya::programs::{ProgramError, TestRun as _, TestRunOptions, XdpMode};
use ringfence_common::abi::config::{Config, Hook};
use ringfence_common::abi::event::Event;
use ringfence_common::abi::flow::FlowKey;
use ringfence_dataplane::backend::ebpf::{EbpfError, Events, Kernel, LoadedProgram, Maps};
use ringfence_dataplane::backend::{Counters, Desired};

pub use self::interfaces::Interfaces;

use super::backend::SuiteError;

/// Programs and maps that end with this value. Everything happens in the calling thread's network
/// namespace.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct KernelSide {
    maps: Maps,
    events: Events,
    /// In the order in which they were asked for.
    programs: Vec<(Hook, LoadedProgram)>,
    _kernel: Kernel,
}

/// What the kernel did with a frame.
#[derive(Clone, Copy, Debug)]
pub enum Ran {
    /// It decided: the program's return value, and the event.
    Decided(u32, Event),
    /// It does not run programs on such a frame (`EINVAL`).
    Inapplicable,
}

/// The return value with which a program at `hook` drops a packet (`XDP_DROP`, `TCX_DROP`), or
/// lets it go on (`XDP_PASS`, `TCX_NEXT`; include/uapi/linux/bpf.h).
#[must_use]
pub const fn returns(hook: Hook, passes: bool) -> u32 {
    match (hook, passes) {
        (Hook::Xdp, false) => 1,
        (Hook::Xdp, true) | (Hook::TcIngress | Hook::TcEgress, false) => 2,
        (Hook::TcIngress | Hook::TcEgress, true) => u32::MAX,
    }
}

/// Bytes of every Ethernet header; the kernel runs programs on no frame that is shorter.
pub const ETHERNET_HEADER: usize = 14;

/// Whether a frame, which has an Ethernet header, claims to be IP and is shorter than an IP header:
/// the kernel (6.18, net/bpf/test_run.c) makes no socket buffer of it.
#[must_use]
pub fn is_cut_ip(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => frame.len() < ETHERNET_HEADER + 20,
        [0x86, 0xdd] => frame.len() < ETHERNET_HEADER + 40,
        _ => false,
    }
}

impl KernelSide {
    /// Loads the programs for `hooks`.
    ///
    /// # Errors
    ///
    /// [`SuiteError`] when the kernel refuses a program or a map.
    pub fn new(hooks: &[Hook]) -> Result<Self, SuiteError> {
        let mut kernel = Kernel::unpinned()?;
        kernel.load(hooks)?;
        let program = |hook: &Hook| Ok((*hook, kernel.program(*hook)?));
        let programs = hooks.iter().map(program).collect::<Result<_, EbpfError>>()?;
        let mut maps = Maps::from_kernel(&mut kernel)?;
        let events = maps.take_events().ok_or(SuiteError::Silent("any hook"))?;
        Ok(Self { maps, events, programs, _kernel: kernel })
    }

    /// Attaches the XDP program, if there is one, to the interface `ifindex`, which is up: only
    /// then does the kernel run it as if a frame had come from there.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Program`] when the interface does not take it.
    pub fn attach(&mut self, ifindex: u32) -> Result<(), SuiteError> {
        for (_, program) in &mut self.programs {
            if let LoadedProgram::Xdp(program) = program {
                let what = || format!("attach XDP to interface {ifindex}");
                let attached = program.attach_to_if_index(ifindex, XdpMode::Driver);
                attached.map_err(|error| failed(what(), &error))?;
            }
        }
        Ok(())
    }

    /// Installs a state; what counts then.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Ebpf`] when the tables do not fit.
    pub fn install(&mut self, desired: &Desired) -> Result<Config, SuiteError> {
        self.maps.install(desired)?;
        Ok(self.maps.config()?)
    }

    /// Forgets everything, what is installed as well.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Ebpf`].
    pub fn start_again(&mut self) -> Result<(), SuiteError> {
        Ok(self.maps.start_again()?)
    }

    /// Forgets flows and fragments; how many there were.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Ebpf`].
    pub fn forget(&mut self) -> Result<[usize; 2], SuiteError> {
        Ok(self.maps.forget_state()?)
    }

    /// Forgets one flow; whether it was there.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Ebpf`].
    pub fn forget_flow(&mut self, key: &FlowKey) -> Result<bool, SuiteError> {
        Ok(self.maps.forget_flow(key)?)
    }

    /// Lets time pass for all that is remembered.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Ebpf`].
    pub fn age(&mut self, time: Duration) -> Result<(), SuiteError> {
        Ok(self.maps.age(time)?)
    }

    /// Events that got lost.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Ebpf`].
    pub fn lost_events(&self) -> Result<u64, SuiteError> {
        Ok(self.maps.counters()?.lost_events.unwrap_or_default())
    }

    /// What has been counted.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Ebpf`].
    pub fn counters(&self) -> Result<Counters, SuiteError> {
        Ok(self.maps.counters()?)
    }

    /// Decides a frame as if it were at `hook` of interface `ifindex`, where every packet is
    /// reported.
    ///
    /// # Errors
    ///
    /// [`SuiteError`] when the program cannot be run or says nothing of what it decided.
    pub fn run(&mut self, frame: &[u8], hook: Hook, ifindex: u32) -> Result<Ran, SuiteError> {
        match self.run_quietly(frame, hook, ifindex)? {
            Some((_, None)) => Err(SuiteError::Silent(name(hook))),
            Some((returned, Some(event))) => Ok(Ran::Decided(returned, event)),
            None => Ok(Ran::Inapplicable),
        }
    }

    /// As [`KernelSide::run`], where not every packet is reported: the return value, and the event if
    /// there is one; nothing where the kernel runs no program on such a frame.
    ///
    /// # Errors
    ///
    /// [`SuiteError`] when the program cannot be run.
    pub fn run_quietly(
        &mut self,
        frame: &[u8],
        hook: Hook,
        ifindex: u32,
    ) -> Result<Option<(u32, Option<Event>)>, SuiteError> {
        let length = frame.len() as u32;
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index.
        let at_xdp = words(&[0, length, 0, ifindex, 0]);
        // struct __sk_buff: `ifindex` is its eleventh word.
        let at_tc = words(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ifindex]);
        let options = |context| TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(context),
            repeat: 1,
            ..TestRunOptions::default()
        };
        let what = || format!("run the program for {}", name(hook));
        let loaded = self.programs.iter().find(|(known, _)| *known == hook);
        let Some((_, program)) = loaded else {
            return Err(SuiteError::Program { what: what(), why: "it is not loaded".to_owned() });
        };
        let result = match program {
            LoadedProgram::Xdp(program) => program.test_run(options(&at_xdp)),
            LoadedProgram::Tc(program) => program.test_run(options(&at_tc)),
        };
        match result {
            Ok(result) => Ok(Some((result.return_value, self.events.try_next()))),
            Err(error) if is_invalid(&error) => Ok(None),
            Err(error) => Err(failed(what(), &error)),
        }
    }
}

const fn name(hook: Hook) -> &'static str {
    ringfence_dataplane::backend::hook_name(hook)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn failed(what: String, error: &ProgramError) -> SuiteError {
    SuiteError::Program { what, why: format!("{error:?}") }
}

fn is_invalid(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else { return false };
    error.io_error.raw_os_error() == Some(libc::EINVAL)
}
