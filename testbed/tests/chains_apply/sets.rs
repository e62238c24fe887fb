//! Sets: changed element by element, or all at once.

use ringfence_dataplane::backend::iptables::Family;
use ringfence_dataplane::backend::{Backend as _, How};

use crate::scene::{Scene, desired, ingress, shop, shop_with_one_more};
use crate::tools::{Folder, READ_ONLY};

#[test]
fn one_changed_rule_changes_one_element() {
    for scene in Scene::each() {
        scene.applied(&mut scene.ipset(), &shop());
        let before = scene.saved();
        // No chain can be touched, since nobody is there to do it.
        let folder = Family::ALL.iter().fold(Folder::new(), |folder, family| {
            folder.with(&scene.variant.restore(*family), READ_ONLY)
        });
        let mut ipset = scene.ipset().with_tools(folder.tools());
        let applied = scene.applied(&mut ipset, &shop_with_one_more());
        assert_eq!((applied.how, applied.entries_touched), (How::InPlace, 1));
        assert_eq!(applied.policy, [1, 0, 0]);
        let after = scene.saved();
        let new: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
        assert!(new.len() == 1 && new[0].contains(" 10.9.0.0/16,tcp:5432 comment "), "{new:?}");
        assert!(before.iter().all(|line| after.contains(line)), "nothing else has changed");
        let back = scene.applied(&mut ipset, &shop());
        assert_eq!((back.how, back.policy), (How::InPlace, [0, 0, 1]));
        assert_eq!(scene.saved(), before);
        let again = scene.applied(&mut ipset, &shop());
        assert_eq!((again.how, again.entries_touched), (How::Nothing, 0), "{:?}", again.steps);
    }
}

#[test]
fn what_cannot_change_in_place_gets_sets_of_another_name() {
    for scene in Scene::each() {
        let others = scene.others();
        scene.applied(&mut scene.ipset(), &shop());
        let sets = || -> Vec<String> {
            let names = scene.shell("ipset list -n");
            names.lines().filter(|name| name.starts_with("rf")).map(str::to_owned).collect()
        };
        let before = sets();
        assert!(!before.is_empty() && before.iter().all(|name| name.ends_with(".0")), "{before:?}");
        // A rule for everyone, so the chain changes, and a block less.
        let mut open = ingress("web", &["10.3.0.0/16", "fd03::/64"], 8080);
        open = open.replace("from: [{ipBlock: {cidr: \"10.3.0.0/16\"}}, ", "from: [");
        let other = desired(&[ingress("db", &["10.1.0.0/16", "fd01::/64"], 5433), open]);
        let applied = scene.applied(&mut scene.ipset(), &other);
        assert_eq!(applied.how, How::Switched);
        let after = sets();
        assert!(after.iter().any(|name| name.ends_with(".1")), "{after:?}");
        let base = |name: &String| name.split('.').next().unwrap().to_owned();
        let bases: Vec<String> = after.iter().map(base).collect();
        let mut once = bases.clone();
        once.dedup();
        assert_eq!(bases, once, "old sets are gone");
        assert_eq!(scene.others(), others);
        scene.run(|| scene.ipset().remove()).unwrap().unwrap();
        assert_eq!(scene.saved(), others);
    }
}

#[test]
fn elements_go_back_when_one_is_refused() {
    for scene in Scene::each() {
        scene.applied(&mut scene.ipset(), &shop());
        let before = scene.saved();
        // The first text is taken by half, as if the kernel had refused its second line.
        let halving = r#"case "$*" in *restore*) ;; *) exec $real "$@";; esac
            [ -e $here/halved ] && exec $real "$@"
            touch $here/halved
            head -n 1 | $real "$@"
            echo "ipset v7.17: Error in line 2: Kernel error received: out of memory" >&2
            exit 1"#;
        let folder = Folder::new().with("ipset", halving);
        let three = desired(&[
            ingress(
                "db",
                &["10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16", "10.10.0.0/16", "fd01::/64"],
                5432,
            ),
            ingress("web", &["10.3.0.0/16", "fd03::/64"], 8080),
        ]);
        let mut halved = scene.ipset().with_tools(folder.tools());
        let message = scene.apply(&mut halved, &three).unwrap_err().to_string();
        assert!(message.contains("out of memory; what was enforced before"), "{message}");
        assert!(folder.path().join("halved").exists());
        assert_eq!(scene.saved(), before);
        let again = scene.applied(&mut scene.ipset(), &shop());
        assert_eq!(again.how, How::Nothing, "{:?}", again.steps);
    }
}

#[test]
fn sets_that_are_made_go_again_when_chains_are_refused() {
    for scene in Scene::each() {
        scene.applied(&mut scene.ipset(), &shop());
        let before = scene.saved();
        let folder = Folder::new().with(&scene.variant.restore(Family::V6), READ_ONLY);
        let other = desired(&[ingress("db", &["10.8.0.0/16", "fd08::/64"], 5433)]);
        let mut crippled = scene.ipset().with_tools(folder.tools());
        let message = scene.apply(&mut crippled, &other).unwrap_err().to_string();
        assert!(message.contains("not to be changed; what was enforced before"), "{message}");
        assert_eq!(scene.saved(), before);
    }
}

#[test]
fn a_changed_element_is_noticed_and_made_good() {
    for scene in Scene::each() {
        scene.applied(&mut scene.ipset(), &shop());
        let elements = |scene: &Scene| -> Vec<String> {
            let saved = scene.saved().into_iter().filter(|line| line.starts_with("add rf"));
            let mut saved: Vec<String> = saved.map(|line| line.replace(".1 ", ".0 ")).collect();
            saved.sort();
            saved
        };
        let before = elements(&scene);
        scene.shell(
            "element=$(ipset save | grep -m 1 '^add rf4-in-.* 10.1.0.0/16,tcp:5432' \
                       | cut -d ' ' -f 2,3)
             ipset del $element
             ipset add ${element%% *} 10.66.0.0/16,tcp:5432",
        );
        let astray = scene.astray(&scene.ipset());
        assert_eq!(astray.len(), 1, "{astray:?}");
        assert!(astray[0].starts_with("ipset rf4-in-") && astray[0].ends_with(".0 changed"));
        let applied = scene.applied(&mut scene.ipset(), &shop());
        assert_eq!(applied.how, How::Switched, "{:?}", applied.steps);
        let [warning] = applied.warnings.as_slice() else { panic!("{:?}", applied.warnings) };
        let begins = "what was not as the last apply left it is put right: `ipset rf4-in-";
        assert!(warning.starts_with(begins) && warning.ends_with("` was changed"), "{warning}");
        assert_eq!(elements(&scene), before);
    }
}
