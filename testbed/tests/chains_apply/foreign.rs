//! What is not ours.

use ringfence_dataplane::backend::Backend as _;
use ringfence_dataplane::backend::xtables::{Variant, XtablesError};

use crate::scene::{Scene, shop, shop_with_one_more};

#[test]
fn a_chain_of_our_name_that_somebody_else_has_made_is_refused() {
    for scene in Scene::each() {
        scene.shell("ip6tables -N RINGFENCE-FORWARD; ip6tables -A RINGFENCE-FORWARD -j ACCEPT");
        let before = scene.saved();
        let error = scene.apply(&mut scene.iptables(), &shop()).unwrap_err();
        assert!(matches!(error, XtablesError::ForeignChain { .. }), "{error}");
        let message = error.to_string();
        let begins = "chain `RINGFENCE-FORWARD` of `ip6tables filter` has a name of ours, and no \
                      rule in it is ours: rename it (`ip6tables-";
        assert!(message.starts_with(begins), "{message}");
        assert_eq!(scene.saved(), before);
        scene.shell("ip6tables -E RINGFENCE-FORWARD OTHER");
        scene.applied(&mut scene.iptables(), &shop());
        assert!(scene.saved().contains(&"-A OTHER -j ACCEPT".to_owned()));
    }
}

#[test]
fn a_rule_with_a_comment_like_ours_is_somebody_elses() {
    for scene in Scene::each() {
        scene.shell(
            r#"iptables -A INPUT -s 192.0.2.7 -m comment --comment "rf:admin access" -j ACCEPT
               iptables -A INPUT -m comment --comment rf:Jump -j DOCKER-USER
               ip6tables -A FORWARD -m comment --comment rf:NoRule -j DROP"#,
        );
        let before = scene.saved();
        let rules = |lines: &[String]| -> Vec<String> {
            let ours = |line: &&String| line.contains("RINGFENCE-") || line.contains("RF-");
            let rules = lines.iter().filter(|line| line.starts_with("-A ") && !ours(line));
            rules.cloned().collect()
        };
        let others = rules(&before);
        assert!(others.iter().any(|rule| rule.contains("rf:admin access")), "{others:?}");
        for shop in [shop(), shop_with_one_more()] {
            scene.applied(&mut scene.iptables(), &shop);
            assert_eq!(rules(&scene.saved()), others);
        }
        scene.run(|| scene.iptables().remove()).unwrap().unwrap();
        assert_eq!(scene.saved(), before);
    }
}

#[test]
fn a_rule_of_somebody_else_that_leads_to_us_is_named_when_we_go() {
    for scene in Scene::each() {
        scene.applied(&mut scene.iptables(), &shop());
        scene.shell("iptables -A DOCKER-USER -i eth7 -j RINGFENCE-FORWARD");
        // Changes go on: nobody has to leave.
        scene.applied(&mut scene.iptables(), &shop_with_one_more());
        let before = scene.saved();
        let message = scene.run(|| scene.iptables().remove()).unwrap_err().to_string();
        assert!(
            message.starts_with(
                "rule `-A DOCKER-USER -i eth7 -j RINGFENCE-FORWARD` of `iptables filter` is not \
                 ours and leads to a chain of ours that is to be removed: delete it ("
            ),
            "{message}"
        );
        assert_eq!(scene.saved(), before);
        // The way out that the message names.
        let way_out = message.split("delete it (`").nth(1).unwrap().split('`').next().unwrap();
        scene.shell(way_out);
        scene.run(|| scene.iptables().remove()).unwrap();
        assert_eq!(scene.others(), scene.saved());
    }
}

#[test]
fn rules_in_the_other_variant_are_warned_of() {
    for scene in Scene::each() {
        let other = scene.variant.other();
        let quiet = scene.applied(&mut scene.iptables(), &shop());
        assert_eq!(quiet.warnings, [""; 0]);
        scene.shell(&format!("{other} -A INPUT -p tcp --dport 23 -j DROP"));
        let warned = scene.applied(&mut scene.iptables(), &shop());
        let begins = format!("`{other}` holds 1 rules of others, and ringfence uses `");
        assert!(warned.warnings[0].starts_with(&begins), "{:?}", warned.warnings);
    }
}

#[test]
fn the_variant_is_the_one_that_iptables_is() {
    for scene in Scene::each() {
        let script = format!("exec /usr/sbin/{} \"$@\"", scene.variant);
        let folder = crate::tools::Folder::new().with("iptables", &script);
        let found = scene.run(|| Variant::of_host(&folder.tools())).unwrap();
        assert_eq!(found, scene.variant);
    }
}
