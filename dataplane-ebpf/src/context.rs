//! Frames as the hooks see them: the only pointer code.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use ringfence_common::abi::limits::HEADER_OFFSET;
use ringfence_common::packet::PacketRead;

/// A frame at XDP, where all of it may not be in one piece (jumbo frames, `xdp.frags`).
pub struct XdpFrame<'a> {
    context: &'a XdpContext,
    length: usize,
}

impl<'a> XdpFrame<'a> {
    #[inline(always)]
    pub fn new(context: &'a XdpContext) -> Self {
        // SAFETY: the context is the one the kernel called this program with.
        let length = unsafe { bpf_xdp_get_buff_len(context.ctx) };
        Self { context, length: length as usize }
    }

    /// The interface the frame has arrived on.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        self.context.ingress_ifindex() as u32
    }
}

impl PacketRead for XdpFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > HEADER_OFFSET {
            return None;
        }
        if let Some(bytes) = read_linear(self.context.data(), self.context.data_end(), offset) {
            return Some(bytes);
        }
        let mut bytes = [0; N];
        let (context, to) = (self.context.ctx, bytes.as_mut_ptr().cast::<c_void>());
        // SAFETY: `to` points to `N` bytes that this function owns.
        let failed = unsafe { bpf_xdp_load_bytes(context, offset as u32, to, N as u32) };
        (failed == 0).then_some(bytes)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.length
    }

    #[inline(always)]
    fn tags_outside(&self) -> usize {
        0
    }
}

/// A packet at tc, of which only the first part may be directly readable.
pub struct SkbFrame<'a> {
    context: &'a TcContext,
}

impl<'a> SkbFrame<'a> {
    #[inline(always)]
    pub fn new(context: &'a TcContext) -> Self {
        Self { context }
    }

    /// The interface whose hook this is.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        // SAFETY: the pointer is the context the kernel called this program with.
        unsafe { (*self.context.skb.skb).ifindex }
    }
}

impl PacketRead for SkbFrame<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > HEADER_OFFSET {
            return None;
        }
        if let Some(bytes) = read_linear(self.context.data(), self.context.data_end(), offset) {
            return Some(bytes);
        }
        let mut bytes = [0; N];
        let to = bytes.as_mut_ptr().cast::<c_void>();
        // SAFETY: `to` points to `N` bytes that this function owns.
        let failed =
            unsafe { bpf_skb_load_bytes(self.context.as_ptr(), offset as u32, to, N as u32) };
        (failed == 0).then_some(bytes)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.context.len() as usize
    }

    /// The driver may have moved the outer tag out of the frame (`skb->vlan_tci`).
    #[inline(always)]
    fn tags_outside(&self) -> usize {
        // SAFETY: the pointer is the context the kernel called this program with.
        let present = unsafe { (*self.context.skb.skb).vlan_present };
        (present != 0) as usize
    }
}

/// `N` bytes at `offset` of the directly readable part.
#[inline(always)]
fn read_linear<const N: usize>(data: usize, data_end: usize, offset: usize) -> Option<[u8; N]> {
    let start = data + offset;
    if start + N > data_end {
        return None;
    }
    // SAFETY: `start..start + N` lies between `data` and `data_end`, which the verifier checks
    // again; byte arrays need no alignment.
    Some(unsafe { core::ptr::read(start as *const [u8; N]) })
}
