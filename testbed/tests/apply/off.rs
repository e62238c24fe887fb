//! `off` leaves nothing, and the host is open again.

use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::maps::loaded_maps;
use aya::programs::loaded_programs;
use ringfence_testbed::require;

use crate::host::{Documents, Host, usual_policies};

#[test]
fn off_leaves_nothing_and_opens_the_host() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    let before = host.files();
    host.apply(&documents);
    host.assert_verdicts(Some(&documents));
    let programs = ids_of_ours(&host);
    assert_eq!(programs[0].len(), 3, "XDP, ingress, egress");
    assert!(programs[1].len() >= 17, "maps");

    let removed = host.off();
    let mut interfaces = Vec::new();
    for place in ["rf-api", "rf-db", "rf-web"] {
        interfaces.extend(["tc-ingress", "tc-egress"].map(|hook| format!("{place} {hook}")));
    }
    interfaces.extend(["uplink xdp", "uplink tc-egress"].map(str::to_owned));
    assert_eq!(removed, interfaces);
    assert_eq!(host.status(), None);
    let kept = ["/run/ringfence", "/run/ringfence/lock", "/var/lib/ringfence"];
    let kept = kept.into_iter().chain(["/var/lib/ringfence/last-good"]).map(str::to_owned);
    assert_eq!(host.files(), before.into_iter().chain(kept).collect());
    host.assert_verdicts(None);
    assert_gone(&programs);

    let files = host.files();
    assert_eq!(host.off(), [""; 0]);
    assert_eq!((host.files(), host.status()), (files, None));
}

#[test]
fn off_takes_away_what_an_interrupted_apply_left() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    host.run(|| std::fs::create_dir_all("/sys/fs/bpf/ringfence/maps-new").unwrap());
    assert_eq!(host.status(), None);
    assert_eq!(host.off(), [""; 0]);
    assert!(host.files().iter().all(|file| !file.starts_with("/sys/fs/bpf/")));
}

/// Programs that our hooks run, and the maps they use, by id.
fn ids_of_ours(host: &Host) -> [Vec<u32>; 2] {
    let pins = host.paths.pins().join("programs");
    let (programs, mut maps) = host.run(|| {
        let version = std::fs::read_dir(pins).unwrap().next().unwrap().unwrap().path();
        let pinned = std::fs::read_dir(version).unwrap();
        let infos = pinned
            .map(|pin| aya::programs::ProgramInfo::from_pin(pin.unwrap().path()).unwrap())
            .collect::<Vec<_>>();
        let maps = infos.iter().flat_map(|info| info.map_ids().unwrap().unwrap());
        let maps: Vec<u32> = maps.collect();
        (infos.iter().map(|info| info.id()).collect::<Vec<_>>(), maps)
    });
    maps.sort_unstable();
    maps.dedup();
    [programs, maps]
}

/// The kernel frees them some time after their last user is gone.
fn assert_gone([programs, maps]: &[Vec<u32>; 2]) {
    let started = Instant::now();
    loop {
        let left: Vec<u32> = loaded_programs()
            .flatten()
            .map(|info| info.id())
            .filter(|id| programs.contains(id))
            .chain(loaded_maps().flatten().map(|info| info.id()).filter(|id| maps.contains(id)))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "still loaded: {left:?}");
        sleep(Duration::from_millis(50));
    }
}
