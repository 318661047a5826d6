//! Damaged and arbitrary input is refused or understood: nothing panics, and an accepted input has its usual
//! meaning.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

use std::path::Path;
use std::sync::LazyLock;

use ed25519_dalek::Signer;
use onionbalance_proto::config::Config;
use onionbalance_proto::fixture::{self, Backend, Published, v2::Backend as BackendV2};
use onionbalance_proto::netdoc;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2;
use onionbalance_proto::v2::document::{Readers, open_outer, points};
use onionbalance_proto::v3::cert::{CertType, Certificate};
use onionbalance_proto::v3::document::inner::Inner;
use onionbalance_proto::v3::document::middle::{self, ClientLines};
use onionbalance_proto::v3::document::outer::{Outer, Unsigned};
use onionbalance_proto::v3::document::{PeriodKeys, open};
use onionbalance_proto::v3::layer::{Layer, LayerContext};
use onionbalance_proto::v3::{FlowControl, LinkSpecifiers, OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{Header, Reply, Request, SignedFrontend, frame};
use proptest::prelude::*;
use proptest::sample::Index;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// 2026-11-22 10:00 UTC.
const NOW: UnixTime = UnixTime(1_795_341_600);

static PUBLISHED: LazyLock<Published> = LazyLock::new(|| {
    let period = TimePeriod::at(NOW, PeriodLength::try_from(1440).unwrap(), 720);
    Backend::new(1).publish(period, NOW, 3, &mut StdRng::seed_from_u64(1))
});

static SERVICE_V2: LazyLock<BackendV2> = LazyLock::new(|| BackendV2::generate(&mut StdRng::seed_from_u64(3)));

static PUBLISHED_V2: LazyLock<v2::document::Descriptor> =
    LazyLock::new(|| SERVICE_V2.publish(NOW, 3, &mut StdRng::seed_from_u64(4)));

fn open_v2(text: &str) -> Result<v2::document::Descriptor, v2::document::DocumentError> {
    v2::document::open(text, &SERVICE_V2.address(), &[PUBLISHED_V2.period], None)
}

fn keys() -> PeriodKeys {
    PeriodKeys::derive(&PUBLISHED.address, PUBLISHED.period)
}

fn request() -> Request {
    let published = &*PUBLISHED;
    let backends = std::slice::from_ref(published);
    Request::FrontendV3(fixture::request(&Backend::new(9).address(), published.period, backends))
}

/// A change of the bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    Alter(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<Index>;
    let damage = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Alter(at, byte)),
        (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at(), 1_usize..200).prop_map(|(at, length)| Damage::Remove(at, length)),
        (at(), 1_usize..2000).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ];
    prop::collection::vec(damage, 0..4)
}

