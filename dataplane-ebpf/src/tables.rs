//! The maps behind the traits of [`ringfence_common::decide`].

use ringfence_common::abi::cache::{BLOCK_FLOWS, CachedFlow, Window};
use ringfence_common::abi::config::{Attachment, AttachmentKey, Config, Hook, flags};
use ringfence_common::abi::flow::{FlowEntry, FlowKey, FragmentEntry, FragmentKey, family};
use ringfence_common::abi::identity::{AddressBytes, AddressEntry, endpoint, identity};
use ringfence_common::abi::policy::{
    BLOCK_PORTS, BLOCKS, Endpoint, PolicyEntry, PolicyKey, class_table,
};
use ringfence_common::abi::table::{
    self, Generation, Layout, NarrowSlot, PackedEntry, Station, WideSlot, chunks,
};
use ringfence_common::decide::{Desk, Given, Place, State, Tables, Work, cache, presence, side};
use ringfence_common::packet::PacketRead;
use ringfence_common::table::{Chunk, address_v4, address_v6, attachment, halves, narrow, policy};
use ringfence_common::track::is_half_open;

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::programs::{TcContext, XdpContext};

use crate::context::{SkbFrame, XdpFrame};
use crate::maps::{self, ChunkMap};

/// `BPF_ANY`: add or replace.
const ANY: u64 = 0;

/// The tables of the generation that counts, chosen once per packet.
#[derive(Clone, Copy)]
pub struct KernelTables {
    slot: u32,
    epoch: u32,
}

impl KernelTables {
    #[inline(always)]
    pub fn select() -> Self {
        // The selector always exists; zero is what it holds before the first apply.
        match maps::SELECTOR.get(0) {
            Some(selector) => Self { slot: selector.slot & 1, epoch: selector.epoch },
            None => Self { slot: 0, epoch: 0 },
        }
    }

    /// The slot.
    #[inline(always)]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// The selector's epoch.
    #[inline(always)]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The tables in a slot, for what does not ask for the epoch.
    #[inline(always)]
    pub const fn of_slot(slot: u32) -> Self {
        Self { slot: slot & 1, epoch: 0 }
    }

    #[inline(always)]
    fn generation(&self) -> Option<&'static Generation> {
        maps::GENERATIONS.get(self.slot)
    }

    #[inline(always)]
    fn layout(&self) -> Option<&'static Layout> {
        self.generation().map(|generation| &generation.layout)
    }
}

/// A function that finds a chunk of the table `$map` in the slot that counts.
macro_rules! chunks {
    ($map:ident, $tables:expr) => {{
        let first = $tables.slot * chunks::$map;
        move |chunk: u32| maps::$map.get(first + chunk).map(InnerArray)
    }};
}

/// A chunk is an array of buckets.
struct InnerArray<'a, Bucket>(&'a ChunkMap<Bucket>);

impl<'a, Bucket> Chunk<'a, Bucket> for InnerArray<'a, Bucket> {
    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&'a Bucket> {
        self.0.get(number)
    }

    #[inline(always)]
    fn spread(word: u64) -> u64 {
        spread(word)
    }
}

/// The tables for the short way, where no look-up is a call and the generation is looked up once.
pub struct Inline {
    tables: KernelTables,
    generation: &'static Generation,
}

impl Inline {
    /// The tables of the generation that counts.
    #[inline(always)]
    pub fn select() -> Option<Self> {
        let tables = KernelTables::select();
        tables.generation().map(|generation| Self { tables, generation })
    }

    #[inline(always)]
    fn layout(&self) -> &'static Layout {
        &self.generation.layout
    }
}

