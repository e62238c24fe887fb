//! From one variant or backend to another.

use ringfence_dataplane::backend::Backend as _;
use ringfence_dataplane::backend::iptables::{Iptables, Layout};

use ringfence_dataplane::backend::xtables::XtablesError;

use crate::scene::{Scene, shop};

#[test]
fn the_other_variant_is_cleared_of_ours() {
    for scene in Scene::each() {
        let before = scene.saved();
        scene.applied(&mut scene.iptables(), &shop());
        let other = scene.variant.other();
        let records = scene.records().to_owned();
        let mut backend = Iptables::new(records, Some(other), Layout::Structured);
        let applied = scene.applied(&mut backend, &shop());
        assert_eq!(applied.numbers.generation, 2);
        assert_eq!(scene.saved(), before, "nothing of ours is left in {}", scene.variant);
        let removed: Vec<&String> =
            applied.steps.iter().filter(|step| step.ends_with(" removed")).collect();
        assert_eq!(removed.len(), 4, "{:?}", applied.steps);
        // Off clears both, whichever is asked.
        scene.applied(&mut scene.iptables(), &shop());
        scene.run(|| backend.remove()).unwrap().unwrap();
        assert_eq!(scene.saved(), before);
    }
}

#[test]
fn iptables_and_ipset_take_each_others_place() {
    for scene in Scene::each() {
        let before = scene.saved();
        scene.applied(&mut scene.iptables(), &shop());
        let alone = scene.saved();
        let with_sets = scene.applied(&mut scene.ipset(), &shop());
        assert_eq!(with_sets.warnings, [""; 0]);
        assert!(!scene.records().join("iptables.json").exists());
        assert_eq!(scene.run(|| scene.iptables().read_back()).unwrap(), None);
        assert_eq!(scene.run(|| scene.iptables().generation()).unwrap(), 0);
        scene.applied(&mut scene.iptables(), &shop());
        assert_eq!(scene.saved(), alone, "no set is left");
        assert!(!scene.records().join("ipset.json").exists());
        scene.run(|| scene.ipset().remove()).unwrap().unwrap();
        assert_eq!(scene.saved(), before);
    }
}

#[test]
fn a_rule_that_keeps_the_other_variant_from_going_is_found_before_the_change() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        scene.shell("iptables -A DOCKER-USER -i eth7 -j RINGFENCE-FORWARD");
        let other = scene.variant.other();
        let both = || {
            scene
                .shell("iptables-legacy-save; iptables-nft-save")
                .lines()
                .filter(|line| !line.starts_with(['#', ':']))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let before = both();
        let mut backend =
            Iptables::new(scene.records().to_owned(), Some(other), Layout::Structured);
        let error = scene.apply(&mut backend, &shop()).unwrap_err();
        assert!(matches!(error, XtablesError::ForeignJump { .. }), "{error}");
        assert_eq!(both(), before);
        scene.shell("iptables -D DOCKER-USER -i eth7 -j RINGFENCE-FORWARD");
        scene.applied(&mut backend, &shop());
    }
}

#[test]
fn chains_that_somebody_has_emptied_are_known_to_the_other_backend() {
    for scene in Scene::each() {
        let others = scene.saved();
        scene.applied(&mut scene.iptables(), &shop());
        scene.shell("iptables -t raw -F; iptables -t raw -A PREROUTING -i eth7 -j ACCEPT");
        scene.applied(&mut scene.ipset(), &shop());
        scene.shell("iptables -t raw -F; iptables -t raw -A PREROUTING -i eth7 -j ACCEPT");
        scene.applied(&mut scene.iptables(), &shop());
        scene.run(|| scene.iptables().remove()).unwrap().unwrap();
        assert_eq!(scene.saved(), others);
    }
}
