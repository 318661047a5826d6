use std::collections::HashMap;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::join;
use tokio::time::timeout;

use super::*;
use crate::network::DescriptorName;
use crate::tor::mock::Mock;
use crate::tor::{Connection, Events, TorVersion};

const ADDRESS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
const MINUTE: Duration = Duration::from_secs(60);
const V2_ADDRESS: &str = "lijeinqkg3odt3fl";
const IDS: [&str; 2] = ["kkj45bfm57jmgw5ryxr6zmszjje2tdey", "zr4d5f4wkptx2oxhp754uui3dm7grv6x"];

/// A carrier whose link is this connection, until that ends.
fn carrier(connection: Connection, events: Events) -> ControlPort {
    carrier_with(connection, events, ReadingTurns::new())
}

fn carrier_with(connection: Connection, events: Events, turns: ReadingTurns) -> ControlPort {
    let (to_us, from_tor) = mpsc::channel(FROM_LINK);
    let link = tokio::spawn(async move {
        let tor = Tor { connection: connection.clone(), version: TorVersion([0, 4, 5, 10]) };
        assert!(to_us.send(FromTor::Ready { tor, events, uptime: None }).await.is_ok());
        connection.ended().await;
        assert!(to_us.send(FromTor::Lost).await.is_ok());
        std::future::pending::<()>().await;
    });
    ControlPort::over(from_tor, link.abort_handle(), Version::V3, turns, Probes::through(None))
}

/// A carrier that has reported that it is ready, and its tor.
async fn ready() -> (ControlPort, Mock) {
    let (tor, connection, events) = Mock::connect();
    let mut carrier = carrier(connection, events);
    assert!(matches!(carrier.next().await, Message::Ready { .. }));
    (carrier, tor)
}

fn hsdir(number: u8) -> Fingerprint {
    Fingerprint([number; 20])
}

fn v3() -> Lookup {
    Lookup::V3(ADDRESS.parse().unwrap())
}

/// The v2 descriptor of this replica, for these HSDirs.
fn post(replica: usize, to: &[Fingerprint]) -> Post {
    let (address, id) = (V2_ADDRESS.parse().unwrap(), IDS[replica].parse().unwrap());
    Post { name: DescriptorName::V2 { address, id }, text: "descriptor\n".into(), to: to.to_vec() }
}

fn hspost(to: &[Fingerprint]) -> String {
    let servers: Vec<String> = to.iter().map(|server| format!(" SERVER={server}")).collect();
    format!("+HSPOST{}\r\ndescriptor\r\n.\r\n", servers.concat())
}

fn hsfetch(from: Fingerprint) -> String {
    format!("HSFETCH {ADDRESS} SERVER={from}\r\n")
}

fn uploaded(by: Fingerprint) -> String {
    format!("650 HS_DESC UPLOADED {V2_ADDRESS} UNKNOWN ${by}\r\n")
}

fn failed(service: &str, by: Fingerprint, reason: &str) -> String {
    format!("650 HS_DESC FAILED {service} NO_AUTH ${by} REASON={reason}\r\n")
}

/// The next messages, as text.
async fn next(carrier: &mut ControlPort, count: usize) -> Vec<String> {
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(format!("{:?}", carrier.next().await));
    }
    messages
}

fn fetched(request: u64, fetched: &Fetched) -> String {
    format!("{:?}", Message::Fetched(RequestId(request), fetched.clone()))
}

fn verdict(request: u64, by: Fingerprint, verdict: Verdict) -> String {
    format!("{:?}", Message::Uploaded(RequestId(request), by, verdict))
}

fn posted(request: u64) -> String {
    format!("{:?}", Message::Posted(RequestId(request)))
}

