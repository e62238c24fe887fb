//! The kernel's side: programs run on one frame at a time (`BPF_PROG_TEST_RUN`).

use aya::programs::{TestRun as _, TestRunOptions, XdpMode};
use ringfence_common::abi::config::{Config, Hook};
use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::Desired;
use ringfence_dataplane::backend::ebpf::{Events, Kernel, LoadedProgram, Maps};

/// Programs and maps that end with this value. Everything happens in the calling thread's network
/// namespace.
pub struct KernelSide {
    maps: Maps,
    events: Events,
    xdp: LoadedProgram,
    tc_ingress: LoadedProgram,
    tc_egress: LoadedProgram,
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
pub const fn returns(hook: Hook, passes: bool) -> u32 {
    match (hook, passes) {
        (Hook::Xdp, false) => 1,
        (Hook::Xdp, true) | (Hook::TcIngress | Hook::TcEgress, false) => 2,
        (Hook::TcIngress | Hook::TcEgress, true) => u32::MAX,
    }
}

impl KernelSide {
    /// Loads the programs, and attaches the XDP program to `interfaces`: only then does the kernel
    /// run it as if a frame had come from there.
    pub fn new(interfaces: &[u32]) -> Self {
        let mut kernel = Kernel::unpinned().expect("the maps can be made");
        let hooks = [Hook::Xdp, Hook::TcIngress, Hook::TcEgress];
        kernel.load(&hooks).expect("the kernel takes the programs");
        let [mut xdp, tc_ingress, tc_egress] =
            hooks.map(|hook| kernel.program(hook).expect("the program has been loaded"));
        let LoadedProgram::Xdp(program) = &mut xdp else { panic!("XDP's program is for XDP") };
        for index in interfaces {
            program.attach_to_if_index(*index, XdpMode::Driver).expect("a veth takes XDP");
        }
        let mut maps = Maps::from_kernel(&mut kernel).expect("the maps have the right shape");
        let events = maps.take_events().expect("nobody has taken the events");
        Self { maps, events, xdp, tc_ingress, tc_egress, _kernel: kernel }
    }

    /// Installs a state; what counts then.
    pub fn install(&mut self, desired: &Desired) -> Config {
        self.maps.install(desired, None).expect("the tables fit");
        self.maps.config().expect("the configuration can be read")
    }

    /// Forgets flows and fragments; how many there were.
    pub fn forget(&mut self) -> [usize; 2] {
        self.maps.forget_state().expect("the state can be read")
    }

    /// Events that got lost.
    pub fn lost_events(&self) -> u64 {
        self.maps.counters().expect("the counters can be read").lost_events
    }

    /// Decides a frame as if it were at `hook` of interface `ifindex`.
    pub fn run(&mut self, frame: &[u8], hook: Hook, ifindex: u32) -> Ran {
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
        let program = match hook {
            Hook::Xdp => &self.xdp,
            Hook::TcIngress => &self.tc_ingress,
            Hook::TcEgress => &self.tc_egress,
        };
        let result = match program {
            LoadedProgram::Xdp(program) => program.test_run(options(&at_xdp)),
            LoadedProgram::Tc(program) => program.test_run(options(&at_tc)),
        };
        match result {
            Ok(result) => {
                let event = self.events.try_next();
                Ran::Decided(result.return_value, event.expect("every packet makes an event"))
            }
            Err(error) if is_invalid(&error) => Ran::Inapplicable,
            Err(error) => panic!("the kernel does not run the program at {hook:?}: {error:?}"),
        }
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn is_invalid(error: &aya::programs::ProgramError) -> bool {
    let aya::programs::ProgramError::SyscallError(error) = error else { return false };
    error.io_error.raw_os_error() == Some(EINVAL)
}

/// errno-base.h.
const EINVAL: i32 = 22;
