mod nonces;

use ed25519_dalek::SigningKey;
use onionbalance_key_file::KeyFile;
use onionbalance_proto::fixture;
use onionbalance_proto::v3::document;
use onionbalance_proto::v3::{FlowControl, LinkSpecifiers, PeriodLength};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::keys::{self, Secret};
use crate::v3::secret::IdentitySecret;

/// 2026-11-22 10:20:30 UTC.
const NOW: UnixTime = UnixTime(1_795_342_830);
/// The hour of [`NOW`], counted from 1970.
const HOUR: u32 = 498_706;
/// A descriptor by tor 0.4.9.11, with three points and a revision counter of 8 digits, without its last line
/// end.
const BY_TOR: &str = include_str!("../../../../proto/testdata/v3/backend0.desc");

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// The number of the period of [`NOW`].
const PERIOD: u64 = 20_778;

fn period(number: u64) -> TimePeriod {
    TimePeriod { length: PeriodLength::DAY, number }
}

fn service(seed: u8) -> Service {
    let secret = IdentitySecret::from_seed(&[seed; 32]).unwrap();
    Service::new(Authority::Identity(secret), Vec::new())
}

fn point(rng: &mut StdRng) -> ApprovedPoint {
    let IntroductionPoint { link_specifiers, onion_key, auth_key, enc_key, .. } =
        fixture::point(&SigningKey::from_bytes(&[3; 32]), NOW, rng);
    ApprovedPoint { link_specifiers, onion_key, auth_key, enc_key }
}

/// One set with this number of points.
fn approved(points: u8) -> Approved {
    let mut rng = rng(9);
    Approved {
        period: period(PERIOD),
        revision_seen: 0,
        points: (0..points).map(|_| point(&mut rng)).collect(),
        sets: vec![(0..points).collect()],
        flow_control: "1-2 31".parse().ok(),
        single_onion: false,
    }
}

fn open(service: &Service, period: TimePeriod, text: &str, now: UnixTime) -> Descriptor {
    document::open(text, &PeriodKeys::derive(&service.address(), period), now).unwrap()
}

fn signing_key(service: &mut Service, number: u64, now: UnixTime) -> [u8; 32] {
    let approved = Approved { period: period(number), ..approved(1) };
    let signed = service.render(&approved, now, &mut rand::thread_rng()).unwrap();
    open(service, period(number), &signed.texts[0], now).signing_cert.claim.certified
}

#[test]
fn each_text_opens_for_a_client_and_holds_just_its_set() {
    let mut service = service(1);
    let mut approved = approved(8);
    approved.sets = vec![vec![0, 1, 2], vec![7, 3], vec![4], (0..8).rev().collect()];
    for (flow_control, single_onion) in
        [(Some("1-2 31"), false), (Some("2 30"), true), (None, true), (None, false)]
    {
        approved.flow_control = flow_control.map(|text| text.parse::<FlowControl>().unwrap());
        approved.single_onion = single_onion;
        let signed = service.render(&approved, NOW, &mut rng(1)).unwrap();
        assert_eq!(signed.texts.len(), approved.sets.len());
        for (text, set) in signed.texts.iter().zip(&approved.sets) {
            let descriptor = open(&service, approved.period, text, NOW);
            assert_eq!(descriptor.revision, signed.revision);
            assert_eq!(descriptor.inner.flow_control, approved.flow_control);
            assert_eq!(descriptor.inner.single_onion, single_onion);
            let wanted = set.iter().map(|index| &approved.points[usize::from(*index)]);
            assert_eq!(descriptor.inner.points.len(), set.len());
            for (point, wanted) in descriptor.inner.points.iter().zip(wanted) {
                assert_eq!(point.link_specifiers, wanted.link_specifiers);
                assert_eq!(point.onion_key, wanted.onion_key);
                assert_eq!(point.auth_key, wanted.auth_key);
                assert_eq!(point.enc_key, wanted.enc_key);
            }
        }
    }
}

