//! Applying, applying again, applying a change, and taking away.

use ringfence_common::abi::event::Counter;
use ringfence_common::abi::policy::Direction;
use ringfence_common::verdict::Reason;
use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::iptables::{Family, Iptables, Layout};
use ringfence_dataplane::backend::{Backend as _, How, Mode};

use crate::scene::{Scene, desired, ingress, other_shop, shop, shop_with_one_more};
use crate::tools::{Folder, READ_ONLY};

/// Tools with which the rules of the scene's variant can be read and not changed.
fn read_only(scene: &Scene) -> Folder {
    let restore = Family::ALL.map(|family| scene.variant.restore(family));
    restore.iter().fold(Folder::new(), |folder, tool| folder.with(tool, READ_ONLY))
}

#[test]
fn the_same_again_touches_nothing() {
    for scene in Scene::each() {
        let first = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!((first.how, first.numbers.generation), (How::Switched, 1));
        assert_eq!(first.entries_touched, first.entries, "all of it is new: {:?}", first.steps);
        assert!(first.entries > 0 && !first.steps.is_empty(), "{first:?}");
        let folder = read_only(&scene);
        let again = scene.applied(&mut scene.iptables().with_tools(folder.tools()), &shop());
        assert_eq!((again.how, again.numbers.generation), (How::Nothing, 1), "{:?}", again.steps);
        assert_eq!((again.entries, again.entries_touched), (first.entries, 0));
        assert_eq!((again.steps, again.policy), (Vec::new(), [0; 3]));
    }
}

#[test]
fn a_changed_rule_writes_the_chain_that_it_is_in_and_no_other() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        let before = scene.saved();
        let applied = scene.applied(&mut scene.iptables(), &shop_with_one_more());
        assert_eq!((applied.how, applied.numbers.generation), (How::InPlace, 2));
        assert_eq!(applied.steps.len(), 1, "the other family has no change: {:?}", applied.steps);
        assert!(applied.steps[0].contains(" filter: 1 chains, "), "{:?}", applied.steps);
        let plan = Plan::of(&shop_with_one_more());
        let database = plan.guards.iter().find(|guard| guard.name == "shop/db").unwrap();
        let chain = format!("-A RF-IN-{:08x} ", database.subject);
        let rest = |saved: &[String]| -> Vec<String> {
            saved.iter().filter(|line| !line.starts_with(&chain)).cloned().collect()
        };
        let after = scene.saved();
        assert_ne!(before, after);
        assert_eq!(rest(&before), rest(&after));
        assert_eq!(after.len(), before.len() + 1, "one rule more");
        assert!(after.iter().any(|line| line.contains("10.9.0.0/16")), "{after:#?}");
    }
}

#[test]
fn off_takes_away_all_of_ours_and_nothing_else() {
    for scene in Scene::each() {
        let before = scene.saved();
        scene.applied(&mut scene.iptables(), &shop());
        assert_ne!(scene.saved(), before);
        assert_eq!(scene.others(), before, "while installed");
        let removed = scene.run(|| scene.iptables().remove()).unwrap().unwrap();
        assert_eq!(removed.len(), 4, "two tables of two families: {removed:?}");
        assert_eq!(scene.saved(), before, "{}", scene.variant);
        assert!(std::fs::read_dir(scene.records()).unwrap().next().is_none(), "a record is left");
        assert_eq!(scene.run(|| scene.iptables().remove()).unwrap(), None, "a second time");
        assert_eq!(scene.run(|| scene.iptables().read_back()).unwrap(), None);
    }
}

#[test]
fn what_no_longer_has_policy_loses_its_chains() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        let one = [ingress("db", &["10.1.0.0/16"], 5432)];
        scene.applied(&mut scene.iptables(), &desired(&one));
        let installed = scene.saved();
        scene.run(|| scene.iptables().remove()).unwrap();
        scene.applied(&mut scene.iptables(), &desired(&one));
        assert_eq!(scene.saved(), installed, "as if nothing else had ever been there");
    }
}

#[test]
fn a_preview_says_what_is_done_and_does_nothing() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        let before = scene.saved();
        let desired = shop_with_one_more();
        let preview = scene.run(|| scene.iptables().preview(&desired, None)).unwrap();
        assert_eq!(scene.saved(), before);
        assert_eq!(preview, scene.applied(&mut scene.iptables(), &desired));
    }
}

#[test]
fn the_flat_layout_is_applied_and_changed_like_the_other() {
    for scene in Scene::each() {
        let before = scene.saved();
        let new = || {
            let records = scene.records().to_owned();
            Iptables::new(records, Some(scene.variant), Layout::Flat)
        };
        scene.applied(&mut new(), &shop());
        let again = scene.applied(&mut new(), &shop());
        assert_eq!(again.how, How::Nothing, "{:?}", again.steps);
        let other = scene.applied(&mut scene.iptables(), &shop());
        assert_ne!(other.how, How::Nothing, "another layout has other chains");
        scene.run(|| scene.iptables().remove()).unwrap();
        assert_eq!(scene.saved(), before);
    }
}

