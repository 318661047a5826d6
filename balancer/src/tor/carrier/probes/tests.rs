use std::io::ErrorKind;
use std::time::Duration;

use onionbalance_proto::config::{HealthCheck, HttpProbe, StatusCodes};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::join;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::*;
use crate::tor::mock::Mock;

/// The answer to a login and, from its code on, to the command: connected.
const CONNECTED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

type Answer = Result<(), ProbeFailure>;

fn page(body: Option<&str>) -> HttpProbe {
    HttpProbe {
        path: "/healthz?deep=1".into(),
        host: None,
        expect: StatusCodes::new(200, 399).unwrap(),
        body: body.map(str::to_owned),
    }
}

fn check(kind: ProbeKind) -> Arc<HealthCheck> {
    Arc::new(HealthCheck {
        port: 80,
        kind,
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(20),
        fall: 2,
        rise: 2,
    })
}

/// The result of a request to a backend that sends these bytes, in pieces, and then ends the connection.
async fn answered(pieces: &[&[u8]], body: Option<&str>) -> Answer {
    let (ours, mut theirs) = duplex(64);
    let probe = page(body);
    let backend = async move {
        let request = head(&mut theirs).await;
        for piece in pieces {
            // The probe may have enough.
            if theirs.write_all(piece).await.is_err() {
                break;
            }
        }
        request
    };
    let (result, _) = join!(http::ask(ours, &probe, "x.onion"), backend);
    result
}

/// The head of a request, or its part before the end of the connection.
async fn head(stream: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                break;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_request_names_the_page_the_host_and_its_sender() {
    let (ours, mut theirs) = duplex(64);
    let wanted = page(None);
    let backend = async {
        let request = head(&mut theirs).await;
        theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        request
    };
    let (result, request) = join!(http::ask(ours, &wanted, "x.onion"), backend);
    assert_eq!(result, Ok(()));
    assert_eq!(
        request,
        "GET /healthz?deep=1 HTTP/1.1\r\nhost: x.onion\r\nuser-agent: onionbalance\r\nconnection: close\r\n\r\n"
    );
}

#[tokio::test]
async fn answers_are_compared_with_the_wanted_one() {
    let text = Some("all is well");
    let ended = || Err(ProbeFailure::Http("the connection ended before the answer did".into()));
    let cases: [(&[&str], Option<&str>, Answer); 12] = [
        (&["HTTP/1.1 200 OK\r\n\r\n"], None, Ok(())),
        // A page without an end is not read to its end.
        (&["HTTP/1.1 302 Found\r\nContent-Length: 999999\r\n\r\n"], None, Ok(())),
        (&["HTTP/1.0 200 OK\r\n\r\nall is", " well"], text, Ok(())),
        (&["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nall is well"], text, Ok(())),
        (
            &[
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "9\r\nso all is\r\n5\r\n well\r\n0\r\n\r\n",
            ],
            text,
            Ok(()),
        ),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nall is well"], text, Ok(())),
        (&["HTTP/1.1 503 Service Unavailable\r\n\r\n"], None, Err(ProbeFailure::Status(503))),
        (&["HTTP/1.1 101 Switching\r\n\r\n"], None, Err(ProbeFailure::Status(101))),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nall is"], text, Err(ProbeFailure::Body)),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nall is"], text, ended()),
        (&["HTTP/1.1 20"], None, ended()),
        (&[], None, ended()),
    ];
    for (pieces, body, wanted) in cases {
        let bytes: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        assert_eq!(answered(&bytes, body).await, wanted, "{pieces:?}");
    }
    assert!(matches!(answered(&[b"SSH-2.0-OpenSSH\r\n"], None).await, Err(ProbeFailure::Http(_))));
}

#[tokio::test]
async fn endless_answers_have_an_end() {
    let endless = |part: &'static [u8]| std::iter::repeat_n(part, 100_000);
    for (start, part) in [
        ("HTTP/1.1 200 OK\r\n\r\n", &b"all is not well"[..]),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        ("HTTP/1.1 200 OK\r\n", b"X: 0123456789012345678901234567890123456789\r\n"),
        ("HTTP/1.1 200 OK\r\nX: ", b"0123456789012345678901234567890123456789"),
        ("", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ] {
        let pieces: Vec<&[u8]> = [start.as_bytes()].into_iter().chain(endless(part)).collect();
        let result = answered(&pieces, Some("all is well")).await;
        assert!(matches!(result, Err(ProbeFailure::Http(_))), "{start:?}: {result:?}");
    }
}

proptest! {
    #[test]
    fn no_answer_breaks_a_probe(
        start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pieces: Vec<&[u8]> = [start.as_bytes()].into_iter().chain(pieces.iter().map(Vec::as_slice)).collect();
        let result = runtime.block_on(answered(&pieces, Some("all is well")));
        prop_assert!(result.is_ok() || result.is_err());
    }
}

/// A SOCKS port that answers each client with these bytes after its login, and then keeps the connection.
fn socks_port(answer: Vec<u8>) -> (tempfile::TempDir, SocksPort, JoinHandle<()>) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("socks");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        let mut kept: Vec<UnixStream> = Vec::new();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            client.read_exact(&mut [0; 4]).await.unwrap();
            client.write_all(&[5, 2]).await.unwrap();
            client.read_exact(&mut [0; 3 + 22 + 12]).await.unwrap();
            client.write_all(&[1, 0]).await.unwrap();
            client.read_exact(&mut [0; 4 + 1 + 7 + 2]).await.unwrap();
            client.write_all(&answer).await.unwrap();
            if answer.is_empty() || answer == CONNECTED {
                kept.push(client);
            }
        }
    });
    (place, SocksPort::Unix(path), serving)
}

