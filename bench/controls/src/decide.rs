//! Decisions as others make them, as lean as they can be written: no connection tracking, no
//! events, no modes.

use aya_ebpf::btf_maps::lpm_trie::Key;
use ringfence_controls::{ANYONE, policy_data, service, verdict};

use crate::frame::{Frame, Packet};
use crate::maps;

/// Decides a frame by `look_up` and counts the verdict; whether it passes.
#[inline(always)]
pub fn decide(frame: Frame, look_up: impl Fn(&Packet) -> u32) -> bool {
    let Some(packet) = frame.parse() else { return false };
    let verdict = look_up(&packet);
    if let Some(counter) = maps::COUNTERS.get_ptr_mut(verdict) {
        // SAFETY: the value is this CPU's own and stays valid for the program's run.
        unsafe { *counter += 1 };
    }
    verdict == verdict::ALLOW
}

/// Two hash maps: address → identity, (identity, service) → verdict.
#[inline(always)]
pub fn by_two_hashes(packet: &Packet) -> u32 {
    let Packet { source, protocol, destination_port } = *packet;
    // SAFETY: the value is copied at once; nobody changes entries while a measurement runs.
    let identity = unsafe { maps::IDENTITY_HASH.get([source, 0]) }.copied().unwrap_or(ANYONE);
    let key = [identity, service(protocol, destination_port), 0, 0];
    // SAFETY: as above.
    unsafe { maps::VERDICT_HASH.get(key) }.copied().unwrap_or(verdict::DEFAULT)
}

/// Three tries, in the shape of Cilium: address → identity by the longest prefix, then policy for
/// this identity and policy for anyone, of which the first that is there decides.
#[inline(always)]
pub fn by_three_tries(packet: &Packet) -> u32 {
    let Packet { source, protocol, destination_port } = *packet;
    let address = Key::new(32, source.to_ne_bytes());
    let identity = maps::IDENTITY_TRIE.get(&address).copied().unwrap_or(ANYONE);
    let policy = |identity| {
        let data = policy_data(identity, protocol, destination_port);
        maps::POLICY_TRIE.get(&Key::new(64, data)).copied()
    };
    let (own, anyone) = (policy(identity), policy(ANYONE));
    own.or(anyone).unwrap_or(verdict::DEFAULT)
}
