//! What is refused, and that nothing is half applied then.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use nix::mount::{MntFlags, umount2};
use ringfence_dataplane::backend::ebpf::EbpfError;
use ringfence_dataplane::enforce::{EnforceError, HookChoice, Options};
use ringfence_testbed::require;
use ringfence_testbed::veth::Netlink;

use crate::foreign::{self, At};
use crate::host::{Documents, Host, WORKLOADS, ingress, usual_policies};

const XDP: i32 = 2;
const TCX_NEXT: i32 = -1;
const TCX_PASS: i32 = 0;

/// A host with policy, and other documents that are going to be refused.
fn host_with_policy() -> (Host, Documents, Documents) {
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply(&documents);
    (host, documents, Documents::shop(&[ingress("db", &["web"], &[8080])]))
}

/// Applies `other`, which is refused, and checks that nothing has changed. What is said.
fn refused(host: &Host, other: &Documents, options: Options) -> EnforceError {
    // The folders of lock and state stay, once they are made.
    host.run(|| {
        for file in [host.paths.lock(), host.paths.installed()] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        fs::File::create(host.paths.lock()).unwrap();
    });
    let before = host.state();
    let error = host.try_apply(other, options).unwrap_err();
    assert_eq!(host.state(), before, "changed by an apply that was refused: {error}");
    let dry = host.try_apply(other, Options { dry_run: true, ..options }).unwrap_err();
    assert_eq!(dry.to_string(), error.to_string(), "a dry run says the same");
    error
}

fn index(host: &Host, interface: &str) -> u32 {
    host.run(|| Netlink::open().unwrap().index(interface).unwrap())
}

#[test]
fn without_a_file_system_for_pins() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    host.run(|| umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).unwrap());
    let documents = Documents::shop(&usual_policies());
    let before = host.files();
    for dry_run in [true, false] {
        let options = Options { dry_run, ..Options::default() };
        let error = host.try_apply(&documents, options).unwrap_err();
        assert!(matches!(error, EnforceError::Ebpf(EbpfError::NoBpffs { .. })), "{error:?}");
        assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
    }
    let made = host.files();
    let made: Vec<_> = made.difference(&before).filter(|file| !file.starts_with("/run/")).collect();
    assert!(made.iter().all(|file| !file.ends_with(".json")), "{made:?}");
    assert_eq!(host.status(), None);
    host.assert_verdicts(None);
}

#[test]
fn pins_that_others_may_touch() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let (pins, documents) = (host.paths.pins(), Documents::shop(&usual_policies()));
    let untrusted = |why: &str| {
        let error = refused(&host, &documents, Options::default());
        let is_it = matches!(error, EnforceError::Ebpf(EbpfError::UntrustedPins { .. }));
        assert!(is_it && error.to_string().contains(why), "{error}");
        host.run(|| assert!(fs::exists(&pins).unwrap(), "left for the user to inspect"));
    };
    let mode = |mode| fs::set_permissions(&pins, fs::Permissions::from_mode(mode)).unwrap();
    host.run(|| fs::create_dir(&pins).unwrap());
    host.run(|| mode(0o777));
    untrusted("others may use it (mode 0777)");
    host.run(|| {
        mode(0o700);
        chown(&pins, Some(12_345), None).unwrap();
    });
    untrusted("it belongs to user 12345");
    host.run(|| chown(&pins, Some(0), None).unwrap());
    host.assert_verdicts(None);

    host.apply(&documents);
    let links = pins.join("links");
    host.run(|| fs::set_permissions(&links, fs::Permissions::from_mode(0o770)).unwrap());
    let error = host.try_apply(&Documents::shop(&[]), Options::default()).unwrap_err();
    assert!(error.to_string().contains("links"), "{error}");
    host.run(|| fs::set_permissions(&links, fs::Permissions::from_mode(0o700)).unwrap());
    host.assert_contents(&documents, Options::default());
}