#[tokio::test]
async fn a_fetch_is_answered_by_what_the_hsdir_has() {
    let (mut carrier, mut tor) = ready().await;
    for number in 1..=4 {
        carrier.fetch(RequestId(number.into()), v3(), hsdir(number));
    }
    let talk = async {
        tor.answer(hsfetch(hsdir(1)), "250 OK\r\n").await;
        tor.answer(hsfetch(hsdir(2)), "250 OK\r\n").await;
        tor.answer(hsfetch(hsdir(3)), "250 OK\r\n").await;
        tor.answer(hsfetch(hsdir(4)), format!("552 Server \"{}\" not found\r\n", hsdir(4))).await;
        tor.send(failed(ADDRESS, hsdir(2), "NOT_FOUND")).await;
        // The empty text after a failure does not count as an answer, and an event without a request is
        // ignored.
        tor.send(format!("650+HS_DESC_CONTENT {ADDRESS} id ${}\r\n\r\n.\r\n650 OK\r\n", hsdir(2))).await;
        tor.send(failed(ADDRESS, hsdir(9), "NOT_FOUND")).await;
        tor.send(failed(ADDRESS, hsdir(3), "BAD_DESC")).await;
        tor.send(format!("650+HS_DESC_CONTENT {ADDRESS} id ${}\r\nx\r\n.\r\n650 OK\r\n", hsdir(1))).await;
    };
    let (messages, ()) = join!(next(&mut carrier, 4), talk);
    let wanted = [
        fetched(4, &Fetched::Failed(None)),
        fetched(2, &Fetched::NotFound),
        fetched(3, &Fetched::Unreadable),
        fetched(1, &Fetched::Text("x\n".to_owned())),
    ];
    assert_eq!(messages, wanted);
}

#[tokio::test]
async fn a_post_is_answered_for_each_hsdir() {
    let (mut carrier, mut tor) = ready().await;
    let to @ [a, b, c] = [1, 2, 3].map(hsdir);
    carrier.post(RequestId(1), post(0, &to));
    let talk = async {
        tor.answer(hspost(&to), format!("552 Server \"{b}\" not found\r\n")).await;
        tor.answer(hspost(&[a, c]), "250 OK\r\n").await;
        tor.send(uploaded(c)).await;
        tor.send(failed(V2_ADDRESS, a, "UPLOAD_REJECTED")).await;
    };
    let (messages, ()) = join!(next(&mut carrier, 4), talk);
    let wanted = [
        posted(1),
        verdict(1, b, Verdict::Unknown),
        verdict(1, c, Verdict::Stored),
        verdict(1, a, Verdict::Refused("UPLOAD_REJECTED".to_owned())),
    ];
    assert_eq!(messages, wanted);
}

#[tokio::test]
async fn what_tor_does_not_take_is_not_posted() {
    let (mut carrier, mut tor) = ready().await;
    carrier.post(RequestId(1), post(0, &[hsdir(1)]));
    // A failure that comes before tor's reply changes nothing.
    let early = failed(V2_ADDRESS, hsdir(1), "UNEXPECTED");
    let talk = tor.answer(hspost(&[hsdir(1)]), format!("{early}554 Invalid descriptor\r\n"));
    let (messages, ()) = join!(next(&mut carrier, 1), talk);
    assert_eq!(messages, ["NotPosted(RequestId(1), \"tor cannot decode the descriptor\")"]);
    assert!(carrier.uploads.hsdirs(RequestId(1)).is_empty());
}

/// The event `UPLOADED` names neither of the two replicas.
#[tokio::test]
async fn a_success_without_a_name_waits_for_the_other() {
    let (mut carrier, mut tor) = ready().await;
    let to = [hsdir(1)];
    carrier.post(RequestId(1), post(0, &to));
    carrier.post(RequestId(2), post(1, &to));
    let talk = async {
        tor.answer(hspost(&to), "250 OK\r\n").await;
        tor.send(uploaded(to[0])).await;
        tor.answer(hspost(&to), "250 OK\r\n").await;
        tor.send(uploaded(to[0])).await;
    };
    let (mut messages, ()) = join!(next(&mut carrier, 4), talk);
    messages.sort_unstable();
    let mut wanted =
        [posted(1), posted(2), verdict(1, to[0], Verdict::Stored), verdict(2, to[0], Verdict::Stored)];
    wanted.sort_unstable();
    assert_eq!(messages, wanted);
}