impl Tables for Inline {
    #[inline(always)]
    fn epoch(&self) -> u32 {
        self.tables.epoch
    }

    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        Some(&self.generation.config)
    }

    #[inline(always)]
    fn attachment(&self, ifindex: u32, hook: Hook) -> Option<Attachment> {
        self.tables.attachment_slot(self.layout(), ifindex, hook).map(table::attachment)
    }

    #[inline(always)]
    fn station(&self, ifindex: u32, hook: Hook) -> Option<Station> {
        self.tables.attachment_slot(self.layout(), ifindex, hook).map(table::station)
    }

    #[inline(always)]
    fn address(&self, config: &Config, of_family: u8, address: &AddressBytes) -> AddressEntry {
        let [_, low] = halves(address);
        if of_family == family::V4 {
            self.tables.address_v4(self.layout(), config, low as u32)
        } else {
            self.tables.address(config, of_family, address)
        }
    }

    #[inline(always)]
    fn endpoint(&self, number: u32) -> Option<Endpoint> {
        self.tables.find_endpoint(self.layout(), number)
    }

    #[inline(always)]
    fn class(&self, protocol: u8, port: u16) -> u16 {
        self.tables.find_class(protocol, port)
    }

    #[inline(always)]
    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        self.tables.find_policy(self.layout(), key)
    }
}

/// The same look-ups for the full way, as functions that the verifier walks once and not at every
/// place that asks ([`global`]).
impl Tables for KernelTables {
    #[inline(always)]
    fn epoch(&self) -> u32 {
        self.epoch
    }

    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        self.generation().map(|generation| &generation.config)
    }

    #[inline(always)]
    fn attachment(&self, ifindex: u32, hook: Hook) -> Option<Attachment> {
        self.attachment_slot(self.layout()?, ifindex, hook).map(table::attachment)
    }

    #[inline(always)]
    fn station(&self, ifindex: u32, hook: Hook) -> Option<Station> {
        self.attachment_slot(self.layout()?, ifindex, hook).map(table::station)
    }

    #[inline(always)]
    fn address(&self, _: &Config, of_family: u8, address: &AddressBytes) -> AddressEntry {
        let [high, low] = halves(address);
        table::address_entry(if of_family == family::V4 {
            global::ringfence_address_v4(self.slot, low as u32)
        } else {
            global::ringfence_address_v6(self.slot, high, low)
        })
    }

    #[inline(always)]
    fn endpoint(&self, number: u32) -> Option<Endpoint> {
        let first = global::ringfence_endpoint(self.slot, number, 0);
        let second = global::ringfence_endpoint(self.slot, number, 1);
        (first != 0).then_some(table::endpoint([first, second]))
    }

    #[inline(always)]
    fn class(&self, protocol: u8, port: u16) -> u16 {
        self.find_class(protocol, port)
    }

    #[inline(always)]
    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        let PolicyKey { subject, peer, service } = *key;
        let packed = PackedEntry(global::ringfence_policy(self.slot, subject, peer, service));
        (packed.0 != 0).then_some(packed.unpack())
    }
}

/// Look-ups as global functions: the verifier checks each by itself, for all arguments.
mod global {
    use ringfence_common::abi::policy::PolicyKey;
    use ringfence_common::abi::table;

    use super::KernelTables;
    use ringfence_common::decide::Tables as _;

    /// The address word of an IPv4 address; 0 where there are no tables.
    #[unsafe(no_mangle)]
    #[inline(never)]
    pub extern "C" fn ringfence_address_v4(slot: u32, address: u32) -> u64 {
        let tables = KernelTables::of_slot(slot);
        let (Some(layout), Some(config)) = (tables.layout(), tables.config()) else { return 0 };
        table::address_word(&tables.address_v4(layout, config, address))
    }

    /// The address word of an IPv6 address; 0 where there are no tables.
    #[unsafe(no_mangle)]
    #[inline(never)]
    pub extern "C" fn ringfence_address_v6(slot: u32, high: u64, low: u64) -> u64 {
        let tables = KernelTables::of_slot(slot);
        let (Some(layout), Some(config)) = (tables.layout(), tables.config()) else { return 0 };
        table::address_word(&tables.address_v6(layout, config, [high, low]))
    }

