use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ed25519_dalek::Signature;
use proptest::prelude::*;

use self::field_map::Field;
use super::*;
use crate::time::UnixTime;
use crate::v3::cert::ExpiryHour;
use crate::wire::{
    BackendProof, CertProof, FrontendRequest, Held, HeldService, Page, ProvenPoint, Reason, Refusal, Reply,
    Request, SignedFrontend, v2,
};

mod field_map;

fn proof(byte: u8) -> CertProof {
    CertProof { expires: ExpiryHour(498_000), signature: Signature::from_bytes(&[byte; 64]) }
}

fn request() -> Request {
    Request::FrontendV3(FrontendRequest {
        service: [1; 32],
        period_length: 1440,
        period_number: 20_779,
        backends: vec![BackendProof {
            identity: [2; 32],
            period_number: 20_779,
            signing_key: [3; 32],
            cert: proof(4),
        }],
        points: vec![ProvenPoint {
            backend: 0,
            link_specifiers: vec![2, 0, 6, 127, 0, 0, 1, 31, 144, 2, 1, 9],
            onion_key: [5; 32],
            auth_key: [6; 32],
            enc_key: [7; 32],
            auth_cert: proof(8),
            enc_cert: proof(9),
        }],
        sets: vec![vec![0]],
        flow_control: Some("1-2 31".parse().unwrap()),
        single_onion: false,
        revision_seen: 23_268_292,
    })
}

fn request_v2() -> Request {
    Request::FrontendV2(v2::FrontendRequest {
        service: [1; 10],
        period: 20_779,
        replica: 1,
        published: UnixTime(1_795_338_000),
        backends: vec!["rendezvous-service-descriptor 2\n".into()],
        points: vec![v2::ChosenPoint { backend: 0, point: 2 }],
        client_authorization: true,
    })
}

fn replies() -> [Reply; 5] {
    let v2_address = "jyvfq5umznvka34v".parse().unwrap();
    let address = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid".parse().unwrap();
    [
        Reply::Services(Page {
            version: "1.2.3".into(),
            edition: 0x0102_0304_0506_0708,
            total: 9,
            services: vec![
                HeldService::V3 {
                    held: Held { key: "front.pem".into(), address, backends: vec![address] },
                    delegation_ends: Some(UnixTime(1_795_348_800)),
                },
                HeldService::V2(Held {
                    key: "v2.pem".into(),
                    address: v2_address,
                    backends: vec![v2_address],
                }),
            ],
        }),
        Reply::FrontendV3(SignedFrontend { revision: 7, texts: vec!["hs-descriptor 3\n".into()] }),
        Reply::FrontendV2(v2::SignedFrontend { text: "rendezvous-service-descriptor 2\n".into() }),
        Reply::Refused(Refusal::EncCert),
        Reply::NotReady(Reason::from("config.yaml:2: the key file front.pem cannot be read")),
    ]
}

fn body(frame: &[u8]) -> &[u8] {
    &frame[Header::LENGTH..]
}