async fn probed(port: &Port, kind: ProbeKind) -> Probed {
    port.probe(&Probe { address: "x.onion".into(), check: check(kind) }).await
}

#[tokio::test]
async fn tors_answers_are_told_apart() {
    for (code, wanted) in [
        (0x01, ProbeFailure::Tor(1)),
        (0x05, ProbeFailure::Refused),
        (0xF0, ProbeFailure::NoDescriptor),
        (0xF2, ProbeFailure::NoIntroduction),
        (0xF3, ProbeFailure::Rendezvous),
        (0xF4, ProbeFailure::ClientKey),
        (0xF6, ProbeFailure::Tor(0xF6)),
    ] {
        let (_place, socks, _) = socks_port([&[5, code], &CONNECTED[2..]].concat());
        let probed = probed(&Port::Configured(socks), ProbeKind::Connect).await;
        assert_eq!(probed, Probed::Failed(wanted));
    }
    let (_place, socks, _) = socks_port(CONNECTED.to_vec());
    assert!(matches!(probed(&Port::Configured(socks), ProbeKind::Connect).await, Probed::Succeeded(_)));
    let (_place, socks, _) = socks_port(b"garbage".to_vec());
    assert!(matches!(probed(&Port::Configured(socks), ProbeKind::Connect).await, Probed::Failed(_)));
}

#[tokio::test(start_paused = true)]
async fn silence_has_an_end() {
    let (_place, socks, _) = socks_port(Vec::new());
    let port = Port::Configured(socks);
    assert_eq!(probed(&port, ProbeKind::Connect).await, Probed::Failed(ProbeFailure::Silent));
    let (_place, socks, _) = socks_port(CONNECTED.to_vec());
    let port = Port::Configured(socks);
    assert_eq!(probed(&port, ProbeKind::Http(page(None))).await, Probed::Failed(ProbeFailure::Silent));
}

#[tokio::test]
async fn tor_is_asked_again_for_a_port_that_is_gone() {
    let (mut tor, connection, _events) = Mock::connect();
    let (_place, socks, _) = socks_port(CONNECTED.to_vec());
    let port = Port::OfTor { tor: connection, named: Arc::default() };
    let talk = async {
        for named in ["", "\"unix:/nowhere/socks\"", &format!("\"{socks}\"")] {
            let reply = format!("250-net/listeners/socks={named}\r\n250 OK\r\n");
            tor.answer("GETINFO net/listeners/socks\r\n", reply).await;
        }
    };
    let probes = async {
        let mut probed_all = Vec::new();
        for _ in 0..4 {
            probed_all.push(probed(&port, ProbeKind::Connect).await);
        }
        probed_all
    };
    let (results, ()) = join!(probes, talk);
    let [no_port, gone, Probed::Succeeded(_), Probed::Succeeded(_)] = &results[..] else {
        panic!("{results:?}")
    };
    assert!(matches!(no_port, Probed::Unmade(reason) if reason.starts_with("tor has no SocksPort: ")));
    assert!(
        matches!(gone, Probed::Unmade(reason) if reason.starts_with("cannot use tor's SOCKS port: unix:/nowhere/socks: "))
    );
}

#[tokio::test]
async fn a_failure_counts_only_if_tor_says_that_it_works() {
    let (_place, socks, _) = socks_port([&[5, 1], &CONNECTED[2..]].concat());
    for (network, circuits, trouble) in [
        ("up", "1", None),
        ("down", "1", Some("tor does not reach its network")),
        ("up", "0", Some("tor has no circuits")),
    ] {
        let (mut control, connection, _events) = Mock::connect();
        let tor = Tor { control: connection, port: Port::Configured(socks.clone()) };
        let talk = async {
            let reply = format!(
                "250-network-liveness={network}\r\n250-status/circuit-established={circuits}\r\n250 OK\r\n"
            );
            control.answer("GETINFO network-liveness status/circuit-established\r\n", reply).await;
        };
        let probe = Probe { address: "x.onion".into(), check: check(ProbeKind::Connect) };
        let (probed, ()) = join!(tor.probe(&probe), talk);
        let wanted = trouble
            .map_or(Probed::Failed(ProbeFailure::Tor(1)), |trouble| Probed::Unmade(trouble.to_owned()));
        assert_eq!(probed, wanted);
    }
}

#[tokio::test]
async fn probes_have_a_bound_and_end_with_tor() {
    let (_tor, connection, _events) = Mock::connect();
    let (_place, socks, _) = socks_port(Vec::new());
    let mut probes = Probes::through(Some(socks));
    let probe = || Probe { address: "x.onion".into(), check: check(ProbeKind::Connect) };
    assert_eq!(probes.begin_one(RequestId(0), probe()), Err(AWAY.to_owned()));
    probes.begin(&connection);
    for number in 0..AT_ONCE as u64 {
        assert_eq!(probes.begin_one(RequestId(number), probe()), Ok(()));
    }
    assert!(probes.begin_one(RequestId(99), probe()).is_err());
    probes.end();
    assert!(probes.running.is_empty());
    assert_eq!(probes.begin_one(RequestId(100), probe()), Err(AWAY.to_owned()));
}