    /// A word of the slot of an endpoint; 0 if it is not there.
    #[unsafe(no_mangle)]
    #[inline(never)]
    pub extern "C" fn ringfence_endpoint(slot: u32, number: u32, word: u32) -> u64 {
        let tables = KernelTables::of_slot(slot);
        let Some(layout) = tables.layout() else { return 0 };
        let [first, second] = tables.endpoint_slot(layout, number);
        if word == 0 { first } else { second }
    }

    /// A policy entry, packed; 0 if it is not there.
    #[unsafe(no_mangle)]
    #[inline(never)]
    pub extern "C" fn ringfence_policy(slot: u32, subject: u32, peer: u32, service: u32) -> u32 {
        let tables = KernelTables::of_slot(slot);
        let Some(layout) = tables.layout() else { return 0 };
        tables.find_packed(layout, &PolicyKey { subject, peer, service }).map_or(0, |it| it.0)
    }
}

impl KernelTables {
    #[inline(always)]
    fn attachment_slot(&self, layout: &Layout, ifindex: u32, hook: Hook) -> Option<WideSlot> {
        let key = table::attachment_key(&AttachmentKey { ifindex, hook: hook as u32 });
        let probe = layout.probe(&layout.attachments);
        let slot = attachment(probe, &key, chunks!(ATTACHMENTS, self));
        (slot[0] != 0).then_some(slot)
    }

    #[inline(always)]
    fn find_endpoint(&self, layout: &Layout, number: u32) -> Option<Endpoint> {
        let slot = self.endpoint_slot(layout, number);
        (slot[1] != 0).then_some(table::endpoint(slot))
    }

    #[inline(always)]
    fn endpoint_slot(&self, layout: &Layout, number: u32) -> NarrowSlot {
        let (key, mask) = (table::endpoint_key(number), &table::ENDPOINT_KEY);
        narrow(layout.probe(&layout.endpoints), &key, mask, chunks!(ENDPOINTS, self))
    }

    #[inline(always)]
    fn find_class(&self, protocol: u8, port: u16) -> u16 {
        let Some(table) = class_table(protocol) else { return 0 };
        let Some(classes) = maps::CLASSES.get(self.slot) else { return 0 };
        let port = port as usize;
        let block = table * BLOCKS + (port / BLOCK_PORTS) as u32;
        classes.get(block).map_or(0, |ports| ports[port % BLOCK_PORTS])
    }

    #[inline(always)]
    fn find_policy(&self, layout: &Layout, key: &PolicyKey) -> Option<PolicyEntry> {
        self.find_packed(layout, key).map(PackedEntry::unpack)
    }

    #[inline(always)]
    fn find_packed(&self, layout: &Layout, key: &PolicyKey) -> Option<PackedEntry> {
        policy(layout.probe(&layout.policy), &table::policy_key(key), chunks!(POLICY, self))
    }

    #[inline(always)]
    fn address_v4(&self, layout: &Layout, config: &Config, address: u32) -> AddressEntry {
        if let Some(known) = address_v4(layout, address, chunks!(ADDRESSES_V4, self)) {
            return known;
        }
        if config.flags & flags::TRIE_V4 == 0 {
            return NOBODY;
        }
        let Some(trie) = maps::PREFIXES_V4.get(self.slot) else { return NOBODY };
        trie.get(&Key::new(32, address.to_be_bytes())).map_or(NOBODY, outside)
    }

    #[inline(always)]
    fn address_v6(&self, layout: &Layout, config: &Config, address: [u64; 2]) -> AddressEntry {
        if let Some(known) = address_v6(layout, address, chunks!(ADDRESSES_V6, self)) {
            return known;
        }
        if config.flags & flags::TRIE_V6 == 0 {
            return NOBODY;
        }
        let [high, low] = address.map(u64::to_be_bytes);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high);
        bytes[8..].copy_from_slice(&low);
        let Some(trie) = maps::PREFIXES_V6.get(self.slot) else { return NOBODY };
        trie.get(&Key::new(128, bytes)).map_or(NOBODY, outside)
    }
}

