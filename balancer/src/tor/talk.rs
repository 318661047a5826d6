//! Conversations with a tor that has version 2, byte for byte (`tests/data/v2-talk`, of tor 0.4.5.9).

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v2::document::open_outer;
use tokio::join;

use super::event::{DescriptorId, Event, HsDesc, HsDescContent, Service};
use super::hsdir::HsPostError;
use super::lookup::Lookup;
use super::mock::Mock;
use super::reply::{Decoder, Message};

macro_rules! talk {
    ($name:literal) => {
        include_str!(concat!("../../tests/data/v2-talk/", $name))
    };
}

const SERVICE: &str = "lijeinqkg3odt3fl";
const ID: &str = "kkj45bfm57jmgw5ryxr6zmszjje2tdey";

/// The received replies, and the events that a balancer needs.
fn read(received: &str) -> (Vec<Message>, Vec<Event>) {
    let mut decoder = Decoder::default();
    let mut input = received.as_bytes();
    let messages = std::iter::from_fn(|| decoder.decode(&mut input).unwrap());
    let (events, replies): (Vec<Message>, Vec<Message>) = messages.partition(Message::is_event);
    (replies, events.into_iter().filter_map(Event::parse).collect())
}

fn contents(events: &[Event]) -> Vec<&HsDescContent> {
    let contents = events.iter().filter_map(|event| match event {
        Event::HsDescContent(content) => Some(content),
        _ => None,
    });
    contents.collect()
}

/// Tor's words for the failures.
fn failures(events: &[Event]) -> Vec<&str> {
    let reasons = events.iter().filter_map(|event| match event {
        Event::HsDesc(HsDesc::Failed { reason, .. }) => Some(reason.as_str()),
        _ => None,
    });
    reasons.collect()
}

fn is_refusal(message: &Message, status: u16, text: &str) -> bool {
    message.status == status && message.lines.len() == 1 && message.lines[0].text == text
}

#[tokio::test]
async fn a_descriptor_is_asked_for_by_its_id() {
    let sent = talk!("hsfetch-by-id.sent");
    let servers = sent.trim_end().split(" SERVER=").skip(1);
    let servers: Vec<Fingerprint> = servers.map(|server| server.parse().unwrap()).collect();
    let (mut tor, connection, mut events) = Mock::connect();
    let lookup = Lookup::V2Id(ID.parse().unwrap());
    let received = talk!("hsfetch-by-id.received");
    let (asked, ()) = join!(connection.hs_fetch(&lookup, &servers), tor.answer(sent, received));
    asked.unwrap();
    let mut heard = Vec::new();
    while contents(&heard).len() < servers.len() {
        heard.push(events.next().await.unwrap());
    }
    assert_eq!(heard, read(received).1);
    assert_eq!(failures(&heard), ["NOT_FOUND"; 12]);
    let found: Vec<_> = contents(&heard).into_iter().filter(|content| !content.text.is_empty()).collect();
    assert_eq!((servers.len(), found.len()), (15, 3));
    for content in found {
        assert_eq!(
            (&content.address, &content.descriptor_id),
            (&Service::from(SERVICE), &DescriptorId::from(ID))
        );
        assert_eq!(open_outer(&content.text).unwrap().id.to_string(), ID);
    }
}

/// In a fetch by address, tor's event of receipt has an id that does not exist; the content's is right.
#[test]
fn the_contents_id_is_the_one_to_go_by() {
    let (_, events) = read(talk!("hsfetch-ok.received"));
    let [content] = contents(&events)[..] else { panic!("{events:?}") };
    assert_eq!(content.descriptor_id.to_string(), open_outer(&content.text).unwrap().id.to_string());
    let received = events.iter().find_map(|event| match event {
        Event::HsDesc(HsDesc::Received { descriptor_id, .. }) => Some(descriptor_id),
        _ => None,
    });
    assert_ne!(received, Some(&content.descriptor_id));
}

#[test]
fn what_hsfetch_does_not_find_comes_empty() {
    for (received, word) in [
        (talk!("hsfetch-unknown-address.received"), "NOT_FOUND"),
        // The descriptor of a service that authorizes its clients.
        (talk!("hsfetch-basic-auth.received"), "BAD_DESC"),
    ] {
        let (replies, events) = read(received);
        assert!(is_refusal(&replies[0], 250, "OK"));
        assert!(contents(&events).iter().all(|content| content.text.is_empty()));
        assert!(failures(&events).contains(&word), "{events:?}");
    }
}

#[tokio::test]
async fn a_descriptor_is_posted_and_acknowledged() {
    let block = talk!("hspost-ok.sent").strip_prefix("+HSPOST").unwrap();
    let received = talk!("hspost-ok.received");
    let (_, expected) = read(received);
    let uploaded: Vec<Fingerprint> = expected
        .iter()
        .map(|event| match event {
            Event::HsDesc(HsDesc::Uploaded { address, hsdir }) if *address == Service::from(SERVICE) => {
                *hsdir
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(uploaded.len(), 3);
    // Tor chose these HSDirs itself; the balancer names them.
    let words: Vec<String> = uploaded.iter().map(|hsdir| format!("SERVER={hsdir}")).collect();
    let descriptor = block.replace("\r\n", "\n");
    let descriptor = descriptor.trim_start().strip_suffix(".\n").unwrap();
    let (mut tor, connection, mut events) = Mock::connect();
    let talk = tor.answer(format!("+HSPOST {}{block}", words.join(" ")), received);
    let (posted, ()) = join!(connection.hs_post(None, &uploaded, descriptor), talk);
    assert_eq!(posted.unwrap().queued, uploaded);
    for event in expected {
        assert_eq!(events.next().await.unwrap(), event);
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (replies, _) = read(talk!("hspost-bad.received"));
    let texts = talk!("hspost-bad.received").split_inclusive('\n');
    let [invalid, unknown]: [&str; 2] = texts.collect::<Vec<_>>().try_into().unwrap();
    let servers = [Fingerprint([0xFF; 20])];
    let command = format!("+HSPOST SERVER={}\r\nx\r\n.\r\n", servers[0]);
    let (mut tor, connection, _events) = Mock::connect();
    let (posted, ()) = join!(connection.hs_post(None, &servers, "x\n"), tor.answer(&command, invalid));
    assert!(matches!(posted, Err(HsPostError::InvalidDescriptor)));
    let (posted, ()) = join!(connection.hs_post(None, &servers, "x\n"), tor.answer(&command, unknown));
    assert_eq!(posted.unwrap().unknown, servers);
    assert_eq!(replies.len(), 2);
    let (replies, _) = read(talk!("hsfetch-by-id-no-server.received"));
    assert!(is_refusal(&replies[0], 512, "SERVER option is required"));
    // An address with its suffix is refused.
    let (replies, _) = read(talk!("hsfetch-bad-address.received"));
    assert!(is_refusal(&replies[1], 513, &format!("Invalid argument \"{SERVICE}.onion\"")));
    assert!(!talk!("hsfetch-ok.sent").contains(".onion"));
    let (replies, _) = read(talk!("getinfo.received"));
    assert!(is_refusal(replies.last().unwrap(), 510, "Unrecognized command \"NOSUCH\""));
}
