//! Every slot says again what it was made of, and its key is what look-ups ask for.

extern crate std;

use super::*;

fn masked<const WORDS: usize>(slot: [u64; WORDS], mask: [u64; WORDS]) -> [u64; WORDS] {
    std::array::from_fn(|word| slot[word] & mask[word])
}

#[test]
fn attachments() {
    for (ifindex, hook) in [(1, 0), (7, 2), (u32::MAX, 1)] {
        let key = AttachmentKey { ifindex, hook };
        let attachment = Attachment { checks: 0x5a, endpoint: 0x8000_0001 };
        let endpoint =
            Endpoint { subject: 9, ingress_forms: 0xff, egress_forms: 0x81, ..Endpoint::default() };
        let whole = Station { attachment, endpoint, address: 0x0a00_0001, identity: u32::MAX };
        let slot = attachment_slot(&key, &whole);
        assert_eq!(masked(slot, ATTACHMENT_KEY), attachment_key(&key));
        assert_eq!((key_of_attachment(slot), station(slot)), (key, whole));
        assert_eq!(super::attachment(slot), attachment);
    }
}

#[test]
fn endpoints() {
    let entry = Endpoint {
        subject: 0xffff_fffe,
        ifindex: 0x8000_0003,
        ingress_forms: 0x7f,
        egress_forms: 0x80,
        ..Endpoint::default()
    };
    for number in [1, 300, u32::MAX] {
        let slot = endpoint_slot(number, &entry);
        assert_eq!(masked(slot, ENDPOINT_KEY), endpoint_key(number));
        assert_eq!((number_of_endpoint(slot), endpoint(slot)), (number, entry));
    }
}

#[test]
fn addresses() {
    let entry = AddressEntry { identity: 0xffff_fff0, endpoint: 0x8000_0007 };
    for (address, length) in [(0, 0), (0x0a00_0000, 8), (u32::MAX, 32)] {
        let slot = v4_slot(address, length, &entry);
        assert_eq!(masked(slot, V4_KEY), v4_key(address, length));
        assert_eq!((v4_of(slot), address_entry(slot[1])), ((address, length), entry));
        assert_ne!(slot[0], 0, "a prefix of no length is a key too");
    }
    for (address, length) in [([0, 0], 0), ([1 << 63, 0], 1), ([u64::MAX; 2], 128)] {
        let slot = v6_slot(address, length, &entry);
        assert_eq!(masked(slot, V6_KEY), v6_key(address, length));
        assert_eq!((v6_of(slot), address_entry(slot[2])), ((address, length), entry));
        assert_ne!(slot[3], 0, "a prefix of no length is a key too");
    }
}

#[test]
fn policy() {
    let key = PolicyKey { subject: u32::MAX, peer: 0x8000_0000, service: 0xc0ff_ee00 };
    for action in [action::ALLOW, action::DENY] {
        for flags in [0, entry_flags::LOG] {
            for place in [0, 1, (1 << PackedEntry::PLACE_BITS) - 1] {
                let entry = PolicyEntry { action, flags, rule: 77, ..PolicyEntry::default() };
                let packed = PackedEntry::new(&entry, place);
                assert_eq!(packed.unpack(), PolicyEntry { rule: place, ..entry });
                let slot = policy_slot(&key, packed);
                assert_eq!(masked(slot, POLICY_KEY), policy_key(&key));
                assert_eq!((key_of_policy(slot), policy_entry(slot)), (key, packed));
            }
        }
    }
    assert_eq!(PackedEntry(0).unpack().action, 0, "nothing is no verdict");
}

#[test]
fn a_place_that_is_too_high_does_not_become_an_action() {
    let entry = PolicyEntry { action: action::DENY, ..PolicyEntry::default() };
    let packed = PackedEntry::new(&entry, u32::MAX);
    assert_eq!((packed.unpack().action, packed.unpack().flags), (action::DENY, 0));
}
