use onionbalance_proto::time::UnixTime;
use onionbalance_proto::wire::{Header, Held};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;

/// A client of a signer that gives these answers to any requests, and then no more.
fn client(replies: Vec<Reply>) -> (TempDir, SignerClient) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("signer");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for reply in replies {
            let mut header = [0; Header::LENGTH];
            stream.read_exact(&mut header).await.unwrap();
            let length = Header::decode::<Request>(header).unwrap().body_length();
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            stream.write_all(&frame::encode(&reply).unwrap()).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    (directory, SignerClient::new(SignerPlace::Socket(path)))
}

fn v2_request() -> v2::FrontendRequest {
    v2::FrontendRequest {
        service: [1; 10],
        period: 7,
        replica: 1,
        published: UnixTime(3600),
        backends: vec![],
        points: vec![],
        client_authorization: false,
    }
}

fn v3_request(sets: usize) -> v3::FrontendRequest {
    v3::FrontendRequest {
        service: [1; 32],
        period_length: 1440,
        period_number: 7,
        backends: vec![],
        points: vec![],
        sets: vec![vec![]; sets],
        flow_control: None,
        single_onion: false,
        revision_seen: 0,
    }
}

#[tokio::test]
async fn each_version_gets_its_own_answer() {
    let v2_signed = v2::SignedFrontend { text: "v2".into() };
    let v3_signed = v3::SignedFrontend { revision: 5, texts: vec!["v3".into()] };
    let replies = vec![Reply::FrontendV2(v2_signed.clone()), Reply::FrontendV3(v3_signed.clone())];
    let (_directory, mut client) = client(replies);
    assert_eq!(client.sign(v2_request()).await.unwrap(), v2_signed);
    assert_eq!(client.sign(v3_request(1)).await.unwrap(), v3_signed);
}

#[tokio::test]
async fn an_answer_to_another_question_is_none() {
    let v2_signed = || Reply::FrontendV2(v2::SignedFrontend { text: "v2".into() });
    let v3_signed = || Reply::FrontendV3(v3::SignedFrontend { revision: 5, texts: vec!["v3".into()] });
    let replies = vec![v3_signed(), v2_signed(), v3_signed(), v2_signed()];
    let (_directory, mut client) = client(replies);
    assert!(matches!(client.sign(v2_request()).await, Err(SignerError::OtherReply)));
    assert!(matches!(client.sign(v3_request(1)).await, Err(SignerError::OtherReply)));
    // Two sets demand two texts.
    assert!(matches!(client.sign(v3_request(2)).await, Err(SignerError::OtherReply)));
    assert!(matches!(client.services().await, Err(SignerError::OtherReply)));
}

#[tokio::test]
async fn a_refusal_is_told() {
    let (_directory, mut client) = client(vec![Reply::Refused(Refusal::TooLong)]);
    assert!(matches!(client.sign(v2_request()).await, Err(SignerError::Refused(Refusal::TooLong))));
}

/// This signer was not started by the balancer, so it cannot be waiting for a person's passphrases.
#[tokio::test(start_paused = true)]
async fn a_signer_that_says_nothing_is_given_up() {
    let (_directory, mut client) = client(vec![]);
    assert!(matches!(client.services().await, Err(SignerError::Silent)));
}

/// A new connection would not help: the kernel accepts connections for a stopped process, too.
#[tokio::test(start_paused = true)]
async fn a_signer_that_falls_silent_is_asked_once() {
    let (_directory, mut client) = client(vec![Reply::Refused(Refusal::TooLong)]);
    assert!(matches!(client.sign(v2_request()).await, Err(SignerError::Refused(Refusal::TooLong))));
    let asked = Instant::now();
    assert!(matches!(client.services().await, Err(SignerError::Silent)));
    assert_eq!(asked.elapsed(), REPLY_WITHIN);
}

/// If a service manager listens for the signer, each connection would start it once more.
#[tokio::test(start_paused = true)]
async fn a_signer_that_is_not_ready_is_left_alone_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("signer");
    let listener = UnixListener::bind(&path).unwrap();
    let (started, mut starts) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            started.send_modify(|starts| *starts += 1);
            stream.write_all(&frame::encode(&Reply::NotReady("no key".into())).unwrap()).await.unwrap();
        }
    });
    let mut client = SignerClient::new(SignerPlace::Socket(path));
    for _ in 0..100 {
        let answer = client.sign(v2_request()).await;
        assert!(matches!(answer, Err(SignerError::NotReady(reason)) if reason == "no key"));
    }
    assert_eq!(*starts.borrow_and_update(), 1);
    tokio::time::advance(REST).await;
    client.services().await.unwrap_err();
    assert_eq!(*starts.borrow_and_update(), 2);
    client.end_rest();
    client.services().await.unwrap_err();
    assert_eq!(*starts.borrow_and_update(), 3);
}

fn held(number: u8) -> HeldService {
    let address = onionbalance_proto::v2::OnionAddress::from_permanent_id([number; 10]);
    HeldService::V2(Held { key: format!("{number}.key"), address, backends: vec![address] })
}

/// A page of a list of four services.
fn page(edition: u64, services: impl IntoIterator<Item = u8>) -> Reply {
    let services = services.into_iter().map(held).collect();
    Reply::Services(Page { version: "1.2.3".into(), edition, total: 4, services })
}

#[tokio::test]
async fn services_are_read_page_by_page() {
    let (_directory, mut client) = client(vec![page(7, [0, 1]), page(7, [2]), page(7, [3])]);
    assert_eq!(client.version(), None);
    assert_eq!(client.services().await.unwrap(), [0, 1, 2, 3].map(held));
    assert_eq!(client.version(), Some("1.2.3"));
}

#[tokio::test]
async fn a_list_that_changes_is_read_again_and_not_for_ever() {
    let replies = vec![page(7, [0, 1]), page(8, []), page(8, [0, 1, 2]), page(8, [3])];
    let (_directory, mut reloaded) = client(replies);
    assert_eq!(reloaded.services().await.unwrap().len(), 4);
    let always = (0..10).map(|edition| page(edition, [0, 1])).collect();
    let (_directory, mut client) = client(always);
    assert!(matches!(client.services().await, Err(SignerError::Changing)));
}

#[tokio::test]
async fn pages_that_lead_nowhere_are_no_answer() {
    let endless = Page { version: String::new(), edition: 7, total: u32::MAX, services: vec![held(0)] };
    let cases =
        [vec![page(7, [0, 1]), page(7, [])], vec![page(7, [0, 1, 2, 3, 4])], vec![Reply::Services(endless)]];
    for replies in cases {
        let (_directory, mut client) = client(replies);
        assert!(matches!(client.services().await, Err(SignerError::OtherReply)));
    }
}

/// The reply is there before the request, and the request cannot be sent.
#[tokio::test]
async fn a_signer_that_is_not_ready_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("signer");
    let listener = UnixListener::bind(&path).unwrap();
    let mut client = SignerClient::new(SignerPlace::Socket(path));
    let ends = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let reply = Reply::NotReady("no key".into());
        stream.write_all(&frame::encode(&reply).unwrap()).await.unwrap();
    };
    let connected = client.connect().await.unwrap();
    ends.await;
    client.connection = Some(connected);
    let error = client.services().await.unwrap_err();
    assert_eq!(error.to_string(), "the signer is not ready: no key");
    assert!(client.connection.is_none());
}