fn damaged(bytes: &[u8], damages: Vec<Damage>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let end = |at: usize, length: usize| (at + length).min(bytes.len());
        match damage {
            Damage::Alter(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
            }
            Damage::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more);
            }
            Damage::Remove(at, length) => {
                let at = at.index(bytes.len());
                bytes.drain(at..end(at, length));
            }
            Damage::Repeat(at, length) => {
                let at = at.index(bytes.len());
                let piece = bytes[at..end(at, length)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

fn damaged_text(text: &str, damages: Vec<Damage>) -> String {
    String::from_utf8_lossy(&damaged(text.as_bytes(), damages)).into_owned()
}

/// A validly signed descriptor with this innermost layer, as a lying backend can make it.
fn signed_around(inner: &str) -> String {
    let descriptor = &PUBLISHED.descriptor;
    let keys = keys();
    let context = LayerContext {
        blinded: keys.blinded,
        subcredential: keys.subcredential,
        revision: descriptor.revision,
    };
    let encrypted = Layer::Inner.encrypt(&context, [1; 16], inner.as_bytes());
    let middle = ClientLines::made_up(&mut StdRng::seed_from_u64(2)).encode(&encrypted);
    let superencrypted = Layer::Middle.encrypt(&context, [2; 16], middle.as_bytes());
    let unsigned = Unsigned::new(&descriptor.signing_cert, descriptor.revision, &superencrypted);
    let signature = PUBLISHED.signing.sign(&unsigned.signed_bytes());
    unsigned.finish(&signature)
}

#[test]
fn undamaged_everything_is_understood() {
    let inner = PUBLISHED.descriptor.inner.encode();
    assert_eq!(open(&signed_around(&inner), &keys(), NOW).unwrap(), PUBLISHED.descriptor);
    let encoded = frame::encode(&request()).unwrap();
    assert_eq!(frame::decode::<Request>(&encoded[Header::LENGTH..]).unwrap(), request());
}

proptest! {
    #[test]
    fn a_frame_that_is_understood_is_the_one_frame_of_its_message(damages in damages()) {
        let encoded = frame::encode(&request()).unwrap();
        let body = damaged(&encoded[Header::LENGTH..], damages);
        if let Ok(message) = frame::decode::<Request>(&body) {
            prop_assert_eq!(&frame::encode(&message).unwrap()[Header::LENGTH..], &body);
        }
    }

    #[test]
    fn a_reply_that_is_understood_is_the_one_frame_of_its_message(damages in damages()) {
        let reply = Reply::FrontendV3(SignedFrontend { revision: 7, texts: vec!["hs-descriptor 3\n".into(); 8] });
        let encoded = frame::encode(&reply).unwrap();
        let body = damaged(&encoded[Header::LENGTH..], damages);
        if let Ok(message) = frame::decode::<Reply>(&body) {
            prop_assert_eq!(&frame::encode(&message).unwrap()[Header::LENGTH..], &body);
        }
    }

    #[test]
    fn a_header_never_promises_more_than_a_message_has(bytes in any::<[u8; 8]>(), length in any::<u32>()) {
        let _ = Header::decode::<Request>(bytes);
        let [l0, l1, l2, l3] = length.to_be_bytes();
        if let Ok(header) = Header::decode::<Request>([b'O', b'B', 0, 2, l0, l1, l2, l3]) {
            prop_assert!(header.body_length() <= 256 * 1024);
        }
    }

    #[test]
    fn a_lying_backend_is_refused_or_its_points_are_its_own(damages in damages()) {
        let inner = damaged_text(&PUBLISHED.descriptor.inner.encode(), damages);
        let text = signed_around(&inner);
        if let Ok(opened) = open(&text, &keys(), NOW) {
            let genuine = &PUBLISHED.descriptor.inner.points;
            for point in opened.inner.points {
                prop_assert!(genuine.iter().any(|own| own.auth_key == point.auth_key));
                prop_assert!(genuine.iter().any(|own| own.enc_key == point.enc_key));
            }
        }
    }

    #[test]
    fn each_layers_reader_survives_damage(damages in damages(), layer in 0..3) {
        let inner = PUBLISHED.descriptor.inner.encode();
        match layer {
            0 => drop(Outer::decode(&damaged_text(&signed_around(&inner), damages))),
            1 => {
                let middle = ClientLines::made_up(&mut StdRng::seed_from_u64(2)).encode(inner.as_bytes());
                drop(middle::decode(&damaged_text(middle.trim_end_matches('\0'), damages)));
            }
            _ => {
                let limit = 5;
                if let Ok(read) = Inner::decode(&damaged_text(&inner, damages), limit) {
                    prop_assert!(read.points.len() <= limit);
                    prop_assert_eq!(&Inner::decode(&read.encode(), limit).unwrap(), &read);
                }
            }
        }
    }

    #[test]
    fn a_damaged_v2_descriptor_is_refused_or_says_the_same(damages in damages()) {
        let text = SERVICE_V2.text(&PUBLISHED_V2, Readers::Everyone, &mut StdRng::seed_from_u64(5));
        if let Ok(opened) = open_v2(&damaged_text(&text, damages)) {
            prop_assert_eq!(&opened, &*PUBLISHED_V2);
        }
    }

    #[test]
    fn a_lying_v2_backend_is_refused_or_its_points_come_back(damages in damages()) {
        let inner = damaged_text(&points::encode(&PUBLISHED_V2.points), damages);
        let key = open_outer(&SERVICE_V2.text(&PUBLISHED_V2, Readers::Everyone, &mut StdRng::seed_from_u64(5))).unwrap().key;
        let part = v2::SecretIdPart::derive(PUBLISHED_V2.period, PUBLISHED_V2.replica, None);
        let text = SERVICE_V2.sign(v2::document::outer::Unsigned::new(&key, part, NOW, inner.as_bytes()));
        if let Ok(opened) = open_v2(&text) {
            prop_assert!((1..=10).contains(&opened.points.len()));
            prop_assert_eq!(points::decode(&points::encode(&opened.points)), Ok(opened.points));
        }
    }

    #[test]
    fn a_damaged_authorized_v2_descriptor_is_refused_or_says_the_same(damages in damages(), stealth in any::<bool>()) {
        let cookie = v2::Cookie::new([7; 16], if stealth { v2::AuthType::Stealth } else { v2::AuthType::Basic });
        let key = open_outer(&SERVICE_V2.text(&PUBLISHED_V2, Readers::Everyone, &mut StdRng::seed_from_u64(5))).unwrap().key;
        let part = v2::SecretIdPart::derive(PUBLISHED_V2.period, PUBLISHED_V2.replica, stealth.then_some(&cookie));
        let points = points::encode(&PUBLISHED_V2.points);
        let mut rng = StdRng::seed_from_u64(6);
        let message = if stealth {
            v2::layer::encrypt_stealth(points.as_bytes(), &cookie, &mut rng)
        } else {
            v2::layer::encrypt_basic(points.as_bytes(), std::slice::from_ref(&cookie), &mut rng).unwrap()
        };
        let text = SERVICE_V2.sign(v2::document::outer::Unsigned::new(&key, part, NOW, &damaged(&message, damages)));
        let opened = v2::document::open(&text, &SERVICE_V2.address(), &[PUBLISHED_V2.period], Some(&cookie));
        // The damage may miss the client's own entry, the length and the points' text. A descriptor that
        // opens is well-formed.
        if let Ok(opened) = opened {
            prop_assert!((1..=10).contains(&opened.points.len()));
        }
    }

    #[test]
    fn v2_points_come_back(seed in any::<u64>(), count in 1_usize..=10, clients in 0_usize..20) {
        let mut rng = StdRng::seed_from_u64(seed);
        let descriptor = SERVICE_V2.publish(NOW, count, &mut rng);
        let cookies: Vec<v2::Cookie> =
            (0..clients).map(|_| v2::Cookie::new(rand::Rng::r#gen(&mut rng), v2::AuthType::Basic)).collect();
        let text = SERVICE_V2.text(&descriptor, Readers::Basic(&cookies), &mut rng);
        for cookie in &cookies {
            let opened = v2::document::open(&text, &SERVICE_V2.address(), &[descriptor.period], Some(cookie));
            prop_assert_eq!(opened.as_ref(), Ok(&descriptor));
        }
        prop_assert!(open_v2(&text).is_err());
    }

    #[test]
    fn arbitrary_text_is_survived(text in any::<String>(), lines in "([a-z -]{0,12}[ \n-]|-----BEGIN [A-Z]{1,3}-----\n|-----END [A-Z]{1,3}-----\n){0,12}") {
        for text in [&text, &lines] {
            let _ = netdoc::items(text).count();
            let _ = Outer::decode(text);
            let _ = middle::decode(text);
            let _ = Inner::decode(text, 20);
            let _ = open(text, &keys(), NOW);
            let _ = v2::document::outer::Outer::decode(&format!("rendezvous-service-descriptor {text}"));
            let _ = points::decode(&format!("introduction-point {text}"));
            let _ = text.parse::<v2::OnionAddress>();
            let _ = Config::parse(text, Path::new("config.yaml"));
            let _ = text.parse::<OnionAddress>();
            let _ = text.parse::<FlowControl>();
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Certificate::decode(&bytes, CertType::AuthKey);
        let _ = v2::PointKey::from_der(&bytes);
        let cookie = v2::Cookie::new([7; 16], v2::AuthType::Basic);
        for kind in [1, 2] {
            prop_assert!(v2::layer::decrypt(&[&[kind], &bytes[..]].concat(), Some(&cookie)).is_err());
        }
        if let Ok(specifiers) = LinkSpecifiers::try_from(bytes.clone()) {
            prop_assert_eq!(specifiers.as_bytes(), &bytes);
        }
        let context = LayerContext {
            blinded: keys().blinded,
            subcredential: keys().subcredential,
            revision: 1,
        };
        prop_assert!(Layer::Inner.decrypt(&context, &bytes).is_err());
    }

    #[test]
    fn a_damaged_configuration_is_refused_or_understood(damages in damages()) {
        let address = Backend::new(1).address();
        let text = format!(
            "services:\n- key: front.pem\n  instances:\n  - address: {address}\n    name: one\n\
             - key: v2.pem\n  instances:\n  - address: jyvfq5umznvka34v\n    auth: TRTUFLcJe7zonSx/Ben5Sg\n\
             status-socket-location: /run/status\ncontrol-socket-location: /run/control\n\
             metrics-listen: 127.0.0.1:9926\nsigner-allowed-uids: [1, 2]\nREPLICAS: 2\n"
        );
        if let Ok(config) = Config::parse(&damaged_text(&text, damages), Path::new("config.yaml")) {
            prop_assert!(!config.services.is_empty());
        }
    }

    #[test]
    fn a_mistyped_address_is_noticed(number in any::<u64>(), at in 0_usize..56, other in "[a-z2-7]") {
        let address = Backend::new(number).address();
        prop_assert_eq!(address.to_string().parse(), Ok(address));
        let mut text = address.without_suffix();
        text.replace_range(at..=at, &other);
        let mistyped = text != address.without_suffix();
        prop_assert_eq!(text.parse::<OnionAddress>().is_err(), mistyped);
    }

    #[test]
    fn flow_control_comes_back(versions in prop::collection::btree_set(0_u32..64, 1..64), increment in 1_u8..=254) {
        let list: Vec<String> = versions.iter().map(u32::to_string).collect();
        let parsed: FlowControl = format!("{} {increment}", list.join(",")).parse().unwrap();
        prop_assert_eq!(parsed.to_string().parse(), Ok(parsed));
        prop_assert!(parsed.is_well_formed());
        prop_assert_eq!(parsed.common(parsed), Some(parsed));
    }
}
