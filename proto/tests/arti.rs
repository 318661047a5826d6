//! Descriptors of Arti's service, read by this crate.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::ExpiryHour;
use onionbalance_proto::v3::document::inner::IntroductionPoint;
use onionbalance_proto::v3::document::{DocumentError, PeriodKeys, open};
use onionbalance_proto::v3::{FlowControl, OnionAddress, PeriodLength, TimePeriod};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tor_hscrypto::pk::{HsBlindIdKeypair, HsIdKeypair};
use tor_linkspec::EncodedLinkSpec;
use tor_llcrypto::pk::{curve25519, ed25519};
use tor_llcrypto::rng::CautiousRng;
use tor_netdoc::NetdocBuilder;
use tor_netdoc::doc::hsdesc::{HsDescBuilder, IntroPointDesc, create_desc_sign_key_cert};

/// 2026-11-22 10:00 UTC.
const NOW: UnixTime = UnixTime(1_795_341_600);
const EXPIRES: ExpiryHour = ExpiryHour(498_706 + 54);

fn system_time(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.0)
}

struct Frontend {
    address: OnionAddress,
    identity: HsIdKeypair,
}

impl Frontend {
    fn new(rng: &mut StdRng) -> Self {
        let keypair = ed25519::ExpandedKeypair::from(&ed25519::Keypair::from_bytes(&rng.r#gen()));
        let address = OnionAddress::from_identity(keypair.public().to_bytes()).unwrap();
        Self { address, identity: keypair.into() }
    }

    fn blind(&self, period: TimePeriod) -> (HsBlindIdKeypair, tor_hscrypto::Subcredential) {
        let length = u32::from(u16::from(period.length));
        let theirs = tor_hscrypto::time::TimePeriod::from_parts(length, period.number, 0);
        let (_, keypair, subcredential) = self.identity.compute_blinded_key(theirs).unwrap();
        (keypair, subcredential)
    }
}

/// One point in both forms: Arti's, and the fields that this crate must read.
struct Point {
    theirs: IntroPointDesc,
    fields: Fields,
}

/// Link specifiers, onion key, authentication key, encryption key.
type Fields = (Vec<u8>, [u8; 32], [u8; 32], [u8; 32]);

impl Point {
    fn random(rng: &mut StdRng) -> Self {
        let mut kinds = vec![(0_u8, 6_u8), (2, 20), (3, 32)];
        if rng.r#gen() {
            kinds.insert(1, (1, 18));
        }
        if rng.r#gen() {
            kinds.push((200, rng.r#gen::<u8>() % 60));
        }
        let mut bytes = vec![u8::try_from(kinds.len()).unwrap()];
        let mut specifiers = Vec::new();
        for (kind, length) in kinds {
            let mut body = vec![0; usize::from(length)];
            rng.fill_bytes(&mut body);
            bytes.extend([kind, length]);
            bytes.extend(&body);
            specifiers.push(EncodedLinkSpec::new(kind.into(), body));
        }
        let x25519 = |bytes: [u8; 32]| curve25519::PublicKey::from(&curve25519::StaticSecret::from(bytes));
        let (onion_key, enc_key) = (x25519(rng.r#gen()), x25519(rng.r#gen()));
        let auth_key = ed25519::PublicKey::from(&ed25519::Keypair::from_bytes(&rng.r#gen()));
        let theirs = IntroPointDesc::builder()
            .link_specifiers(specifiers)
            .ipt_kp_ntor(onion_key)
            .kp_hs_ipt_sid(auth_key.into())
            .kp_hss_ntor(enc_key.into())
            .build()
            .unwrap();
        Self { theirs, fields: (bytes, onion_key.to_bytes(), auth_key.to_bytes(), enc_key.to_bytes()) }
    }
}

fn fields(point: &IntroductionPoint) -> Fields {
    (
        point.link_specifiers.as_bytes().to_vec(),
        *point.onion_key.as_bytes(),
        *point.auth_key.as_bytes(),
        *point.enc_key.as_bytes(),
    )
}

fn render(
    frontend: &Frontend,
    period: TimePeriod,
    revision: u64,
    points: &[Point],
    flow_control: bool,
    single_onion: bool,
) -> String {
    let (blinded, subcredential) = frontend.blind(period);
    let signing = ed25519::Keypair::generate(&mut CautiousRng);
    let expires = system_time(EXPIRES.moment());
    let cert = create_desc_sign_key_cert(&signing.verifying_key(), &blinded, expires).unwrap();
    let points: Vec<IntroPointDesc> = points.iter().map(|point| point.theirs.clone()).collect();
    HsDescBuilder::default()
        .blinded_id(&(&blinded).into())
        .hs_desc_sign(&signing)
        .hs_desc_sign_cert(cert)
        .create2_formats(&[2_u16.into()])
        .auth_required(None)
        .is_single_onion_service(single_onion)
        .intro_points(&points)
        .intro_auth_key_cert_expiry(expires)
        .intro_enc_key_cert_expiry(expires)
        .flow_control(flow_control.then(|| ("FlowCtrl=1-2".parse().unwrap(), 31)))
        .lifetime(180_u16.into())
        .revision_counter(revision.into())
        .subcredential(subcredential)
        .build_sign(&mut CautiousRng)
        .unwrap()
}

#[test]
fn artis_descriptors_open_with_the_same_points() {
    let mut rng = StdRng::seed_from_u64(5);
    for count in (1..=20).chain([2, 9, 20]) {
        let frontend = Frontend::new(&mut rng);
        let length = PeriodLength::try_from(rng.gen_range(5..=14_400)).unwrap();
        let period = TimePeriod::at(NOW, length, 0);
        let points: Vec<Point> = (0..count).map(|_| Point::random(&mut rng)).collect();
        let (revision, flow_control, single_onion) = (rng.r#gen(), rng.r#gen(), rng.r#gen());
        let text = render(&frontend, period, revision, &points, flow_control, single_onion);

        let keys = PeriodKeys::derive(&frontend.address, period);
        let descriptor = open(&text, &keys, NOW).unwrap();
        assert_eq!(descriptor.revision, revision);
        assert_eq!(descriptor.signing_cert.claim.expires, EXPIRES);
        assert_eq!(descriptor.inner.single_onion, single_onion);
        let wanted = flow_control.then(|| "1-2 31".parse::<FlowControl>().unwrap());
        assert_eq!(descriptor.inner.flow_control, wanted);
        // Arti sorts the points.
        let mut opened: Vec<Fields> = descriptor.inner.points.iter().map(fields).collect();
        let mut wanted: Vec<Fields> = points.into_iter().map(|point| point.fields).collect();
        opened.sort();
        wanted.sort();
        assert_eq!(opened, wanted);
    }
}

#[test]
fn the_twenty_first_point_is_one_too_many() {
    let mut rng = StdRng::seed_from_u64(6);
    let frontend = Frontend::new(&mut rng);
    let period = TimePeriod::at(NOW, PeriodLength::try_from(1440).unwrap(), 720);
    let points: Vec<Point> = (0..21).map(|_| Point::random(&mut rng)).collect();
    let text = render(&frontend, period, 1, &points, true, false);
    let opened = open(&text, &PeriodKeys::derive(&frontend.address, period), NOW);
    assert_eq!(opened, Err(DocumentError::TooManyPoints { most: 20 }));
}
