//! What is refused leaves what was there, and says why.

use std::fs::{self, File};

use nix::fcntl::{Flock, FlockArg};
use ringfence_dataplane::backend::iptables::Family;
use ringfence_dataplane::backend::tool::{ToolError, Tools};
use ringfence_dataplane::backend::xtables::{Variant, XtablesError};
use ringfence_dataplane::backend::{Backend as _, How};

use crate::scene::{Scene, desired, ingress, other_shop, shop, shop_with_one_more};
use crate::tools::Folder;

/// A script for a tool that takes everything as a test, and nothing else.
const ONLY_TESTS: &str = r#"case "$*" in *--test*) exec $real "$@";; esac
echo "iptables-restore: line 1 failed: no room" >&2; exit 1"#;

#[test]
fn the_first_family_goes_back_when_the_second_is_refused() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        let before = scene.saved();
        let folder = Folder::new().with(&scene.variant.restore(Family::V6), ONLY_TESTS);
        let mut crippled = scene.iptables().with_tools(folder.tools());
        let error = scene.apply(&mut crippled, &other_shop()).unwrap_err();
        let message = error.to_string();
        // The way back needs the tool too, but only where something has been changed.
        assert!(matches!(error, XtablesError::Refused { .. }), "{message}");
        assert!(message.contains("no room"), "{message}");
        assert!(message.ends_with("; what was enforced before is enforced still"), "{message}");
        assert_eq!(scene.saved(), before);
        assert_eq!(scene.astray(&scene.iptables()), [""; 0]);
        let again = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!((again.how, again.numbers.generation), (How::Nothing, 1), "{:?}", again.steps);
        let other = scene.applied(&mut scene.iptables(), &other_shop());
        assert_eq!(other.numbers.generation, 2);
    }
}

#[test]
fn a_host_that_does_not_go_back_is_told() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        // The first family takes two changes, and no third.
        let counting = r#"case "$*" in *--test*) exec $real "$@";; esac
            echo >> $here/changes
            [ $(wc -l < $here/changes) -le 2 ] && exec $real "$@"
            echo "iptables-restore: line 1 failed: no way back" >&2; exit 1"#;
        let folder = Folder::new()
            .with(&scene.variant.restore(Family::V6), ONLY_TESTS)
            .with(&scene.variant.restore(Family::V4), counting);
        let changed = desired(&[
            ingress("db", &["10.8.0.0/16", "fd08::/64"], 5432),
            ingress("web", &["10.3.0.0/16", "fd03::/64"], 8080),
        ]);
        let mut two = scene.iptables().with_tools(folder.tools());
        // One change of the first family is made, then the second is refused, and going back works;
        let error = scene.apply(&mut two, &changed).unwrap_err();
        assert!(matches!(error, XtablesError::Refused { .. }), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("changes")).unwrap().len(), 2);
        // then the same once more, and going back does not.
        fs::write(folder.path().join("changes"), "\n").unwrap();
        let message = scene.apply(&mut two, &changed).unwrap_err().to_string();
        for part in [
            "putting back what was enforced before failed too: ",
            "no way back",
            "the host enforces a mixture of both: apply again, or open the host with `ringfence off`",
        ] {
            assert!(message.contains(part), "{message}");
        }
        // What is there is not relied on any more.
        let whole = scene.applied(&mut scene.iptables(), &changed);
        assert_eq!(whole.how, How::Switched, "{:?}", whole.steps);
        assert!(whole.warnings[0].contains("installed as a whole"), "{:?}", whole.warnings);
    }
}

#[test]
fn a_first_apply_that_is_refused_leaves_an_open_host() {
    for scene in Scene::each() {
        let before = scene.saved();
        let folder = Folder::new().with(&scene.variant.restore(Family::V6), ONLY_TESTS);
        let mut crippled = scene.iptables().with_tools(folder.tools());
        scene.apply(&mut crippled, &shop()).unwrap_err();
        assert_eq!(scene.saved(), before);
        assert_eq!(scene.run(|| scene.iptables().read_back()).unwrap(), None);
        assert!(fs::read_dir(scene.records()).unwrap().next().is_none(), "a record is left");
    }
}

#[test]
fn a_line_that_the_tool_refuses_is_told_with_its_rule() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        let before = scene.saved();
        let spoiling = r#"sed 's/--dport 5432/--dport 99999/' | $real "$@""#;
        let folder = Folder::new().with(&scene.variant.restore(Family::V4), spoiling);
        let mut spoiled = scene.iptables().with_tools(folder.tools());
        let error = scene.apply(&mut spoiled, &shop_with_one_more()).unwrap_err();
        let message = error.to_string();
        let XtablesError::Refused { why } = error else { panic!("{message}") };
        let XtablesError::Tool(ToolError::Line { text, rule, said, .. }) = *why else {
            panic!("{message}")
        };
        assert!(text.starts_with("-A RF-IN-") && text.contains("--dport 5432"), "{text}");
        let rule = rule.unwrap_or_else(|| panic!("no rule is named: {message}"));
        assert_eq!(rule.name, "networkpolicy/shop/db ingress[0]");
        assert!(rule.origin.is_some_and(|origin| origin.starts_with("test.yaml:")), "{message}");
        assert!(said.contains("99999"), "{message}");
        assert_eq!(scene.saved(), before);
        assert_eq!(scene.astray(&scene.iptables()), [""; 0]);
    }
}

