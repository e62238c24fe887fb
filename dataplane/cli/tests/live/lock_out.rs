//! Nobody locks himself out (safety P4): policy that closes the host leaves its way in open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use ringfence_testbed::require::{self, Tool};

use crate::host::Host;

/// Selects the host, which the workloads' documents call `node`, and nobody else.
const CLOSED: &str = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: \
                      {namespace: shop, name: closed}, spec: {podSelector: {matchExpressions: [{key: \
                      ringfence.dev/host, operator: Exists}]}, policyTypes: [Ingress, Egress]}}\n";

const SSH: u16 = 22;
const OTHER: u16 = 23;

/// How long an answer may take; one that is refused takes as long.
const PATIENCE: Duration = Duration::from_millis(700);

/// Servers on the host that send back what they get.
fn serve(host: &Host) {
    for port in [SSH, OTHER] {
        let listener = host.run(|| {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).expect("the port is free")
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut reader = stream.try_clone().expect("a descriptor is left");
                    let _ = std::io::copy(&mut reader, &mut &stream);
                });
            }
        });
    }
}

/// A connection of the outsider to a port of the host.
fn connect(host: &Host, port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from(([10, 20, 0, 1], port));
    let stream = host.run_outside(|| TcpStream::connect_timeout(&address, PATIENCE)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a duration that is not zero");
    Some(stream)
}

/// Whether what is sent comes back.
fn answers(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok()
}

#[test]
fn a_closed_host_keeps_its_way_in_and_the_sessions_that_use_it() {
    let Some(_granted) = require::kernel().and_then(|_| require::tools(&Tool::ALL)) else { return };
    for way in [
        "--backend ebpf",
        "--backend iptables --iptables legacy",
        "--backend iptables --iptables nft --layout flat",
        "--backend ipset --iptables nft",
        "--backend nftables",
    ] {
        let host = Host::start();
        serve(&host);
        let documents = host.documents("closed.yaml", &[CLOSED.to_owned()]);
        let [mut session, mut other] =
            [SSH, OTHER].map(|port| connect(&host, port).expect("the host is open"));
        assert!(answers(&mut session) && answers(&mut other), "{way}");

        let said = apply(&host, &documents, way);
        assert!(said.contains("failsafe/host created\n"), "{way}: {said}");
        assert!(answers(&mut session), "{way}: the session lives");
        assert!(!answers(&mut other), "{way}: a connection that policy refuses is cut");
        assert!(connect(&host, SSH).is_some_and(|mut new| answers(&mut new)), "{way}: a new one");
        assert!(connect(&host, OTHER).is_none(), "{way}: another port");

        let said = apply(&host, &documents, &format!("{way} --failsafe none"));
        assert!(said.contains("failsafe/host pruned\n"), "{way}: {said}");
        assert!(!answers(&mut session), "{way}: nothing is kept open now");
        assert!(connect(&host, SSH).is_none(), "{way}");
    }
}

fn apply(host: &Host, documents: &Path, way: &str) -> String {
    let documents = documents.to_str().expect("the path is text");
    let rest = way.split_whitespace();
    let arguments: Vec<&str> = ["apply", "-f", documents].into_iter().chain(rest).collect();
    let run = host.ringfence(&arguments);
    assert_eq!(run.code, Some(0), "{way}: {run:?}");
    run.stdout
}