#[test]
fn revisions_only_grow() {
    let mut service = service(1);
    let mut last = 0;
    let hour = 3600;
    for (now, seen) in [
        (NOW, 0),
        (NOW, 0),
        (NOW.plus(1), 0),
        (NOW.minus(hour), 0),
        (UnixTime(0), 0),
        (NOW.plus(2), 2_000_000_000),
        (NOW.plus(3), 0),
        (NOW.plus(100 * hour), 0),
        (NOW, 17),
    ] {
        let approved = Approved { revision_seen: seen, ..approved(1) };
        let signed = service.render(&approved, now, &mut rng(2)).unwrap();
        assert!(signed.revision > last, "{} after {last} at {now:?}", signed.revision);
        assert!(signed.revision > seen, "{} where {seen} was seen", signed.revision);
        last = signed.revision;
    }
}

/// Two publishers with one key that count as tor does agree on the order of their descriptors.
#[test]
fn revisions_are_comparable_across_restarts() {
    let revision = |now| service(1).render(&approved(1), now, &mut rng(3)).unwrap().revision;
    assert_eq!(revision(NOW), revision(NOW));
    assert!(revision(NOW.plus(1)) > revision(NOW));
}

#[test]
fn a_signing_key_is_one_services_for_one_period_until_a_restart() {
    let (mut one, mut other, mut restarted) = (service(1), service(2), service(1));
    let key = signing_key(&mut one, PERIOD, NOW);
    assert_eq!(signing_key(&mut one, PERIOD, NOW.plus(7200)), key);
    assert_ne!(signing_key(&mut one, PERIOD + 1, NOW), key);
    assert_eq!(signing_key(&mut one, PERIOD, NOW), key);
    assert_ne!(signing_key(&mut other, PERIOD, NOW), key);
    assert_ne!(signing_key(&mut restarted, PERIOD, NOW), key);
}

#[test]
fn certificates_run_out_when_tors_do() {
    let mut service = service(1);
    let on_the_hour = UnixTime(u64::from(HOUR) * 3600);
    for (now, signing, points) in [
        (NOW, HOUR + 55, HOUR + 54),
        (on_the_hour, HOUR + 54, HOUR + 54),
        (on_the_hour.plus(1), HOUR + 55, HOUR + 54),
        (on_the_hour.plus(3599), HOUR + 55, HOUR + 54),
    ] {
        let approved = approved(2);
        let signed = service.render(&approved, now, &mut rng(4)).unwrap();
        let descriptor = open(&service, approved.period, &signed.texts[0], now);
        assert_eq!(descriptor.signing_cert.claim.expires, ExpiryHour(signing), "{now:?}");
        for point in descriptor.inner.points {
            assert_eq!(point.auth_cert.claim.expires, ExpiryHour(points), "{now:?}");
            assert_eq!(point.enc_cert.claim.expires, ExpiryHour(points), "{now:?}");
        }
    }
}

#[test]
fn memory_of_periods_is_bounded_and_keeps_the_ones_in_use() {
    let mut service = service(1);
    let key = signing_key(&mut service, PERIOD, NOW);
    for number in PERIOD + 1..=PERIOD + 20 {
        signing_key(&mut service, number, NOW);
        assert_eq!(signing_key(&mut service, PERIOD, NOW), key, "{number}");
    }
    assert_eq!(service.periods.len(), PERIODS_KEPT);
    assert_eq!(service.periods.capacity(), PERIODS_KEPT);
    let kept: Vec<u64> = service.periods.iter().map(|period| period.time.number).collect();
    assert_eq!(kept, [PERIOD + 18, PERIOD + 19, PERIOD + 20, PERIOD]);
}

fn link_specifiers(list: &[(u8, u8)]) -> LinkSpecifiers {
    let mut bytes = vec![u8::try_from(list.len()).unwrap()];
    for (kind, length) in list {
        bytes.extend([*kind, *length]);
        bytes.extend(vec![7; usize::from(*length)]);
    }
    LinkSpecifiers::try_from(bytes).unwrap()
}

/// The length of an object's lines in base64.
fn armoured(bytes: usize) -> usize {
    let characters = bytes.div_ceil(3) * 4;
    characters + characters.div_ceil(64)
}

/// The length of tor's own descriptor if its middle layer were padded to `padding` times 10 000 bytes.
fn length(padding: usize, revision: u64) -> usize {
    let salt_and_code = 16 + 32;
    let digits = revision.to_string().len();
    BY_TOR.len() + 1 - 8 + digits + armoured(padding * 10_000 + salt_and_code)
        - armoured(10_000 + salt_and_code)
}

