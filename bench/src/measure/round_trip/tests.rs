use ringfence_testbed::require;
use ringfence_testbed::traffic::Request;

use super::*;
use crate::measure::trial::Trial;

fn round_trips<'a>(ends: &'a Ends<'a>, fate: Fate) -> RoundTrips<'a> {
    // Other tests may keep an end from its core for a while.
    let (duration, patience) = (Duration::from_millis(100), Duration::from_secs(3));
    RoundTrips { ends, cores: Cores::two().unwrap(), fate, duration, patience }
}

#[test]
fn every_request_on_an_open_way_is_answered() {
    let Some(_granted) = require::privileged() else { return };
    let trial = Trial::new();
    for ends in [trial.ends(), trial.ends_v6()] {
        let trips = round_trips(&ends, Fate::Arrives);
        let latencies = trips.at_rate(2_000.0).unwrap();
        let outcome = latencies.outcome();
        assert_eq!((outcome.intended, outcome.sent, outcome.lost()), (200, 200, 0));
        let [median, longest] = [50.0, 100.0].map(|of| latencies.percentile_ns(of).unwrap());
        assert!((1_000..1_000_000_000).contains(&median) && median <= longest, "{latencies:?}");

        let together = RoundTrips { cores: trips.cores.together(), ..trips };
        let outcome = together.at_rate(2_000.0).unwrap().outcome();
        assert_eq!((outcome.intended, outcome.sent, outcome.lost()), (200, 200, 0));
    }
}

#[test]
fn requests_that_are_denied_are_lost() {
    let Some(_granted) = require::privileged() else { return };
    let trial = Trial::new();
    let denied = trial.denied();
    let mut trips = RoundTrips { patience: Duration::ZERO, ..round_trips(&denied, Fate::Denied) };
    let latencies = trips.at_rate(1_000.0).unwrap();
    assert_eq!(latencies.outcome().lost_share(), 1.0);
    assert_eq!(latencies.percentile_ns(50.0), None);
    trips.fate = Fate::Arrives;
    let error = trips.at_rate(1_000.0).unwrap_err().to_string();
    assert!(error.contains("no request was answered"), "{error}");
    let error = trips.saturation().unwrap_err().to_string();
    assert!(error.contains("no request was answered"), "{error}");
    trips.fate = Fate::Denied;
    let open = trial.ends();
    trips.ends = &open;
    let error = trips.at_rate(1_000.0).unwrap_err().to_string();
    assert!(error.contains("a request was answered"), "{error}");
}

#[test]
fn first_packets_come_from_ports_of_their_own() {
    let Some(_granted) = require::privileged() else { return };
    let trial = Trial::new();
    let ends = trial.ends();
    let trips = round_trips(&ends, Fate::Arrives);
    let mut ports = FreshPorts::all();
    // An answer is waited for only for a while, and other tests may hold it up longer.
    let is_whole = (0..10).any(|_| {
        let before = ports.left();
        let outcome = trips.first_packets(1_000.0, &mut ports).unwrap().outcome();
        assert_eq!((outcome.intended, before - ports.left()), (100, 100));
        outcome.answered == 100
    });
    assert!(is_whole, "each time requests got lost");
    let error = trips.first_packets(1e6, &mut ports).unwrap_err().to_string();
    assert!(error.contains("100000 fresh ports are needed"), "{error}");
}

#[test]
fn the_rate_at_saturation_is_one_that_can_be_answered() {
    let Some(_granted) = require::privileged() else { return };
    let trial = Trial::new();
    let ends = trial.ends();
    let saturation = round_trips(&ends, Fate::Arrives).saturation().unwrap();
    assert!(saturation > 100.0, "{saturation} a second");
}

#[test]
fn what_no_request_asks_for_is_no_answer() {
    let Some(_granted) = require::privileged() else { return };
    let trial = Trial::new();
    let ends = trial.ends();
    let (client, server) = (ends.client_socket(0).unwrap(), ends.server_socket().unwrap());
    let client_address = client.local_addr().unwrap();
    let stray = Request { mark: u16::MAX, number: 0, intended: Duration::ZERO };
    for (bytes, why) in [(&stray.to_bytes()[..], "of another run"), (b"short", "5 bytes")] {
        server.send_to(bytes, client_address).unwrap();
        let mut line = OneFlow::new(client.try_clone().unwrap());
        let trips = round_trips(&ends, Fate::Arrives);
        let error = trips.measure(&mut line, 1_000.0).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
