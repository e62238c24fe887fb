//! Replacing programs and switching generations under traffic.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use ringfence_dataplane::backend::How;
use ringfence_testbed::connectivity::Probe;
use ringfence_testbed::require;
use ringfence_testbed::topology::Family;
use ringfence_testbed::transfer::Transfer;
use ringfence_testbed::workload::Transport;

use crate::host::{Documents, Host, ingress, usual_policies};

const APPLIES: usize = 20;

#[test]
fn no_packet_is_lost_when_programs_and_generations_change() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let [api, db] = usual_policies();
    let open_udp = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: \
                    {namespace: shop, name: db-udp}, spec: {podSelector: {matchLabels: {app: db}}, \
                    policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: \
                    api}}}], ports: [{protocol: UDP, port: 5432}]}]}}\n";
    // Isolation begins and ends for two workloads at once: that is more than one store.
    let [web, monitor] = [ingress("web", &["api"], &[8080]), ingress("api", &["db"], &[5432])];
    let sets = [
        Documents::shop(&[api, db.clone(), open_udp.to_owned()]),
        Documents::shop(&[db, open_udp.to_owned(), web, monitor]),
    ];
    host.apply(&sets[0]);
    let probe = |transport, family| Probe {
        source: host.number("shop/api"),
        destination: host.number("shop/db"),
        port: 5432,
        transport,
        family,
    };
    let streams: Vec<Probe> = Transport::ALL
        .into_iter()
        .flat_map(|transport| Family::ALL.map(|family| probe(transport, family)))
        .collect();
    let transfer = Transfer::start(&host.processes, &streams);
    sleep(Duration::from_millis(200));
    let mut replaced = 0;
    for round in 0..APPLIES {
        let upgrade = round % 4 == 3;
        if upgrade {
            let programs = host.paths.pins().join("programs");
            host.run(|| fs::remove_dir_all(&programs).unwrap());
        }
        let summary = host.apply(&sets[(round + 1) % 2]);
        assert_eq!(summary.how, How::Switched, "{summary:?}");
        let lines = summary.hooks.iter().filter(|line| line.ends_with(" replaced")).count();
        assert_eq!(lines, if upgrade { 8 } else { 0 }, "{:?}", summary.hooks);
        replaced += lines;
    }
    sleep(Duration::from_millis(200));
    let report = transfer.finish();
    assert!(report.is_whole(), "{report:#?}");
    assert!(report.streams.iter().all(|stream| stream.sent > 500), "{report:#?}");
    assert_eq!(replaced, 40);
    assert!(host.status().unwrap().installed.attached.iter().all(|attached| attached.alive));
}

/// Programs look into the maps they were loaded with, so new maps need new programs.
#[test]
fn lost_maps_are_made_anew_with_the_programs_that_use_them() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply(&documents);
    let maps = host.paths.pins().join("maps");
    host.run(|| fs::remove_dir_all(&maps).unwrap());
    assert_eq!(host.status(), None);
    let summary = host.apply(&documents);
    assert_eq!((summary.how, summary.generation), (How::Switched, 1));
    assert_eq!(summary.hooks.len(), 8, "{:?}", summary.hooks);
    assert!(summary.hooks.iter().all(|line| line.ends_with(" replaced")), "{:?}", summary.hooks);
    host.assert_verdicts(Some(&documents));
}

/// The programs of another version are taken away once no hook runs them.
#[test]
fn programs_of_other_versions_do_not_stay() {
    let Some(_granted) = require::kernel() else { return };
    let host = Host::start();
    let documents = Documents::shop(&usual_policies());
    host.apply(&documents);
    let programs = host.paths.pins().join("programs");
    let versions = || -> Vec<String> {
        host.run(|| {
            let entries = fs::read_dir(&programs).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        })
    };
    let [version] = versions().try_into().unwrap();
    host.run(|| fs::rename(programs.join(&version), programs.join("0123456789abcdef")).unwrap());
    let summary = host.apply(&documents);
    assert_eq!(summary.hooks.len(), 8, "{:?}", summary.hooks);
    assert!(summary.hooks.iter().all(|line| line.ends_with(" replaced")), "{:?}", summary.hooks);
    assert_eq!(versions(), [version]);
    host.assert_verdicts(Some(&documents));
}