/// What an address is that neither a workload nor a prefix has.
const NOBODY: AddressEntry = AddressEntry { identity: identity::WORLD, endpoint: endpoint::NONE };

/// An address that only a prefix knows.
#[inline(always)]
fn outside(identity: &u32) -> AddressEntry {
    AddressEntry { identity: *identity, endpoint: endpoint::NONE }
}

/// The word of a presence.
#[inline(always)]
fn presence_at(place: u32) -> Option<*mut u64> {
    let pair: *mut u64 = maps::PRESENCE.get_ptr_mut(place >> 1)?.cast();
    Some(if place & 1 == 0 { pair } else { pair.wrapping_add(1) })
}

/// Reads a word that other CPUs write.
#[inline(always)]
fn load(word: *const u64) -> u64 {
    // SAFETY: the pointer is to a value of an array, eight aligned bytes that stay.
    unsafe { word.read_volatile() }
}

/// Writes a word that other CPUs read and write.
#[inline(always)]
fn store(word: *mut u64, new: u64) {
    // SAFETY: as in `load`.
    unsafe { word.write_volatile(new) };
}

/// All ones if the highest bit of `word` is set, else zero; the compiler does not see why.
#[inline(always)]
fn spread(word: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let spread;
        // SAFETY: it changes a register.
        unsafe {
            core::arch::asm!(
                "{word} s>>= 63",
                word = inlateout(reg) word => spread,
                options(pure, nomem, nostack),
            );
        }
        spread
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        ((word as i64) >> 63) as u64
    }
}

/// Makes `word` `new` if it is `old`; what it was. The compiler's library has no atomic operations
/// for this target, though its instruction set does (`BPF_CMPXCHG`, Linux 5.12).
#[inline(always)]
fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
    let found;
    #[cfg(target_arch = "bpf")]
    // SAFETY: as in `load`; nothing but the word changes.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inlateout("r0") old => found,
        );
    }
    // For the checks of this source on the developer's own processor.
    #[cfg(not(target_arch = "bpf"))]
    {
        use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
        // SAFETY: as in `load`.
        let word = unsafe { AtomicU64::from_ptr(word) };
        found = word.compare_exchange(old, new, SeqCst, SeqCst).unwrap_or_else(|found| found);
    }
    found
}

/// What the packet being decided takes.
#[inline(always)]
pub fn desk() -> Option<&'static mut Desk> {
    // SAFETY: the value is this CPU's own. No other program of ours runs on it meanwhile: XDP and
    // tc programs run with softirqs off, and nothing here sends a packet. Whoever calls this while
    // somebody up the call has the reference does not use that one until it is back.
    maps::DESK.get_ptr_mut(0).map(|desk| unsafe { &mut *desk })
}

/// Calls a function that gets the desk by itself, and with it `work`. The compiler believes that
/// nobody else touches what a mutable reference is to; here it has to write everything back before
/// the call and read it again after it.
#[inline(always)]
fn lend(work: &mut Work, function: impl FnOnce() -> u32) {
    let work: *mut Work = work;
    in_memory(work);
    function();
    in_memory(work);
}

/// What lies at `work` is in memory, and may be another afterwards.
#[inline(always)]
fn in_memory(work: *mut Work) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: it copies a register onto itself.
    unsafe {
        core::arch::asm!("{work} = {work}", work = in(reg) work, options(nostack));
    }
    #[cfg(not(target_arch = "bpf"))]
    let _ = work;
}

/// [`cache::find_windows`], walked once by the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ringfence_find_windows(_: u32) -> u32 {
    if let Some(Desk { work, .. }) = desk() {
        cache::find_windows(&mut KernelState::new(NoFrame), work);
    }
    0
}

/// [`cache::conclude`], walked once by the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ringfence_conclude(now: u32) -> u32 {
    if let Some(Desk { work, .. }) = desk() {
        cache::conclude(&mut KernelState::new(NoFrame), now, work);
    }
    0
}

