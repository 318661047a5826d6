//! Valid and invalid messages on a connection.

use std::io::Write;
use std::net::Shutdown;

use onionbalance_proto::fixture::{self, Backend};
use onionbalance_proto::v2::document::Readers;
use onionbalance_proto::v3::document::{PeriodKeys, open};
use onionbalance_proto::wire::{Held, HeldService, Page, Refusal, Reply, Request, frame};

use crate::harness::{Client, Directory, SERVICES, frontend, genuine, now};

#[test]
fn tells_which_services_it_holds() {
    let directory = Directory::new("");
    let _signer = directory.serve();
    let held =
        Held { key: "front.pem".into(), address: frontend(), backends: vec![Backend::new(1).address()] };
    let mut client = directory.connect();
    let page = client.page(0);
    assert_eq!((page.version.as_str(), page.total), (env!("CARGO_PKG_VERSION"), 1));
    assert_eq!(page.services, [HeldService::V3 { held, delegation_ends: None }]);
    for beyond in [1, u32::MAX] {
        assert_eq!(client.page(beyond), Page { services: vec![], ..page.clone() });
    }
}

#[test]
fn signs_what_a_client_can_open_and_logs_it() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let mut client = directory.connect();
    signer.expect(&["INFO connected", "peer_uid="]);
    let (request, period) = genuine();
    let Reply::FrontendV3(answer) = client.ask(&Request::FrontendV3(request.clone())) else {
        panic!("refused: {}", signer.line())
    };
    let descriptor = open(&answer.texts[0], &PeriodKeys::derive(&frontend(), period), now()).unwrap();
    assert_eq!(descriptor.revision, answer.revision);
    let points: Vec<[u8; 32]> =
        descriptor.inner.points.iter().map(|point| *point.enc_key.as_bytes()).collect();
    let wanted: Vec<[u8; 32]> = request.points.iter().map(|point| point.enc_key).collect();
    assert_eq!(points, wanted);
    let revision = format!("revision={} sha256=", answer.revision);
    signer.expect(&["INFO signed service=", &revision, "points=3", "sets=1"]);
}

#[test]
fn refuses_by_number_and_goes_on() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let mut client = directory.connect();
    signer.expect(&["connected"]);
    let mut ask = |spoil: fn(&mut onionbalance_proto::wire::FrontendRequest)| {
        let (mut request, _) = genuine();
        spoil(&mut request);
        client.ask(&Request::FrontendV3(request))
    };
    let takeover = ask(|request| request.points[0].enc_key = request.points[1].enc_key);
    assert_eq!(takeover, Reply::Refused(Refusal::EncCert));
    signer.expect(&["WARN refused service=", "code=21"]);
    let unknown = ask(|request| request.service = [9; 32]);
    assert_eq!(unknown, Reply::Refused(Refusal::UnknownService));
    signer.expect(&["WARN refused service=", "code=1"]);
    signer.expect(&["WARN closed the connection", "it asked for what is refused in any case"]);
    assert!(client.is_closed());
}

#[test]
fn signs_frontends_of_both_versions() {
    let backend = fixture::v2::Backend::from_pem(include_str!("../../../proto/testdata/v2/pem-plain.key"));
    let directory = Directory::new("");
    directory.write("v2.key", include_bytes!("../../../proto/testdata/v2/frontend1.key"));
    let config = std::fs::read_to_string(directory.path().join("config.yaml")).unwrap();
    let address = backend.address();
    let service = format!("services:\n- key: v2.key\n  instances:\n  - address: {address}\n");
    directory.write("config.yaml", config.replace("services:\n", &service));
    let signer = directory.serve();
    let mut client = directory.connect();
    signer.expect(&["connected"]);
    let services = client.services();
    let [HeldService::V2(held), HeldService::V3 { .. }] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!((held.key.as_str(), &held.backends), ("v2.key", &vec![address]));

    let mut rng = rand::thread_rng();
    let now = now();
    let published = backend.publish(now, 3, &mut rng);
    let text = backend.text(&published, Readers::Everyone, &mut rng);
    let mut request = fixture::v2::request(&held.address, now, vec![text], 3);
    let Reply::FrontendV2(answer) = client.ask(&Request::FrontendV2(request.clone())) else {
        panic!("refused: {}", signer.line())
    };
    let period = onionbalance_proto::v2::TimePeriod(request.period);
    let opened = onionbalance_proto::v2::document::open(&answer.text, &held.address, &[period], None);
    assert_eq!(opened.unwrap().points, published.points);
    let service = format!("INFO signed service={} period=", held.address);
    signer.expect(&[&service, "replica=0", "backends=1 points=3 client_authorization=false", "sha256="]);

    request.points[0].point = 3;
    let refused = client.ask(&Request::FrontendV2(request.clone()));
    assert_eq!(refused, Reply::Refused(Refusal::SetMember));
    signer.expect(&["WARN refused service=", "code=9"]);
    request.service = [9; 10];
    let refused = client.ask(&Request::FrontendV2(request));
    assert_eq!(refused, Reply::Refused(Refusal::UnknownService));
    signer.expect(&["WARN refused service=", "code=1"]);
    let mut client = directory.connect();
    assert!(matches!(client.ask(&Request::FrontendV3(genuine().0)), Reply::FrontendV3(_)));
}