#[test]
fn connections_are_picked_up_until_the_time_that_is_said() {
    for scene in Scene::each() {
        let mut first = shop();
        first.settings.pick_up_until = Some(2_000_000_000);
        scene.applied(&mut scene.iptables(), &first);
        let before = scene.saved();
        assert!(before.iter().any(|line| line.contains("--datestop 2033-05-18")), "{before:#?}");
        let again = scene.applied(&mut scene.iptables(), &first);
        assert_eq!(again.how, How::Nothing, "{:?}", again.steps);
        assert_eq!(scene.saved(), before);
    }
}

#[test]
fn what_is_installed_is_told_with_its_mode_and_variant() {
    for scene in Scene::each() {
        let mut audited = shop();
        audited.mode = Mode::Audit;
        scene.applied(&mut scene.iptables(), &audited);
        let installed = scene.run(|| scene.iptables().read_back()).unwrap().unwrap();
        assert_eq!((installed.generation, installed.mode), (1, Mode::Audit));
        assert_eq!(installed.variant, Some(format!("{}, structured", scene.variant)));
        let names: Vec<&str> =
            installed.chains.iter().map(|chained| chained.chain.as_str()).collect();
        for jump in ["FORWARD -> RINGFENCE-FORWARD", "PREROUTING -> RINGFENCE-SOURCE"] {
            assert_eq!(names.iter().filter(|name| **name == jump).count(), 2, "{jump}: {names:?}");
        }
        let enforced = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!(enforced.numbers.generation, 2);
        let installed = scene.run(|| scene.iptables().read_back()).unwrap().unwrap();
        assert_eq!((installed.generation, installed.mode), (2, Mode::Enforce));
    }
}

#[test]
fn what_rules_have_counted_is_summed_by_rule_and_reason() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        let none = scene.run(|| scene.iptables().counters()).unwrap().unwrap();
        assert_eq!((none.reasons, none.rules.len(), none.lost_events), (Vec::new(), 0, None));
        // As if each rule of the policy about the database had counted that.
        let counted = r#"$real "$@" | sed -e '/shop.db ingress/s/^\[0:0\]/[3:180]/' \
            -e '/-A RF-IN-.*rf:NoRule/s/^\[0:0\]/[2:100]/'"#;
        let save = Family::ALL.map(|family| scene.variant.save(family));
        let folder = save.iter().fold(Folder::new(), |folder, tool| folder.with(tool, counted));
        let backend = scene.iptables().with_tools(folder.tools());
        let counters = scene.run(|| backend.counters()).unwrap().unwrap();
        let saved = scene.saved();
        let lines = |of: &str| saved.iter().filter(|line| line.contains(of)).count() as u64;
        let of_rule: Vec<_> = counters.rules.values().collect();
        let rules = lines("shop/db ingress");
        let expected = Counter { packets: 3 * rules, bytes: 180 * rules };
        assert!(rules > 0 && of_rule == [&expected], "{of_rule:?} in {saved:#?}");
        let [reason] = counters.reasons.as_slice() else { panic!("{:?}", counters.reasons) };
        assert_eq!((reason.reason, reason.direction), (Reason::NoRule, Some(Direction::Ingress)));
        let refusals = lines("rf:NoRule");
        assert_eq!(reason.count, Counter { packets: 2 * refusals, bytes: 100 * refusals });
    }
}

#[test]
fn senders_are_checked_by_the_old_and_the_new_rules_while_policy_changes() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        // What the host holds after each change of the first family.
        let watched = format!(
            r#"case "$*" in *--test*) exec $real "$@";; esac
            $real "$@" || exit 1
            {} > $here/step$(ls $here | grep -c ^step)"#,
            scene.variant.save(Family::V4)
        );
        let folder = Folder::new().with(&scene.variant.restore(Family::V4), &watched);
        scene.applied(&mut scene.iptables().with_tools(folder.tools()), &other_shop());
        let steps: Vec<[bool; 4]> = (0..)
            .map(|step| folder.path().join(format!("step{step}")))
            .map_while(|path| std::fs::read_to_string(path).ok())
            .map(|saved| {
                let enters = |chain: &str| {
                    let jump = format!("-j {chain}");
                    saved.lines().any(|l| l.starts_with("-A PREROUTING") && l.ends_with(&jump))
                };
                let checks = |interface: &str| {
                    let chains = ["-A RINGFENCE-SOURCE ", "-A RF-NEXT-SOURCE "];
                    let mut lines =
                        saved.lines().filter(|l| chains.iter().any(|c| l.starts_with(c)));
                    enters("RINGFENCE-SOURCE") && lines.any(|l| l.contains(interface))
                };
                let has_new_policy = saved.contains(" -s 10.7.0.0/16 ");
                [checks(" wl0 "), checks(" new0 "), enters("RF-NEXT-SOURCE"), has_new_policy]
            })
            .collect();
        // Checked as before, checked as from now on, side by side, the policy of from now on.
        let expected =
            [[true, true, true, false], [true, true, true, true], [false, true, false, true]];
        assert_eq!(steps, expected, "{}", scene.variant);
    }
}
