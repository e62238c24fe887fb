//! Frames as the hooks see them: the only pointer code.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use ringfence_common::abi::limits::HEADER_OFFSET;
use ringfence_common::packet::{Header, PacketRead};

/// A frame at XDP, where all of it may not be in one piece (jumbo frames, `xdp.frags`).
pub struct XdpFrame<'a> {
    context: &'a XdpContext,
}

impl<'a> XdpFrame<'a> {
    #[inline(always)]
    pub fn new(context: &'a XdpContext) -> Self {
        Self { context }
    }

    /// The interface the frame has arrived on.
    #[inline(always)]
    pub fn ifindex(&self) -> u32 {
        self.context.ingress_ifindex() as u32
    }
}

impl PacketRead for XdpFrame<'_> {
    type Header<'a>
        = Linear
    where
        Self: 'a;

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
    fn header<const N: usize>(&self, offset: usize) -> Option<Linear> {
        Linear::new::<N>(self.context.data(), self.context.data_end(), offset)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the context is the one the kernel called this program with.
        let length = unsafe { bpf_xdp_get_buff_len(self.context.ctx) };
        length as usize
    }

    /// Without the pieces of a jumbo frame after the first.
    #[inline(always)]
    fn length_at_hand(&self) -> usize {
        opaque(self.context.data_end()) - opaque(self.context.data())
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
    type Header<'a>
        = Linear
    where
        Self: 'a;

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
    fn header<const N: usize>(&self, offset: usize) -> Option<Linear> {
        Linear::new::<N>(self.context.data(), self.context.data_end(), offset)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.context.len() as usize
    }

    #[inline(always)]
    fn length_at_hand(&self) -> usize {
        self.length()
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

/// The same number, of which the compiler knows nothing: it would turn comparisons of pointers into
/// comparisons of lengths, which the verifier does not follow.
#[inline(always)]
fn opaque(number: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let same;
        // SAFETY: it copies a register.
        unsafe {
            core::arch::asm!(
                "{same} = {number}",
                same = out(reg) same,
                number = in(reg) number,
                options(pure, nomem, nostack),
            );
        }
        same
    }
    #[cfg(not(target_arch = "bpf"))]
    number
}

/// Bytes of the directly readable part.
#[derive(Clone, Copy)]
pub struct Linear {
    start: usize,
}

impl Linear {
    #[inline(always)]
    fn new<const N: usize>(data: usize, data_end: usize, offset: usize) -> Option<Self> {
        let start = data + offset;
        (start + N <= data_end).then_some(Self { start })
    }
}

/// One load of `$bits` bits at `AT`, in network order. Headers are not aligned, so the compiler would
/// put a number together from its bytes; the kernel lets programs load it whole wherever the
/// processor does (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`), and refuses the program elsewhere.
macro_rules! load {
    ($name:ident, $type:ty, $bits:literal) => {
        #[inline(always)]
        fn $name<const AT: usize>(self) -> $type {
            let value: u64;
            #[cfg(target_arch = "bpf")]
            // SAFETY: the verifier proves that the bytes lie before `data_end`.
            unsafe {
                core::arch::asm!(
                    concat!("{value} = *(u", $bits, " *)({start} + {at})"),
                    value = out(reg) value,
                    start = in(reg) self.start,
                    at = const AT,
                    // What is not asked for is not loaded. The compiler does not move it before the
                    // check of the length, since it cannot know that it may be run there.
                    options(pure, readonly, nostack),
                );
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                // SAFETY: `new` has checked more bytes than are read.
                value = unsafe { ((self.start + AT) as *const $type).read_unaligned() } as u64;
            }
            // SAFETY: a load of so many bits leaves the others zero.
            unsafe { core::hint::assert_unchecked(value <= <$type>::MAX as u64) };
            <$type>::from_be(value as $type)
        }
    };
}

impl Header for Linear {
    load!(u8, u8, "8");
    load!(u16, u16, "16");
    load!(u32, u32, "32");
    load!(u64, u64, "64");
}