#[test]
fn an_element_that_the_tool_refuses_is_told_with_its_rule() {
    for scene in Scene::each() {
        scene.applied(&mut scene.ipset(), &shop());
        let before = scene.saved();
        let spoiling = r#"case "$*" in *restore*) sed '/^add /s/10.9.0.0/10.9.0.x/' | $real "$@";;
            *) exec $real "$@";; esac"#;
        let folder = Folder::new().with("ipset", spoiling);
        let mut spoiled = scene.ipset().with_tools(folder.tools());
        let message = scene.apply(&mut spoiled, &shop_with_one_more()).unwrap_err().to_string();
        for part in [
            "`ipset` refuses line 1, `add rf4-in-",
            ", which comes from `networkpolicy/shop/db ingress[0]` at test.yaml:",
            "; what was enforced before is enforced still",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(scene.saved(), before);
    }
}

#[test]
fn a_tool_that_is_not_installed_is_named_before_anything_is_changed() {
    for scene in Scene::each() {
        let before = scene.saved();
        let mut nothing = scene.iptables().with_tools(Tools::in_folders([]));
        let message = scene.apply(&mut nothing, &shop()).unwrap_err().to_string();
        let save = scene.variant.save(Family::V4);
        assert!(message.starts_with(&format!("`{save}` is not installed")), "{message}");
        assert!(message.contains("`apt-get install iptables`"), "{message}");
        let folder = Folder::new().without("ipset");
        let mut without = scene.ipset().with_tools(folder.tools());
        let message = scene.apply(&mut without, &shop()).unwrap_err().to_string();
        assert!(message.starts_with("`ipset` is not installed"), "{message}");
        assert!(message.contains("`apt-get install ipset`"), "{message}");
        assert_eq!(scene.saved(), before);
        assert!(fs::read_dir(scene.records()).unwrap().next().is_none(), "a record is left");
    }
}

#[test]
fn who_holds_the_lock_of_iptables_is_told() {
    let Some(scene) = Scene::of(Variant::Legacy) else { return };
    scene.applied(&mut scene.iptables(), &shop());
    let before = scene.saved();
    let message = scene.run(|| {
        let file = File::options().create(true).append(true).open("/run/xtables.lock").unwrap();
        let _held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        scene.iptables().apply(&shop_with_one_more(), None).unwrap_err().to_string()
    });
    let holder = format!("which process {} (`", std::process::id());
    for part in [
        "`iptables-legacy-restore` has waited 5 seconds for the lock of iptables, \
         `/run/xtables.lock`, ",
        &holder,
        "; what was enforced before is enforced still",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(scene.saved(), before);
    scene.applied(&mut scene.iptables(), &shop_with_one_more());
}

#[test]
fn off_needs_the_tools_of_all_that_is_recorded() {
    for scene in Scene::each() {
        let others = scene.saved();
        scene.applied(&mut scene.ipset(), &shop());
        let before = scene.saved();
        let tools =
            ["ipset".to_owned(), scene.variant.save(Family::V6), scene.variant.restore(Family::V4)];
        for tool in tools {
            let folder = Folder::new().without(&tool);
            let mut crippled = scene.ipset().with_tools(folder.tools());
            let error = scene.run(|| crippled.remove()).unwrap_err();
            let is_missing = |error: &ToolError| matches!(error, ToolError::Missing { .. });
            let XtablesError::Tool(source) = &error else { panic!("{error}") };
            assert!(is_missing(source) && error.to_string().contains(&tool), "{error}");
            assert_eq!(scene.saved(), before, "without `{tool}`");
            assert!(scene.records().join("ipset.json").exists(), "without `{tool}`");
        }
        scene.run(|| scene.ipset().remove()).unwrap().unwrap();
        assert_eq!(scene.saved(), others);
        assert!(!scene.records().join("ipset.json").exists());
    }
}

#[test]
fn a_change_that_cannot_be_recorded_is_in_force_and_says_so() {
    for scene in Scene::each() {
        let restore = r#"$real "$@" || exit 1
            case "$*" in *--test*) ;; *) touch $here/changed;; esac"#;
        let save = r#"[ -e $here/changed ] || exec $real "$@"
            echo "no memory" >&2; exit 1"#;
        let folder = Folder::new()
            .with(&scene.variant.restore(Family::V6), restore)
            .with(&scene.variant.save(Family::V4), save);
        let mut crippled = scene.iptables().with_tools(folder.tools());
        let applied = scene.apply(&mut crippled, &shop()).unwrap();
        let [undone] = applied.left_undone.as_slice() else { panic!("{:?}", applied.left_undone) };
        assert!(undone.starts_with("what is installed could not be recorded"), "{undone}");
        assert!(undone.ends_with("no memory"), "{undone}");
        let installed = scene.saved();
        assert!(installed.iter().any(|line| line.starts_with(":RINGFENCE-FORWARD")));
        let again = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!((again.how, again.left_undone.len()), (How::Switched, 0), "{:?}", again.steps);
        assert_eq!(scene.saved(), installed);
    }
}
