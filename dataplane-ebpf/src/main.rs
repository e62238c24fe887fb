//! XDP and tc hooks around [`ringfence_common`].
//!
//! This crate supplies bytes ([`context`]), maps ([`maps`], [`tables`]) and a way to tell
//! ([`emit`]); it decides nothing. Each hook is one expression: decide, then map the verdict to
//! the hook's return code.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(missing_docs, reason = "the hook macros generate functions without documentation")]

mod context;
mod emit;
mod maps;
mod tables;

use aya_ebpf::bindings::{__sk_buff, xdp_action, xdp_md};
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use ringfence_common::abi::config::Hook;
use ringfence_common::abi::flow::TICK_SHIFT;
use ringfence_common::decide::{self, Outcome, Place, fast};
use ringfence_common::packet::ordinary::{self, Kind};
use ringfence_common::packet::{Packet, PacketRead};

use crate::tables::{Inline, KernelState, KernelTables, NoFrame, OfFrame, OfTc, OfXdp};

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
    let passes = match quickly_xdp(&context) {
        Answer::Denied => false,
        Answer::Passes => true,
        Answer::Unknown => fully_xdp(&context),
    };
    if passes { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

/// Packets arriving on an interface: what a workload behind a veth sends.
#[classifier]
pub fn ringfence_tc_ingress(context: TcContext) -> i32 {
    run_tc(&context, Hook::TcIngress)
}

/// Packets leaving through an interface: what a workload behind a veth gets.
#[classifier]
pub fn ringfence_tc_egress(context: TcContext) -> i32 {
    run_tc(&context, Hook::TcEgress)
}

#[inline(always)]
fn run_tc(context: &TcContext, hook: Hook) -> i32 {
    let passes = match quickly_tc(context, hook) {
        Answer::Denied => false,
        Answer::Passes => true,
        Answer::Unknown => fully_tc(context, hook),
    };
    if passes { tcx::NEXT } else { tcx::DROP }
}

/// What the short way says about the frame. Each family has a function of its own, whose arguments
/// fit into registers.
#[inline(always)]
fn quickly_xdp(context: &XdpContext) -> Answer {
    match ordinary::kind(&context::XdpFrame::new(context)) {
        Some(Kind::Ipv4) => xdp_v4(context.ctx),
        Some(Kind::Ipv6) => xdp_v6(context.ctx),
        None => Answer::Unknown,
    }
}

/// As [`quickly_xdp`], at tc.
#[inline(always)]
fn quickly_tc(context: &TcContext, hook: Hook) -> Answer {
    match ordinary::kind(&context::SkbFrame::new(context)) {
        Some(Kind::Ipv4) => tc_v4(context.skb.skb, hook),
        Some(Kind::Ipv6) => tc_v6(context.skb.skb, hook),
        None => Answer::Unknown,
    }
}

#[inline(never)]
fn xdp_v4(context: *mut xdp_md) -> Answer {
    let context = XdpContext::new(context);
    let frame = context::XdpFrame::new(&context);
    ipv4(&frame, frame.ifindex(), Hook::Xdp)
}

#[inline(never)]
fn xdp_v6(context: *mut xdp_md) -> Answer {
    let context = XdpContext::new(context);
    let frame = context::XdpFrame::new(&context);
    ipv6(&frame, frame.ifindex(), Hook::Xdp)
}

#[inline(never)]
fn tc_v4(context: *mut __sk_buff, hook: Hook) -> Answer {
    let context = TcContext::new(context);
    let frame = context::SkbFrame::new(&context);
    ipv4(&frame, frame.ifindex(), hook)
}

#[inline(never)]
fn tc_v6(context: *mut __sk_buff, hook: Hook) -> Answer {
    let context = TcContext::new(context);
    let frame = context::SkbFrame::new(&context);
    ipv6(&frame, frame.ifindex(), hook)
}

#[inline(always)]
fn ipv4<F: PacketRead>(frame: &F, ifindex: u32, hook: Hook) -> Answer {
    let (tables, mut packet) = (KernelTables::select(), Packet::default());
    let place = Place { ifindex, hook, now: 0, coarse: coarse() };
    let state = &mut KernelState::new(NoFrame);
    done(frame, fast::decide_v4(frame, &place, &Inline(&tables), state, &mut packet))
}

#[inline(always)]
fn ipv6<F: PacketRead>(frame: &F, ifindex: u32, hook: Hook) -> Answer {
    let (tables, mut packet) = (KernelTables::select(), Packet::default());
    let place = Place { ifindex, hook, now: 0, coarse: coarse() };
    let state = &mut KernelState::new(NoFrame);
    done(frame, fast::decide_v6(frame, &place, &Inline(&tables), state, &mut packet))
}

/// The coarse clock: jiffies in sixteens, 16 to 160 ms as the kernel is configured.
#[inline(always)]
fn coarse() -> u32 {
    // SAFETY: the helper takes no arguments and only returns a number. The verifier replaces the
    // call by a load.
    let jiffies = unsafe { bpf_jiffies64() };
    (jiffies >> 4) as u32
}

/// What the short way says.
#[repr(u32)]
enum Answer {
    Denied,
    Passes,
    Unknown,
}

/// Counts an outcome. One that is to be reported goes the full way, which has more to tell.
#[inline(always)]
fn done<F: PacketRead>(frame: &F, outcome: Option<Outcome>) -> Answer {
    match outcome {
        Some(outcome) if !outcome.is_reported() => {
            emit::count(&outcome, frame.length_at_hand());
            if outcome.decision.passes() { Answer::Passes } else { Answer::Denied }
        }
        _ => Answer::Unknown,
    }
}

/// What a part of the full way returns: a bit for each part that has to follow.
mod follows {
    pub const SIDES: u32 = 1 << 0;
    pub const REMEMBER: u32 = 1 << 1;
}

/// The full way at XDP. Its parts are global functions: the verifier walks each once, whatever came
/// before, and none needs the stack of the others.
#[inline(always)]
fn fully_xdp(context: &XdpContext) -> bool {
    let tables = KernelTables::select();
    let mut follows = ringfence_begin_xdp(context.ctx, tables.slot());
    if follows & follows::SIDES != 0 {
        follows = ringfence_sides_xdp(context.ctx, tables.slot());
    }
    if follows & follows::REMEMBER != 0 {
        tables::ringfence_remember(tables.epoch());
    }
    ringfence_end_xdp(context.ctx) != 0
}

/// The full way at tc.
#[inline(always)]
fn fully_tc(context: &TcContext, hook: Hook) -> bool {
    let tables = KernelTables::select();
    let leaves = (hook == Hook::TcEgress) as u32;
    let mut follows = ringfence_begin_tc(context.skb.skb, tables.slot(), leaves);
    if follows & follows::SIDES != 0 {
        follows = ringfence_sides_tc(context.skb.skb, tables.slot());
    }
    if follows & follows::REMEMBER != 0 {
        tables::ringfence_remember(tables.epoch());
    }
    ringfence_end_tc(context.skb.skb) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ringfence_begin_xdp(context: *mut xdp_md, slot: u32) -> u32 {
    let context = XdpContext::new(context);
    let frame = context::XdpFrame::new(&context);
    begin(&frame, slot, frame.ifindex(), Hook::Xdp)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ringfence_begin_tc(context: *mut __sk_buff, slot: u32, leaves: u32) -> u32 {
    let context = TcContext::new(context);
    let frame = context::SkbFrame::new(&context);
    let hook = if leaves == 0 { Hook::TcIngress } else { Hook::TcEgress };
    begin(&frame, slot, frame.ifindex(), hook)
}

#[inline(always)]
fn begin<F: PacketRead>(frame: &F, slot: u32, ifindex: u32, hook: Hook) -> u32 {
    let Some(desk) = tables::desk() else { return 0 };
    let now = (time_ns() >> TICK_SHIFT) as u32;
    let place = Place { ifindex, hook, now, coarse: coarse() };
    let (tables, mut state) = (KernelTables::of_slot(slot), KernelState::new(NoFrame));
    match decide::begin(frame, &place, &tables, &mut state, desk) {
        true => follows::SIDES,
        false => 0,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ringfence_sides_xdp(context: *mut xdp_md, slot: u32) -> u32 {
    let context = XdpContext::new(context);
    let tables = KernelTables::of_slot(slot);
    sides(&context::XdpFrame::new(&context), &tables, OfXdp(context.ctx, tables))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ringfence_sides_tc(context: *mut __sk_buff, slot: u32) -> u32 {
    let context = TcContext::new(context);
    let tables = KernelTables::of_slot(slot);
    sides(&context::SkbFrame::new(&context), &tables, OfTc(context.skb.skb, tables))
}

#[inline(always)]
fn sides<R: PacketRead, F: OfFrame>(frame: &R, tables: &KernelTables, of: F) -> u32 {
    let Some(desk) = tables::desk() else { return 0 };
    let mut state = KernelState::new(of);
    decide::ask_sides(frame, tables, &mut state, desk);
    if state.remembers { follows::REMEMBER } else { 0 }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ringfence_end_xdp(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    end(&context::XdpFrame::new(&context))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ringfence_end_tc(context: *mut __sk_buff) -> u32 {
    let context = TcContext::new(context);
    end(&context::SkbFrame::new(&context))
}

/// Counts and reports what has been decided; whether the packet passes.
#[inline(always)]
fn end<F: PacketRead>(frame: &F) -> u32 {
    let Some(desk) = tables::desk() else { return 0 };
    decide::end(desk);
    let (outcome, length) = (&desk.work.outcome, frame.length());
    emit::count(outcome, length);
    if outcome.is_reported() {
        emit::event(time_ns(), desk, length);
    }
    outcome.decision.passes() as u32
}

/// `CLOCK_MONOTONIC`.
#[inline(always)]
fn time_ns() -> u64 {
    // SAFETY: the helper takes no arguments and only returns a number.
    unsafe { bpf_ktime_get_ns() }
}

/// Never reached: `ringfence-common` panics nowhere, and the verifier refuses an endless loop.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