/// [`presence::touch`], walked once by the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ringfence_touch_presence(now: u32) -> u32 {
    if let Some(Desk { work, .. }) = desk() {
        presence::touch(&mut KernelState::new(NoFrame), now, work);
    }
    0
}

/// [`cache::remember`], walked once by the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ringfence_remember(epoch: u32) -> u32 {
    if let Some(Desk { given, work }) = desk() {
        cache::remember(&mut KernelState::new(NoFrame), &given.place, epoch, work);
    }
    0
}

/// Where the function is that decides a side of the frame.
pub trait OfFrame {
    /// Decides the side that the desk names.
    fn decide_side(&self) -> u32;
}

/// Not for a frame.
pub struct NoFrame;

/// A frame at XDP, and the tables for it.
pub struct OfXdp(pub *mut xdp_md, pub KernelTables);

/// A packet at tc, and the tables for it.
pub struct OfTc(pub *mut __sk_buff, pub KernelTables);

impl OfFrame for NoFrame {
    #[inline(always)]
    fn decide_side(&self) -> u32 {
        0
    }
}

impl OfFrame for OfXdp {
    #[inline(always)]
    fn decide_side(&self) -> u32 {
        ringfence_side_xdp(self.0, self.1.slot)
    }
}

impl OfFrame for OfTc {
    #[inline(always)]
    fn decide_side(&self) -> u32 {
        ringfence_side_tc(self.0, self.1.slot)
    }
}

/// [`side::decide`] at XDP, walked once by the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ringfence_side_xdp(context: *mut xdp_md, slot: u32) -> u32 {
    let context = XdpContext::new(context);
    let frame = XdpFrame::new(&context);
    if let Some(Desk { given, work }) = desk() {
        side::decide(
            &frame,
            &KernelTables::of_slot(slot),
            &mut KernelState::new(NoFrame),
            given,
            work,
        );
    }
    0
}

/// [`side::decide`] at tc, walked once by the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ringfence_side_tc(context: *mut __sk_buff, slot: u32) -> u32 {
    let context = TcContext::new(context);
    let frame = SkbFrame::new(&context);
    if let Some(Desk { given, work }) = desk() {
        side::decide(
            &frame,
            &KernelTables::of_slot(slot),
            &mut KernelState::new(NoFrame),
            given,
            work,
        );
    }
    0
}

/// Flows and fragments, and where the function is that decides a side.
pub struct KernelState<F> {
    of: F,
    /// Whether [`ringfence_remember`] is to be called once the stack is free again.
    pub remembers: bool,
}

impl<F> KernelState<F> {
    #[inline(always)]
    pub const fn new(of: F) -> Self {
        Self { of, remembers: false }
    }
}

impl<F: OfFrame> State for KernelState<F> {
    #[inline(always)]
    fn decide_side<R: PacketRead + ?Sized, T: Tables>(
        &mut self,
        _: &R,
        _: &T,
        _: &Given,
        work: &mut Work,
    ) {
        lend(work, || self.of.decide_side());
    }

    #[inline(always)]
    fn with_flow<R>(
        &mut self,
        key: &FlowKey,
        change: impl FnOnce(&mut FlowEntry) -> R,
    ) -> Option<R> {
        let entry = match maps::FLOWS.get_ptr_mut(key) {
            Some(entry) => entry,
            None => maps::HALF_OPEN.get_ptr_mut(key)?,
        };
        // SAFETY: the pointer stays valid for the program's run. Another CPU may write the same
        // entry: every field is an aligned integer, and `track` takes each value it can see.
        Some(change(unsafe { &mut *entry }))
    }

    #[inline(always)]
    fn put_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> bool {
        if is_half_open(entry) {
            // One that is long over may still be there, and would be found first.
            let _ = maps::FLOWS.remove(key);
            return maps::HALF_OPEN.insert(key, entry, ANY).is_ok();
        }
        if maps::FLOWS.insert(key, entry, ANY).is_err() {
            return false;
        }
        // Most flows begin half open. If this one has not, there is nothing to remove.
        let _ = maps::HALF_OPEN.remove(key);
        true
    }