/// The same event reports the failure of a fetch or of an upload.
#[tokio::test]
async fn a_failure_is_that_of_the_read_back_if_it_can_be() {
    let (mut carrier, mut tor) = ready().await;
    let to = [hsdir(1)];
    carrier.post(RequestId(1), post(0, &to));
    let (address, id) = (V2_ADDRESS.parse().unwrap(), IDS[0].parse().unwrap());
    carrier.fetch(RequestId(2), Lookup::V2 { address, id }, to[0]);
    let talk = async {
        tor.answer(hspost(&to), "250 OK\r\n").await;
        tor.answer(format!("HSFETCH v2-{} SERVER={}\r\n", IDS[0], to[0]), "250 OK\r\n").await;
        let by_id =
            |reason| format!("650 HS_DESC FAILED UNKNOWN NO_AUTH ${} {} REASON={reason}\r\n", to[0], IDS[0]);
        tor.send(by_id("UNEXPECTED")).await;
        tor.send(failed(V2_ADDRESS, to[0], "UNEXPECTED")).await;
    };
    let (messages, ()) = join!(next(&mut carrier, 3), talk);
    let wanted = [posted(1), fetched(2, &Fetched::Failed(None)), verdict(1, to[0], Verdict::Failed)];
    assert_eq!(messages, wanted);
}

#[tokio::test(start_paused = true)]
async fn what_no_event_tells_is_answered_all_the_same() {
    let (mut carrier, mut tor) = ready().await;
    let to = [hsdir(1)];
    carrier.post(RequestId(1), post(0, &to));
    carrier.fetch(RequestId(2), v3(), to[0]);
    let begun = Instant::now();
    let talk = async {
        tor.answer(hspost(&to), "250 OK\r\n").await;
        tor.answer(hsfetch(to[0]), "250 OK\r\n").await;
    };
    let (mut messages, ()) = join!(next(&mut carrier, 3), talk);
    messages.sort_unstable();
    let wanted = [fetched(2, &Fetched::Failed(None)), posted(1), verdict(1, to[0], Verdict::Failed)];
    assert_eq!(messages, wanted);
    assert_eq!(begun.elapsed().as_secs(), GIVEN_UP.as_secs());
}

#[tokio::test]
async fn without_tor_all_requests_fail_at_once() {
    let (mut carrier, tor) = ready().await;
    carrier.fetch(RequestId(1), v3(), hsdir(1));
    drop(tor);
    assert_eq!(next(&mut carrier, 2).await, [fetched(1, &Fetched::Failed(None)), "Lost".to_owned()]);
    carrier.fetch(RequestId(2), v3(), hsdir(1));
    carrier.post(RequestId(3), post(0, &[hsdir(1)]));
    carrier.read_directory();
    let messages = next(&mut carrier, 3).await;
    let wanted = [
        fetched(2, &Fetched::Failed(None)),
        "NotPosted(RequestId(3), \"tor is away\")".to_owned(),
        "Directory(Err(\"tor is away\"))".to_owned(),
    ];
    assert_eq!(messages, wanted);
}

#[tokio::test]
async fn more_than_tor_is_to_have_is_refused() {
    let (mut carrier, _tor) = ready().await;
    let most = u64::try_from(MOST).unwrap();
    for number in 0..=most {
        carrier.fetch(RequestId(number), v3(), hsdir(1));
    }
    assert_eq!(next(&mut carrier, 1).await, [fetched(most, &Fetched::Failed(None))]);
}