#[test]
fn signs_no_more_often_than_it_may() {
    let directory = Directory::new("signer-requests-per-minute: 2\n");
    let signer = directory.serve();
    let mut client = directory.connect();
    signer.expect(&["connected"]);
    let request = Request::FrontendV3(genuine().0);
    for _ in 0..2 {
        assert!(matches!(client.ask(&request), Reply::FrontendV3(_)));
        signer.expect(&["signed"]);
    }
    assert_eq!(client.ask(&request), Reply::Refused(Refusal::RateLimit));
    signer.expect(&["WARN refused", "code=25"]);
    assert!(client.is_closed());
    assert!(directory.connect().is_answered());
}

#[test]
fn takes_a_frame_in_pieces() {
    let directory = Directory::new("");
    let _signer = directory.serve();
    let mut client = directory.connect();
    for byte in frame::encode(&Request::FrontendV3(genuine().0)).unwrap() {
        client.send(&[byte]);
    }
    assert!(matches!(client.receive(), Reply::FrontendV3(_)));
}

/// Bad bytes, the log line about them, and the way in which the client goes on.
type Bad = (&'static str, Vec<u8>, fn(&mut Client));

#[test]
fn closes_after_a_bad_frame_and_serves_the_next() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let good = frame::encode(&Request::FrontendV3(genuine().0)).unwrap();
    let with = |from: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame.splice(from..from + bytes.len(), bytes.iter().copied());
        frame
    };
    let longer = u32::try_from(good.len() - 8 + 1).unwrap().to_be_bytes();
    let trailing = [with(4, &longer), vec![0]].concat();
    let half = good[..good.len() / 2].to_vec();
    let wait: fn(&mut Client) = |_| {};
    let hang_up: fn(&mut Client) = |client| client.0.shutdown(Shutdown::Write).unwrap();
    let bad: [Bad; 11] = [
        ("not a frame of this protocol", b"GET / HTTP/1.1\r\nHost: signer\r\n\r\n".to_vec(), wait),
        ("not a frame of this protocol", with(0, b"bo"), wait),
        ("protocol version 1", with(2, &[0, 1]), wait),
        ("frame of 4294967295 bytes", with(4, &[0xFF; 4]), wait),
        ("frame of 262145 bytes", with(4, &[0, 4, 0, 1]), wait),
        ("malformed message", with(4, &[0, 0, 0, 0]), wait),
        ("malformed message", with(8, &[0xFF; 4]), wait),
        ("malformed message", trailing, wait),
        ("ended inside a frame", half.clone(), hang_up),
        ("ended inside a frame", vec![b'O'], hang_up),
        ("stalled there for 5 s", half, wait),
    ];
    for (said, bytes, go_on) in bad {
        let mut client = directory.connect();
        signer.expect(&["INFO connected"]);
        client.send(&bytes);
        go_on(&mut client);
        assert!(client.is_closed(), "{said}");
        signer.expect(&["WARN closed the connection peer_pid=", said]);
    }
    let mut client = directory.connect();
    signer.expect(&["INFO connected"]);
    assert!(client.is_answered());
    drop(client);
    signer.expect(&["INFO disconnected"]);
}

/// A second balancer need not wait until the first one ends.
#[test]
fn serves_several_connections_in_turns() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let mut clients = [(); 3].map(|()| {
        let client = directory.connect();
        signer.expect(&["INFO connected"]);
        client
    });
    for _ in 0..3 {
        for client in &mut clients {
            assert!(client.is_answered());
        }
    }
}

#[test]
fn who_takes_no_answers_is_not_waited_for() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let mut client = directory.connect();
    signer.expect(&["INFO connected"]);
    let question = frame::encode(&SERVICES).unwrap();
    // This sends requests until the socket takes no more, because replies are not read; then the signer
    // closes the connection.
    while client.0.write_all(&question).is_ok() {}
    signer.expect(&["WARN closed the connection", "the reply was not taken within 5 s"]);
    assert!(directory.connect().is_answered());
}

/// A restarted balancer connects again at once.
#[test]
fn a_balancer_that_comes_back_is_served_at_once() {
    let directory = Directory::new("");
    let _signer = directory.serve();
    for _ in 0..50 {
        let mut old = directory.connect();
        assert!(old.is_answered());
        drop(old);
    }
}