#[test]
fn lengths_tell_no_more_than_tors_do() {
    let mut service = service(1);
    let with_ipv6 = link_specifiers(&[(0, 6), (1, 18), (2, 20), (3, 32)]);
    for points in 1..=20 {
        let mut approved = approved(points);
        let classes = [(false, [8, 18]), (true, [8, 17])];
        for (ipv6, [first, second]) in classes {
            if ipv6 {
                approved.points.iter_mut().for_each(|point| point.link_specifiers = with_ipv6.clone());
            }
            let signed = service.render(&approved, NOW, &mut rng(5)).unwrap();
            let padding = if points <= first {
                1
            } else if points <= second {
                2
            } else {
                3
            };
            let text = &signed.texts[0];
            assert_eq!(text.len(), length(padding, signed.revision), "{points} points, IPv6: {ipv6}");
            assert!(text.len() < MAX_LENGTH);
        }
    }
}

/// [`Refusal::TooLong`] is therefore never given, unless one of the limits changes.
#[test]
fn twenty_points_of_the_longest_kind_are_kept_by_hsdirs() {
    let mut approved = approved(20);
    for point in &mut approved.points {
        point.link_specifiers = link_specifiers(&[(0, 6), (2, 20), (9, 223)]);
        assert_eq!(point.link_specifiers.as_bytes().len(), LinkSpecifiers::MAX_LENGTH);
    }
    approved.flow_control = "0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40 254".parse().ok();
    approved.single_onion = true;
    let signed = service(1).render(&approved, NOW, &mut rng(6)).unwrap();
    assert_eq!(signed.texts[0].len(), length(3, signed.revision));
}

/// A delegation has certificates for no other key: its signing key stays for the whole period, also when the
/// backends change.
#[test]
fn a_delegation_has_one_signing_key_a_period() {
    let file = include_bytes!("../../../../proto/testdata/v3/front-delegation.pem");
    let Ok(KeyFile::Encrypted(sealed)) = KeyFile::parse(file) else { panic!("it is sealed") };
    let key = sealed.open(b"onion balance v3").unwrap().expect("it opens");
    let Ok(Secret::V3(delegation)) = keys::secret(&key) else { panic!("it is a delegation") };
    for (mut service, stays) in [(Service::new(delegation, Vec::new()), true), (service(1), false)] {
        let key = signing_key(&mut service, 20_778, NOW);
        let backend =
            OnionAddress::from_identity(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes());
        service.allow(vec![backend.unwrap()]);
        assert_eq!(signing_key(&mut service, 20_778, NOW) == key, stays);
        assert_ne!(signing_key(&mut service, 20_779, NOW), key);
    }
}

/// A request for a period of this length, with the proof of an allowed backend.
fn request(service: &Service, minutes: u16, now: UnixTime) -> FrontendRequest {
    let length = PeriodLength::try_from(minutes).unwrap();
    let period = TimePeriod::at(now, length, u64::from(minutes) / 2);
    let published = [fixture::Backend::new(1).publish(period, now, 1, &mut rng(20))];
    fixture::request(&service.address(), period, &published)
}

#[test]
fn a_period_of_another_length_is_bound_while_it_is_asked_for() {
    let mut service = service(1);
    service.allow(vec![fixture::Backend::new(1).address()]);
    let mut sign = |minutes, now| {
        let request = request(&service, minutes, now);
        service.sign(&request, now, &mut rng(22)).map(|signed| signed.revision)
    };
    let public = sign(1440, NOW).unwrap();
    sign(10, NOW).unwrap();
    for minutes in [11, 1439, 14_400] {
        assert_eq!(sign(minutes, NOW.plus(60)), Err(Refusal::PeriodLength), "{minutes}");
    }
    // The public network's length is allowed beside it, and its revisions go on.
    assert!(sign(1440, NOW).unwrap() > public);
    sign(10, NOW.plus(500)).unwrap();
    assert_eq!(sign(11, NOW.plus(1099)), Err(Refusal::PeriodLength));
    // The binding by an attacker that came first has ended.
    sign(11, NOW.plus(1100)).unwrap();
    assert_eq!(sign(10, NOW.plus(1101)), Err(Refusal::PeriodLength));
    // After a clock was set back there is no binding.
    sign(12, NOW).unwrap();
}