#[tokio::test(start_paused = true)]
async fn directories_are_read_one_after_the_other() {
    const LARGE: &str = "GETINFO dir/status-vote/current/consensus-microdesc md/all\r\n";
    let turns = ReadingTurns::new();
    let mut carriers = Vec::new();
    let mut tors = Vec::new();
    for _ in 0..3 {
        let (tor, connection, events) = Mock::connect();
        let mut carrier = carrier_with(connection, events, turns.clone());
        assert!(matches!(carrier.next().await, Message::Ready { .. }));
        carrier.read_directory();
        carriers.push(tokio::spawn(async move { carrier.next().await }));
        tors.push(tor);
    }
    let (connected, asked) = ("GETCONF TestingTorNetwork\r\n", "250 TestingTorNetwork=0\r\n");
    tors[0].answer(connected, asked).await;
    tors[0].expect(LARGE).await;
    // The second one's turn begins at the end of the first one's.
    assert!(timeout(MINUTE / 2, tors[1].expect("G")).await.is_err());
    tors[0].send("551 No\r\n").await;
    tors[1].answer(connected, asked).await;
    assert!(!carriers[1].is_finished() && !carriers[2].is_finished());
}

/// A tor that behaves at random: it takes a command or refuses it, and reports the outcome once, twice or
/// never.
async fn wild_tor(stream: DuplexStream, mut dice: u64) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(command)) = lines.next_line().await {
        if command.starts_with('+') {
            while lines.next_line().await.unwrap().unwrap() != "." {}
        }
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let servers: Vec<&str> = command.split(" SERVER=").skip(1).collect();
        let mut answer = match dice >> 33 & 7 {
            0 => format!("552 Server \"{}\" not found\r\n", servers[0]),
            1 => "551 No\r\n".to_owned(),
            _ => "250 OK\r\n".to_owned(),
        };
        for (number, server) in servers.iter().enumerate() {
            let event = match dice >> (36 + 3 * number) & 7 {
                0 => String::new(),
                1 => failed(V2_ADDRESS, server.parse().unwrap(), "UPLOAD_REJECTED"),
                2 => failed(ADDRESS, server.parse().unwrap(), "UNEXPECTED"),
                3 => format!("650+HS_DESC_CONTENT {ADDRESS} id ${server}\r\nx\r\n.\r\n650 OK\r\n"),
                4 => uploaded(server.parse().unwrap()).repeat(2),
                5 => failed(V2_ADDRESS, server.parse().unwrap(), "UNEXPECTED"),
                _ => uploaded(server.parse().unwrap()),
            };
            answer.push_str(&event);
        }
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_has_exactly_one_answer_whatever_tor_does() {
    const REQUESTS: u64 = 300;
    for seed in 0..20 {
        let (ours, theirs) = duplex(64 * 1024);
        tokio::spawn(wild_tor(theirs, seed));
        let (connection, events) = Connection::start(ours);
        let mut carrier = carrier(connection, events);
        assert!(matches!(carrier.next().await, Message::Ready { .. }));
        // The number of messages that each request has still to get: for a post one after tor's reply, and a
        // verdict of each HSDir.
        let mut awaited: HashMap<RequestId, usize> = HashMap::new();
        for number in 0..REQUESTS {
            let request = RequestId(number);
            let from = u8::try_from(number * 7 % 5).unwrap();
            if number % 3 == 0 {
                carrier.fetch(request, v3(), hsdir(from));
                awaited.insert(request, 1);
            } else {
                let to = [hsdir(from), hsdir(from + 1), hsdir(from + 2)];
                carrier.post(request, post(usize::try_from(number % 2).unwrap(), &to));
                awaited.insert(request, 1 + to.len());
            }
        }
        while awaited.values().any(|left| *left > 0) {
            let (request, count) = match carrier.next().await {
                Message::Fetched(request, _) | Message::Posted(request) | Message::Uploaded(request, ..) => {
                    (request, 1)
                }
                Message::NotPosted(request, _) => (request, awaited[&request]),
                other => panic!("{other:?}"),
            };
            let left = awaited.get_mut(&request).unwrap();
            *left = left.checked_sub(count).unwrap_or_else(|| panic!("{request:?} is answered twice"));
        }
        let more = timeout(GIVEN_UP * 2, carrier.next()).await;
        assert!(more.is_err(), "seed {seed}: {more:?}");
    }
}
