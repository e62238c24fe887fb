//! What somebody does to our rules is noticed, and made good by the next apply.

use ringfence_dataplane::backend::{Backend as _, How};

use crate::scene::{Scene, shop};

/// Does `script` to installed rules; what is noticed, and what the host holds after the next
/// apply is as it was.
fn is_made_good(script: &str, noticed: &[&str]) {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        let before = scene.saved();
        scene.shell(script);
        assert_ne!(scene.saved(), before, "{script}");
        let astray = scene.astray(&scene.iptables());
        assert_eq!(astray.len(), noticed.len(), "{script}: {astray:?}");
        for (astray, noticed) in astray.iter().zip(noticed) {
            assert!(
                astray.starts_with(noticed.split('*').next().unwrap())
                    && astray.ends_with(noticed.split('*').next_back().unwrap()),
                "{script}: {astray} instead of {noticed}"
            );
        }
        let applied = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!(applied.how, How::InPlace, "{:?}", applied.steps);
        assert_eq!(scene.saved(), before, "{script}");
        scene.run(|| scene.iptables().remove()).unwrap();
        assert_eq!(scene.saved(), scene.others(), "{script}: something is left");
    }
}

#[test]
fn a_deleted_jump() {
    is_made_good(
        "iptables -D FORWARD -m comment --comment rf:Jump -j RINGFENCE-FORWARD",
        &["iptables filter FORWARD -> RINGFENCE-FORWARD missing"],
    );
}

#[test]
fn deleted_jumps_of_both_tables_and_families() {
    is_made_good(
        "for family in iptables ip6tables; do
             $family -t raw -D PREROUTING 1
             $family -D FORWARD 1
         done",
        &[
            "ip6tables filter FORWARD -> RINGFENCE-FORWARD missing",
            "ip6tables raw PREROUTING -> RINGFENCE-SOURCE missing",
            "iptables filter FORWARD -> RINGFENCE-FORWARD missing",
            "iptables raw PREROUTING -> RINGFENCE-SOURCE missing",
        ],
    );
}

#[test]
fn a_jump_that_others_have_put_themselves_before() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        scene.shell("iptables -I FORWARD -s 192.0.2.9 -j ACCEPT");
        let astray = scene.astray(&scene.iptables());
        assert_eq!(astray, ["iptables filter FORWARD -> RINGFENCE-FORWARD changed"]);
        let others = scene.others();
        let applied = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!((applied.how, applied.entries_touched), (How::InPlace, 0));
        let saved = scene.saved();
        let mut filter = saved.iter().skip_while(|line| *line != "*filter");
        let forward = filter.find(|line| line.starts_with("-A FORWARD -")).unwrap();
        assert!(forward.ends_with("-j RINGFENCE-FORWARD"), "{saved:#?}");
        assert_eq!(scene.others(), others);
    }
}

#[test]
fn a_jump_that_is_there_twice() {
    is_made_good(
        "iptables -A FORWARD -m comment --comment rf:Jump -j RINGFENCE-FORWARD",
        &["iptables filter FORWARD -> RINGFENCE-FORWARD changed"],
    );
}

#[test]
fn rules_added_to_and_deleted_from_a_chain_of_ours() {
    is_made_good(
        "chain=$(iptables -S | sed -n 's/^-N \\(RF-IN-.*\\)/\\1/p' | head -n 1)
         iptables -I $chain -j ACCEPT",
        &["iptables filter RF-IN-* changed"],
    );
    is_made_good(
        "chain=$(iptables -S | sed -n 's/^-N \\(RF-IN-.*\\)/\\1/p' | head -n 1)
         iptables -D $chain 1",
        &["iptables filter RF-IN-* changed"],
    );
}

#[test]
fn a_chain_of_ours_that_is_emptied() {
    is_made_good(
        "iptables -F RINGFENCE-FORWARD; ip6tables -t raw -F RINGFENCE-SOURCE",
        &["ip6tables raw RINGFENCE-SOURCE changed", "iptables filter RINGFENCE-FORWARD changed"],
    );
}

#[test]
fn everything_emptied_and_off() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        scene.shell("iptables -F; ip6tables -F; iptables -t raw -F; ip6tables -t raw -F");
        assert!(scene.saved().iter().any(|line| line.starts_with(":RF-")), "chains are left");
        scene.run(|| scene.iptables().remove()).unwrap();
        assert!(!scene.saved().iter().any(|line| line.contains("RF-")), "{:#?}", scene.saved());
        assert!(!scene.saved().iter().any(|line| line.contains("RINGFENCE")));
    }
}