#[test]
fn an_interface_that_is_not_there() {
    let Some(_granted) = require::kernel() else { return };
    let (host, documents, _) = host_with_policy();
    let elsewhere = "---\n{apiVersion: ringfence.dev/v1alpha1, kind: Workload, metadata: \
                     {namespace: shop, name: new}, spec: {addresses: [10.20.0.77], interface: \
                     rf-bd}}\n";
    let other = Documents::new(&[WORKLOADS, elsewhere].concat());
    let error = refused(&host, &other, Options::default()).to_string();
    for part in ["workload `shop/new`", "`rf-bd`", "similar: `rf-db`", "leave it out"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    host.assert_verdicts(Some(&documents));
}

#[test]
fn somebody_elses_xdp_program() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    let uplink = index(&host, "uplink");
    let foreign = host.run(|| foreign::attach("balancer", uplink, At::Xdp, XDP));
    let error = refused(&host, &documents, Options::default()).to_string();
    for part in ["`uplink`", "`balancer`", "ip link set dev uplink xdp off", "--hook tcx"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    host.assert_verdicts(None);

    let tcx = Options { hook: HookChoice::Tcx, ..Options::default() };
    host.apply_with(&documents, tcx);
    let status = host.status().unwrap();
    let named: Vec<_> = status.foreign.iter().map(|it| (&*it.interface, &*it.program)).collect();
    assert_eq!(named, [("uplink", "balancer")]);
    host.assert_verdicts(Some(&documents));
    // Now there is a generation that stays.
    let error = refused(&host, &Documents::shop(&[]), Options::default());
    assert!(matches!(error, EnforceError::Ebpf(EbpfError::ForeignXdp { .. })), "{error:?}");
    host.assert_verdicts(Some(&documents));
    host.off();
    let found = host.run(|| {
        let view = ringfence_dataplane::enforce::HostView::read().unwrap();
        use ringfence_dataplane::enforce::Host as _;
        view.interfaces().iter().any(|found| found.index == uplink && !found.xdp.is_empty())
    });
    assert!(found, "`off` leaves what is others'");
    drop(foreign);
}

/// A program that accepts everything ends the chain of tcx programs; ours is asked before it.
#[test]
fn somebody_elses_tcx_programs_are_left_alone_and_open_nothing() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    let (db, web) = (index(&host, "rf-db"), index(&host, "rf-web"));
    let foreign = host.run(|| {
        [
            foreign::attach("accept_all", db, At::TcxEgress, TCX_PASS),
            foreign::attach("accept_all", db, At::TcxIngress, TCX_PASS),
            foreign::attach("meter", web, At::TcxIngress, TCX_NEXT),
        ]
    });
    host.apply(&documents);
    let status = host.status().unwrap();
    let named = status.foreign.iter().map(|it| (&*it.interface, &*it.program));
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    assert_eq!(named, [("rf-db", "accept_all"), ("rf-db", "accept_all"), ("rf-web", "meter")]);
    host.assert_verdicts(Some(&documents));
    host.off();
    host.assert_verdicts(None);
    drop(foreign);
}

#[test]
fn maps_of_another_layout() {
    let Some(_granted) = require::kernel() else { return };
    let (host, documents, other) = host_with_policy();
    let set_layout = |abi| host.change_configs(|config| config.abi = abi);
    let ours = host.contents().config.abi;
    set_layout(ours + 1);
    let files = host.files();
    let error = host.try_apply(&other, Options::default()).unwrap_err();
    let is_it = matches!(
        error,
        EnforceError::Ebpf(EbpfError::OtherVersion { found, expected })
            if (found, expected) == (ours + 1, ours)
    );
    assert!(is_it && error.to_string().contains("ringfence off"), "{error}");
    assert_eq!(host.files(), files);
    set_layout(ours);
    host.assert_contents(&documents, Options::default());
    host.assert_verdicts(Some(&documents));
}

#[test]
fn a_state_directory_that_takes_no_files() {
    let Some(_granted) = require::kernel() else { return };
    let (host, documents, other) = host_with_policy();
    let folder = host.paths.installed().parent().unwrap().to_owned();
    let hidden = folder.with_file_name("hidden");
    let before = host.contents();
    host.run(|| {
        fs::rename(&folder, &hidden).unwrap();
        fs::write(&folder, "a file").unwrap();
    });
    let error = host.try_apply(&other, Options::default()).unwrap_err();
    assert!(error.to_string().contains("/var/lib/ringfence/last-good"), "{error}");
    assert_eq!(host.contents(), before);
    // It can be looked into and takes nothing: only writing finds out.
    host.run(|| {
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        read_only(&folder);
    });
    let error = host.try_apply(&other, Options::default()).unwrap_err();
    let is_it = matches!(&error, EnforceError::File { verb: "write", .. });
    assert!(is_it && error.to_string().contains("installed.json"), "{error:?}");
    assert_eq!(host.contents(), before);
    host.assert_verdicts(Some(&documents));
}

/// Mounts an empty file system over `folder` that nobody can write to.
fn read_only(folder: &std::path::Path) {
    use nix::mount::{MsFlags, mount};
    let none = None::<&str>;
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::MS_RDONLY, none).unwrap();
}
