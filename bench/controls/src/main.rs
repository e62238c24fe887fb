//! Programs that Ringfence's programs are measured against, and those that measure.
//!
//! Goals: (a) a control does what it is named after and nothing more, so that a ratio against it
//! flatters nobody; (b) what is measured is the object that users load, unchanged; (c) every
//! program can be asked whether it did what it was meant to do.
//!
//! Design. Controls are programs of their own, with tables of the kernel's own kinds (a). Keys that
//! change from packet to packet come from [`draw`], which writes the next one into the frame and
//! then calls the program under test, whichever it is, by a tail call; a measurement subtracts the
//! same with the empty program (b). Verdicts are return values and counters (c).
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(missing_docs, reason = "the hook macros generate functions without documentation")]

mod decide;
mod draw;
mod frame;
mod look_up;
mod maps;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

use self::frame::Frame;

/// tcx return codes (`enum tcx_action_base`, include/uapi/linux/bpf.h, Linux 6.6).
mod tcx {
    /// Let the next program of the chain run.
    pub const NEXT: i32 = -1;
    /// Drop the packet.
    pub const DROP: i32 = 2;
}

#[xdp(frags)]
pub fn empty_xdp(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[classifier]
pub fn empty_tc(_context: TcContext) -> i32 {
    tcx::NEXT
}

#[xdp(frags)]
pub fn drop_xdp(_context: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[xdp(frags)]
pub fn draw_xdp(context: XdpContext) -> u32 {
    if draw::draw(Frame::from(&context)) {
        // SAFETY: the context is the one the kernel called this program with.
        unsafe { maps::XDP_TARGET.tail_call(&context, 0) };
    }
    // No key, no room for it, or no program to call.
    xdp_action::XDP_ABORTED
}

/// Sends the frame, with the next key, out of an interface.
#[xdp]
pub fn flood_xdp(context: XdpContext) -> u32 {
    flood(draw::draw(Frame::from(&context)))
}

/// The same for frames that a router lets pass or drops: the kernel hands each frame to the program
/// again as whoever had it last has left it.
#[xdp]
pub fn flood_routed_xdp(context: XdpContext) -> u32 {
    let frame = Frame::from(&context);
    flood(draw::unroute(frame) && draw::draw(frame))
}

/// Sends a frame that is complete.
#[inline(always)]
fn flood(is_complete: bool) -> u32 {
    match draw::interface() {
        // SAFETY: the helper takes numbers and returns one.
        Some(index) if is_complete => unsafe { bpf_redirect(index, 0) as u32 },
        _ => xdp_action::XDP_ABORTED,
    }
}

#[classifier]
pub fn draw_tc(context: TcContext) -> i32 {
    if draw::draw(Frame::from(&context)) {
        // SAFETY: the context is the one the kernel called this program with.
        unsafe { maps::TC_TARGET.tail_call(&context, 0) };
    }
    aborted::TC
}

/// What a program at tc returns when it could not measure: nothing that a decision returns.
mod aborted {
    pub const TC: i32 = 77;
}

#[xdp(frags)]
pub fn two_hashes_xdp(context: XdpContext) -> u32 {
    xdp_verdict(decide::decide(Frame::from(&context), decide::by_two_hashes))
}

#[classifier]
pub fn two_hashes_tc(context: TcContext) -> i32 {
    tc_verdict(decide::decide(Frame::from(&context), decide::by_two_hashes))
}

#[xdp(frags)]
pub fn three_tries_xdp(context: XdpContext) -> u32 {
    xdp_verdict(decide::decide(Frame::from(&context), decide::by_three_tries))
}

#[classifier]
pub fn three_tries_tc(context: TcContext) -> i32 {
    tc_verdict(decide::decide(Frame::from(&context), decide::by_three_tries))
}

/// The loop without a look-up, which a measurement subtracts from the others.
#[xdp(frags)]
pub fn loop_nothing(_context: XdpContext) -> u32 {
    xdp_measured(look_up::repeat(|address| address))
}

#[xdp(frags)]
pub fn loop_hash(_context: XdpContext) -> u32 {
    xdp_measured(look_up::repeat(look_up::in_hash))
}

#[xdp(frags)]
pub fn loop_trie(_context: XdpContext) -> u32 {
    xdp_measured(look_up::repeat(look_up::in_trie))
}

#[xdp(frags)]
pub fn loop_buckets(_context: XdpContext) -> u32 {
    xdp_measured(look_up::repeat_in_buckets())
}

#[inline(always)]
fn xdp_verdict(passes: bool) -> u32 {
    if passes { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

#[inline(always)]
fn tc_verdict(passes: bool) -> i32 {
    if passes { tcx::NEXT } else { tcx::DROP }
}

#[inline(always)]
fn xdp_measured(is_measured: bool) -> u32 {
    if is_measured { xdp_action::XDP_PASS } else { xdp_action::XDP_ABORTED }
}

/// Never reached: nothing here panics.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
