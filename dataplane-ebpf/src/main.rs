//! XDP and tc hooks around [`ringfence_common`].
//!
//! This crate supplies bytes ([`context`]), maps ([`maps`], [`tables`]) and a way to tell
//! ([`emit`]); it decides nothing. Each hook is one expression: decide, then map the verdict to
//! the hook's return code.
#![no_std]
#![no_main]
#![allow(missing_docs, reason = "the hook macros generate functions without documentation")]

mod context;
mod emit;
mod maps;
mod tables;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use ringfence_common::abi::config::Hook;

/// tcx return codes (`enum tcx_action_base`, include/uapi/linux/bpf.h, Linux 6.6).
mod tcx {
    /// Let the next program of the chain run.
    pub const NEXT: i32 = -1;
    /// Drop the packet.
    pub const DROP: i32 = 2;
}

/// Frames arriving on an interface, before the stack.
#[xdp(frags)]
pub fn ringfence_xdp(context: XdpContext) -> u32 {
    let frame = context::XdpFrame::new(&context);
    if run(&frame, frame.ifindex(), Hook::Xdp) {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_DROP
    }
}

/// Packets arriving on an interface: what a workload behind a veth sends.
#[classifier]
pub fn ringfence_tc_ingress(context: TcContext) -> i32 {
    let frame = context::SkbFrame::new(&context);
    if run(&frame, frame.ifindex(), Hook::TcIngress) { tcx::NEXT } else { tcx::DROP }
}

/// Packets leaving through an interface: what a workload behind a veth gets.
#[classifier]
pub fn ringfence_tc_egress(context: TcContext) -> i32 {
    let frame = context::SkbFrame::new(&context);
    if run(&frame, frame.ifindex(), Hook::TcEgress) { tcx::NEXT } else { tcx::DROP }
}

/// Decides the frame and reports it; whether it passes.
#[inline(always)]
fn run<F: ringfence_common::packet::PacketRead>(frame: &F, ifindex: u32, hook: Hook) -> bool {
    use ringfence_common::abi::flow::TICK_SHIFT;
    use ringfence_common::decide::{Place, decide};

    let Some(work) = maps::WORK.get_ptr_mut(0) else { return false };
    // SAFETY: the value is this CPU's own. No other program of ours runs on it meanwhile: XDP and
    // tc programs run with softirqs off, and nothing here sends a packet.
    let work = unsafe { &mut *work };
    // SAFETY: the helper takes no arguments and only returns a number.
    let time_ns = unsafe { aya_ebpf::helpers::bpf_ktime_get_ns() };
    let place = Place { ifindex, hook, now: (time_ns >> TICK_SHIFT) as u32 };
    let tables = tables::KernelTables::select();
    decide(frame, &place, &tables, &mut tables::KernelState, work);
    emit::count(&work.outcome, frame.length());
    if work.outcome.is_reported() {
        emit::event(&place, time_ns, work, frame.length());
    }
    work.outcome.decision.passes()
}

/// Never reached: `ringfence-common` panics nowhere, and the verifier refuses an endless loop.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
