//! What an apply leaves that was stopped halfway.

use std::fs;

use ringfence_dataplane::backend::{Backend as _, How};

use crate::scene::{Scene, shop, shop_with_one_more};

/// Makes the record say that it was not finished.
fn interrupt(scene: &Scene, record: &str) {
    let path = scene.records().join(record);
    let text = fs::read_to_string(&path).unwrap();
    let unfinished = text.replace("\"unfinished\":false", "\"unfinished\":true");
    assert_ne!(text, unfinished);
    fs::write(path, unfinished).unwrap();
}

#[test]
fn chains_and_sets_of_an_interrupted_apply_are_cleaned_up() {
    for scene in Scene::each() {
        scene.applied(&mut scene.ipset(), &shop());
        let chains = |scene: &Scene| -> Vec<String> {
            let saved = scene.saved().into_iter();
            let saved = saved.map(|line| line.replace(".1 ", ".0 "));
            let mut saved: Vec<String> = saved.filter(|line| !line.contains("rf#")).collect();
            saved.sort();
            saved
        };
        let before = chains(&scene);
        scene.shell(
            r#"iptables -t raw -N RF-NEXT-SOURCE
               iptables -t raw -A RF-NEXT-SOURCE -m comment --comment rf:Spoofed -j DROP
               iptables -t raw -I PREROUTING 2 -m comment --comment rf:Jump -j RF-NEXT-SOURCE
               ipset create rf4-in-00000007-1a.1 hash:net,port comment
               ipset add rf4-in-00000007-1a.1 10.0.0.0/8,tcp:80 comment rf:NoRule
               ipset create rf6-in-00000007-1a.3 hash:net,port family inet6 comment"#,
        );
        interrupt(&scene, "ipset.json");
        let applied = scene.applied(&mut scene.ipset(), &shop());
        assert_eq!(applied.how, How::Switched, "{:?}", applied.steps);
        assert!(applied.warnings[0].contains("an apply was interrupted"), "{:?}", applied.warnings);
        assert_eq!(chains(&scene), before);
    }
}

#[test]
fn without_a_record_everything_is_installed_as_a_whole() {
    for scene in Scene::each() {
        let others = scene.others();
        scene.applied(&mut scene.iptables(), &shop());
        let before = scene.saved();
        fs::remove_file(scene.records().join("iptables.json")).unwrap();
        let message = scene.run(|| scene.iptables().read_back()).unwrap_err().to_string();
        assert!(message.contains("iptables.json` does not describe them"), "{message}");
        let applied = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!((applied.how, applied.numbers.generation), (How::Switched, 1));
        assert_eq!(applied.entries_touched, applied.entries, "{:?}", applied.steps);
        assert!(applied.warnings[0].contains("its record is gone"), "{:?}", applied.warnings);
        assert_eq!(scene.saved(), before);
        fs::remove_file(scene.records().join("iptables.json")).unwrap();
        scene.run(|| scene.iptables().remove()).unwrap().unwrap();
        assert_eq!(scene.saved(), others, "off needs no record");
    }
}

#[test]
fn a_set_of_our_name_that_is_not_ours_stays() {
    for scene in Scene::each() {
        scene.shell(
            "ipset create rf4-mine hash:ip; ipset add rf4-mine 192.0.2.3
             ipset create rf4-blocklist hash:net comment
             ipset create rf4-in-0000002a-1a.0 hash:ip comment",
        );
        scene.applied(&mut scene.ipset(), &shop());
        scene.applied(&mut scene.ipset(), &shop_with_one_more());
        scene.run(|| scene.ipset().remove()).unwrap().unwrap();
        let sets = scene.shell("ipset list -n | sort");
        assert_eq!(sets, "blocklist\nrf4-blocklist\nrf4-in-0000002a-1a.0\nrf4-mine\n");
    }
}