    #[inline(always)]
    fn remove_flow(&mut self, key: &FlowKey) {
        // It is in one of them, or has been evicted meanwhile.
        let _ = maps::FLOWS.remove(key);
        let _ = maps::HALF_OPEN.remove(key);
    }

    #[inline(always)]
    fn with_cached<R>(
        &mut self,
        place: u32,
        change: impl FnOnce(&mut CachedFlow) -> R,
    ) -> Option<R> {
        let block = maps::CACHE.get_ptr_mut(place / BLOCK_FLOWS as u32)?;
        // SAFETY: the pointer stays valid for the program's run, and the value is this CPU's own.
        Some(change(unsafe { &mut (*block)[place as usize % BLOCK_FLOWS] }))
    }

    #[inline(always)]
    fn with_window<R>(&mut self, place: u32, change: impl FnOnce(&mut Window) -> R) -> Option<R> {
        let window = maps::WINDOWS.get_ptr_mut(place)?;
        // SAFETY: as in `with_flow`.
        Some(change(unsafe { &mut *window }))
    }

    #[inline(always)]
    fn presence(&self, place: u32) -> u64 {
        let [one, other] = self.presences(place);
        if place & 1 == 0 { one } else { other }
    }

    #[inline(always)]
    fn presences(&self, place: u32) -> [u64; 2] {
        match maps::PRESENCE.get_ptr(place >> 1) {
            Some(pair) => {
                let one: *const u64 = pair.cast();
                [load(one), load(one.wrapping_add(1))]
            }
            None => [0; 2],
        }
    }

    #[inline(always)]
    fn change_presence(&mut self, place: u32, old: u64, new: u64) -> bool {
        presence_at(place).is_some_and(|word| compare_exchange(word, old, new) == old)
    }

    #[inline(always)]
    fn set_presence(&mut self, place: u32, new: u64) {
        if let Some(word) = presence_at(place) {
            store(word, new);
        }
    }

    #[inline(always)]
    fn clock(&self) -> u32 {
        maps::CLOCK.get_ptr(0).map_or(0, load) as u32
    }

    #[inline(always)]
    fn set_clock(&mut self, now: u32) {
        if let Some(tick) = maps::CLOCK.get_ptr_mut(0)
            && load(tick) != now as u64
        {
            store(tick, now as u64);
        }
    }

    #[inline(always)]
    fn find_windows(&mut self, work: &mut Work) {
        lend(work, || ringfence_find_windows(0));
    }

    #[inline(always)]
    fn conclude(&mut self, now: u32, work: &mut Work) {
        lend(work, || ringfence_conclude(now));
    }

    #[inline(always)]
    fn touch_presence(&mut self, now: u32, work: &mut Work) {
        lend(work, || ringfence_touch_presence(now));
    }

    #[inline(always)]
    fn remember(&mut self, _: &Place, _: u32, _: &mut Work) {
        self.remembers = true;
    }

    #[inline(always)]
    fn with_fragments<R>(
        &mut self,
        key: &FragmentKey,
        change: impl FnOnce(&mut FragmentEntry) -> R,
    ) -> Option<R> {
        let entry = maps::FRAGMENTS.get_ptr_mut(key)?;
        // SAFETY: as in `with_flow`.
        Some(change(unsafe { &mut *entry }))
    }

    #[inline(always)]
    fn put_fragments(&mut self, key: &FragmentKey, entry: &FragmentEntry) -> bool {
        maps::FRAGMENTS.insert(key, entry, ANY).is_ok()
    }

    #[inline(always)]
    fn remove_fragments(&mut self, key: &FragmentKey) {
        // As in `remove_flow`.
        let _ = maps::FRAGMENTS.remove(key);
    }
}