/// The samples: one file each in [`golden_directory`]. A variant without a name does not compile.
fn requests() -> [(&'static str, Request); 3] {
    [Request::Services { from: 5 }, request(), request_v2()].map(|request| {
        let name = match request {
            Request::Services { .. } => "request-services",
            Request::FrontendV3(_) => "request-frontend-v3",
            Request::FrontendV2(_) => "request-frontend-v2",
        };
        (name, request)
    })
}

fn named_replies() -> [(&'static str, Reply); 5] {
    replies().map(|reply| {
        let name = match reply {
            Reply::Services(_) => "reply-services",
            Reply::FrontendV3(_) => "reply-frontend-v3",
            Reply::FrontendV2(_) => "reply-frontend-v2",
            Reply::Refused(_) => "reply-refused",
            Reply::NotReady(_) => "reply-not-ready",
        };
        (name, reply)
    })
}

/// The golden files of this version of the protocol.
fn golden_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/wire").join(format!("v{VERSION}"))
}

/// A golden file: for each field its bytes in hexadecimal, 32 a line, and its path beside the first line.
fn golden_text(message: &impl Message) -> String {
    let frame = encode(message).unwrap();
    let head =
        [("magic: \"OB\"", &frame[..2]), ("version", &frame[2..4]), ("length of the body", &frame[4..8])];
    let mut fields: Vec<Field> =
        head.map(|(path, bytes)| Field { path: path.to_owned(), bytes: bytes.to_vec() }).into();
    fields.extend(field_map::fields("body", message));
    assert_eq!(fields.iter().flat_map(|field| field.bytes.clone()).collect::<Vec<u8>>(), frame);
    let mut text = String::new();
    for Field { path, bytes } in fields {
        let mut lines = bytes.chunks(32).map(|line| HEXLOWER.encode(line));
        let first = lines.next().unwrap_or_default();
        text.extend([format!("{first:<64}  {path}\n")]);
        text.extend(lines.map(|line| line + "\n"));
    }
    text
}

/// The frame in a golden file.
fn golden_frame(text: &str) -> Vec<u8> {
    let hex: String = text.lines().filter_map(|line| line.split("  ").next()).map(str::trim).collect();
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn check_golden(name: &str, message: &impl Message) {
    let path = golden_directory().join(format!("{name}.txt"));
    let text = golden_text(message);
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.try_exists().unwrap() {
        fs::create_dir_all(golden_directory()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name}: raise VERSION if the bytes must change");
}

/// The bytes on the wire are pinned: other bytes are another version of the protocol, with files of its own.
/// `UPDATE_GOLDEN=1` writes missing files, and never changes one.
#[test]
fn bytes_are_those_of_the_golden_files() {
    for (name, request) in requests() {
        check_golden(name, &request);
    }
    for (name, reply) in named_replies() {
        check_golden(name, &reply);
    }
}

/// Each golden file is found in its directory, read as the message that its name says, and written again.
#[test]
fn every_golden_file_is_read_and_written_again() {
    fn again<M: Message>(frame: &[u8]) -> Vec<u8> {
        let (header, body) = frame.split_first_chunk().unwrap();
        assert_eq!(Header::decode::<M>(*header).unwrap().body_length(), body.len());
        encode(&decode::<M>(body).unwrap()).unwrap()
    }
    let mut found = 0;
    for entry in fs::read_dir(golden_directory()).unwrap() {
        let path = entry.unwrap().path();
        let frame = golden_frame(&fs::read_to_string(&path).unwrap());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        let written =
            if name.starts_with("request-") { again::<Request>(&frame) } else { again::<Reply>(&frame) };
        assert_eq!(written, frame, "{name}");
        found += 1;
    }
    assert_eq!(found, requests().len() + replies().len(), "each file has its sample");
}

#[test]
fn messages_come_back() {
    let frame = encode(&request()).unwrap();
    let header = Header::decode::<Request>(frame[..8].try_into().unwrap()).unwrap();
    assert_eq!(header.body_length(), body(&frame).len());
    assert_eq!(decode::<Request>(body(&frame)).unwrap(), request());
    let frame = encode(&request_v2()).unwrap();
    assert_eq!(decode::<Request>(body(&frame)).unwrap(), request_v2());
    for reply in replies() {
        assert_eq!(decode::<Reply>(body(&encode(&reply).unwrap())).unwrap(), reply);
    }
}

#[test]
fn a_body_has_exactly_its_length() {
    for request in [request(), request_v2()] {
        let frame = encode(&request).unwrap();
        for length in 0..body(&frame).len() {
            assert!(decode::<Request>(&body(&frame)[..length]).is_err(), "{length} bytes");
        }
        assert!(decode::<Request>(&[body(&frame), &[0]].concat()).is_err());
    }
}

#[test]
fn the_header_is_judged_before_the_body() {
    let header = |bytes: [u8; 8]| Header::decode::<Request>(bytes);
    assert!(matches!(header(*b"GET / HT"), Err(FrameError::Magic)));
    assert!(matches!(header([b'O', b'B', 0, 3, 0, 0, 0, 1]), Err(FrameError::Version(3))));
    assert!(matches!(header([b'O', b'B', 0, 4, 255, 255, 255, 255]), Err(FrameError::Length { .. })));
    assert!(matches!(
        header([b'O', b'B', 0, 4, 0, 4, 0, 1]),
        Err(FrameError::Length { length: 262_145, .. })
    ));
    assert!(header([b'O', b'B', 0, 4, 0, 4, 0, 0]).is_ok());
}

#[test]
fn refusals_keep_their_numbers() {
    let numbers: Vec<u16> = Refusal::ALL.iter().map(|refusal| u16::from(*refusal)).collect();
    // 4 and 24 were rules of earlier versions of the protocol.
    let wanted: Vec<u16> = (1..=33).filter(|number| ![4, 24].contains(number)).collect();
    assert_eq!(numbers, wanted);
    assert_eq!(u16::from(Refusal::EncCert), 21);
    assert!(Refusal::try_from(0).is_err());
}

proptest! {
    /// A false length inside the body does not make the decoder allocate it.
    #[test]
    fn arbitrary_bodies_are_refused_or_understood(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Reply>(&bytes);
    }
}
