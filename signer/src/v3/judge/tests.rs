use std::sync::LazyLock;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::{EdwardsPoint, Scalar};
use onionbalance_proto::fixture::{self, Backend, Published};
use onionbalance_proto::v3::cert::{Claim, ExpiryHour};
use onionbalance_proto::wire::{Header, Request, frame};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

mod schedule;

/// 2026-11-22 10:00 UTC.
const NOW: UnixTime = UnixTime(1_795_341_600);
/// The day's run of the shared random value.
const RUN_START: UnixTime = UnixTime(1_795_305_600);
/// The period that holds [`NOW`] on the public network: it began on the noon before.
const PERIOD: u64 = 20_778;
/// The refusals that this judge never gives: the first three are the server's and the renderer's, the others
/// of version 2.
const GIVEN_ELSEWHERE: [Refusal; 10] = [
    Refusal::UnknownService,
    Refusal::RateLimit,
    Refusal::TooLong,
    Refusal::Replica,
    Refusal::PublicationTime,
    Refusal::BackendDescriptor,
    Refusal::BackendDescriptorPeriod,
    Refusal::BackendCookie,
    Refusal::ClientAuthorization,
    Refusal::NotDelegated,
];

/// A genuine case for tests that do not change it.
static GENUINE: LazyLock<Case> = LazyLock::new(Case::genuine);

fn period(number: u64) -> TimePeriod {
    TimePeriod { length: PeriodLength::try_from(1440).unwrap(), number }
}

/// A request, and the world in which it is judged.
struct Case {
    request: FrontendRequest,
    allowed: Vec<OnionAddress>,
    /// Backends whose owners sign anything that a test needs.
    backends: Vec<Backend>,
    published: Vec<Published>,
}

impl Case {
    /// Three points of each of two configured backends, in two sets.
    fn genuine() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let backends: Vec<Backend> = (0..2).map(Backend::new).collect();
        let published: Vec<Published> =
            backends.iter().map(|backend| backend.publish(period(PERIOD), NOW, 3, &mut rng)).collect();
        let mut request = fixture::request(&Backend::new(99).address(), period(PERIOD), &published);
        request.sets = vec![vec![0, 2, 4], vec![5, 1, 3]];
        let allowed = backends.iter().map(Backend::address).collect();
        Self { request, allowed, backends, published }
    }

    fn judge(&self) -> Result<Approved, Refusal> {
        judge(&self.request, &self.allowed, NOW)
    }

    /// Replaces the first backend's certificate by another one of its blinded key.
    fn certify_signing_key(&mut self, kind: CertType, expires: ExpiryHour) {
        let claim = Claim { kind, expires, ..self.published[0].descriptor.signing_cert.claim };
        let certificate = self.backends[0].certify_blinded(claim, period(PERIOD));
        self.request.backends[0].cert = (&certificate).into();
    }

    /// Replaces the first point's certificate by another one of its backend's descriptor-signing key.
    fn certify_auth_key(&mut self, kind: CertType, expires: ExpiryHour) {
        let point = &mut self.request.points[0];
        point.auth_cert = (&self.published[0].certify(kind, point.auth_key, expires)).into();
    }

    fn certify_enc_key(&mut self, kind: CertType, certified: [u8; 32], expires: ExpiryHour) {
        self.request.points[0].enc_cert = (&self.published[0].certify(kind, certified, expires)).into();
    }

    fn certified_enc_key(&self) -> [u8; 32] {
        self.published[0].descriptor.inner.points[0].enc_key.to_ed25519()
    }
}

/// A key whose secret half the attacker has.
fn attackers_x25519() -> [u8; 32] {
    EdwardsPoint::mul_base(&Scalar::from(7_u64)).to_montgomery().to_bytes()
}

fn expired() -> ExpiryHour {
    ExpiryHour::not_after(NOW)
}

fn valid() -> ExpiryHour {
    ExpiryHour(expired().0 + 1)
}

fn link_specifiers(list: &[(u8, usize)]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(list.len()).unwrap()];
    for (kind, length) in list {
        bytes.extend([*kind, u8::try_from(*length).unwrap()]);
        bytes.extend(vec![1; *length]);
    }
    bytes
}

/// Values that the parser refuses, as they could come over the wire.
fn flow_control(versions: u64, increment: u8) -> Option<FlowControl> {
    let mut request = GENUINE.request.clone();
    request.flow_control = "1-2 31".parse().ok();
    let mut bytes = frame::encode(&Request::FrontendV3(request)).unwrap();
    // The request ends with: versions, increment, single_onion, revision_seen.
    let tail = bytes.len() - 18;
    let (_, tail) = bytes.split_at_mut(tail);
    assert_eq!(tail[..10], [0, 0, 0, 0, 0, 0, 0, 0b110, 31, 0]);
    tail[..8].copy_from_slice(&versions.to_be_bytes());
    tail[8] = increment;
    match frame::decode(&bytes[Header::LENGTH..]).unwrap() {
        Request::FrontendV3(request) => request.flow_control,
        _ => panic!("another request came back"),
    }
}

/// A refusal, a name, and an alteration that breaks this one rule in an otherwise genuine request.
type Hostile = (Refusal, &'static str, fn(&mut Case));

const HOSTILE_SHAPES: &[Hostile] = &[
    (Refusal::PeriodLength, "4 minutes", |case| case.request.period_length = 4),
    (Refusal::PeriodLength, "14401 minutes", |case| case.request.period_length = 14401),
    (Refusal::PeriodLength, "no minute", |case| case.request.period_length = 0),
    (Refusal::Period, "too far ahead", |case| case.request.period_number = PERIOD + 3),
    (Refusal::Period, "too far back", |case| case.request.period_number = PERIOD - 3),
    (Refusal::Period, "the first", |case| case.request.period_number = 0),
    (Refusal::Period, "the last", |case| case.request.period_number = u64::MAX),
    (Refusal::Period, "of another length", |case| case.request.period_length = 720),
    (Refusal::NoSets, "none", |case| case.request.sets.clear()),
    (Refusal::TooManySets, "nine", |case| case.request.sets = vec![vec![0]; 9]),
    (Refusal::EmptySet, "the only one", |case| case.request.sets = vec![vec![]]),
    (Refusal::EmptySet, "the last one", |case| case.request.sets.push(vec![])),
    (Refusal::SetTooLarge, "21 points", |case| {
        case.request.points = vec![case.request.points[0].clone(); 21];
        case.request.sets = vec![(0..21).collect()];
    }),
    (Refusal::SetMember, "the first index that is none", |case| case.request.sets[1][2] = 6),
    (Refusal::SetMember, "the last index", |case| case.request.sets[0][0] = 255),
    (Refusal::SetMember, "an index twice", |case| case.request.sets[0][2] = 0),
    (Refusal::SetMember, "a point twice, under two indices", |case| {
        case.request.points.push(case.request.points[0].clone());
        case.request.sets[0].push(6);
    }),
    (Refusal::SetMember, "a point twice, at two relays", |case| {
        let mut point = case.request.points[0].clone();
        point.link_specifiers = case.request.points[1].link_specifiers.clone();
        point.onion_key = case.request.points[1].onion_key;
        case.request.points.push(point);
        case.request.sets[0].push(6);
    }),
    (Refusal::TooManyPoints, "161", |case| {
        case.request.points = vec![case.request.points[0].clone(); 161];
    }),
    (Refusal::TooManyPoints, "more backends than points", |case| {
        case.request.backends = vec![case.request.backends[0].clone(); 7];
    }),
    (Refusal::FlowControl, "no version", |case| case.request.flow_control = flow_control(0, 31)),
    (Refusal::FlowControl, "increment 0", |case| case.request.flow_control = flow_control(6, 0)),
    (Refusal::FlowControl, "increment 255", |case| case.request.flow_control = flow_control(6, 255)),
];

const HOSTILE_BACKENDS: &[Hostile] = &[
    (Refusal::UnknownBackend, "never configured", |case| {
        let foreign = Backend::new(66).publish(period(PERIOD), NOW, 3, &mut StdRng::seed_from_u64(6));
        let published = [foreign];
        let sets = std::mem::take(&mut case.request.sets);
        let frontend = Backend::new(99).address();
        case.request = fixture::request(&frontend, period(PERIOD), &published);
        case.request.sets = vec![sets[0].iter().map(|index| index % 3).take(1).collect()];
    }),
    (Refusal::UnknownBackend, "removed", |case| case.allowed.truncate(1)),
    (Refusal::UnknownBackend, "another service's", |case| case.allowed[1] = Backend::new(5).address()),
    (Refusal::UnknownBackend, "no backend is allowed", |case| case.allowed.clear()),
    (Refusal::UnknownBackend, "the first index that is none", |case| case.request.points[0].backend = 2),
    (Refusal::UnknownBackend, "the last index", |case| case.request.points[5].backend = 255),
    (Refusal::BackendPeriod, "two ahead", |case| case.request.backends[0].period_number += 2),
    (Refusal::BackendPeriod, "two back", |case| case.request.backends[0].period_number -= 2),
    (Refusal::BackendPeriod, "the last", |case| case.request.backends[1].period_number = u64::MAX),
    (Refusal::BackendCert, "of the next period", |case| case.request.backends[0].period_number += 1),
    (Refusal::BackendCert, "of the period before", |case| case.request.backends[0].period_number -= 1),
    (Refusal::BackendCert, "by another configured backend", |case| {
        case.request.backends[0].identity = case.request.backends[1].identity;
    }),
    (Refusal::BackendCert, "with another's signature", |case| {
        case.request.backends[0].cert = case.request.backends[1].cert;
    }),
    (Refusal::BackendCert, "of another signing key", |case| {
        case.request.backends[0].signing_key = case.request.backends[1].signing_key;
    }),
    (Refusal::BackendCert, "of a signing key of small order", |case| {
        case.request.backends[0].signing_key = EIGHT_TORSION[1].compress().to_bytes();
    }),
    (Refusal::BackendCert, "of a signing key off the curve", |case| {
        case.request.backends[0].signing_key = [2; 32];
    }),
    (Refusal::BackendCert, "made to last longer", |case| case.request.backends[0].cert.expires.0 += 1),
    (Refusal::BackendCert, "of the type for authentication keys", |case| {
        case.certify_signing_key(CertType::AuthKey, valid());
    }),
    (Refusal::BackendCert, "by another blinded key of the same backend", |case| {
        let claim = case.published[0].descriptor.signing_cert.claim;
        let certificate = case.backends[0].certify_blinded(claim, period(0));
        case.request.backends[0].cert = (&certificate).into();
    }),
    (Refusal::BackendCertExpired, "this hour", |case| {
        case.certify_signing_key(CertType::DescriptorSigning, expired());
    }),
    (Refusal::BackendCertExpired, "in 1970", |case| {
        case.certify_signing_key(CertType::DescriptorSigning, ExpiryHour(0));
    }),
];

const HOSTILE_POINTS: &[Hostile] = &[
    (Refusal::LinkSpecifiers, "none at all", |case| case.request.points[0].link_specifiers.clear()),
    (Refusal::LinkSpecifiers, "a count of none", |case| case.request.points[0].link_specifiers = vec![0]),
    (Refusal::LinkSpecifiers, "cut", |case| {
        case.request.points[0].link_specifiers.pop();
    }),
    (Refusal::LinkSpecifiers, "bytes left over", |case| case.request.points[0].link_specifiers.push(0)),
    (Refusal::LinkSpecifiers, "too long", |case| {
        case.request.points[0].link_specifiers = link_specifiers(&[(0, 6), (2, 20), (9, 255)]);
    }),
    (Refusal::LinkSpecifiers, "two relays", |case| {
        case.request.points[0].link_specifiers = link_specifiers(&[(0, 6), (2, 20), (2, 20)]);
    }),
    (Refusal::LinkSpecifiers, "two ed25519 identities", |case| {
        case.request.points[0].link_specifiers = link_specifiers(&[(0, 6), (2, 20), (3, 32), (3, 32)]);
    }),
    (Refusal::LinkSpecifiers, "no identity", |case| {
        case.request.points[0].link_specifiers = link_specifiers(&[(0, 6), (3, 32)]);
    }),
    (Refusal::LinkSpecifiers, "no address", |case| {
        case.request.points[0].link_specifiers = link_specifiers(&[(2, 20), (3, 32)]);
    }),
    (Refusal::LinkSpecifiers, "an IPv6 address of an IPv4 one's length", |case| {
        case.request.points[0].link_specifiers = link_specifiers(&[(1, 6), (2, 20), (3, 32)]);
    }),
    (Refusal::OnionKey, "zeroes", |case| case.request.points[0].onion_key = [0; 32]),
    (Refusal::AuthKey, "zeroes", |case| case.request.points[0].auth_key = [0; 32]),
    (Refusal::AuthKey, "off the curve", |case| case.request.points[0].auth_key = [2; 32]),
    (Refusal::EncKey, "zeroes", |case| case.request.points[0].enc_key = [0; 32]),
    (Refusal::EncKey, "another text of the certified key", |case| case.request.points[0].enc_key[31] |= 0x80),
    (Refusal::AuthCert, "of another point of the same backend", |case| {
        let [first, second, ..] = case.request.points.as_mut_slice() else { panic!("no two points") };
        std::mem::swap(&mut first.auth_cert, &mut second.auth_cert);
    }),
    (Refusal::AuthCert, "another point's key", |case| {
        case.request.points[0].auth_key = case.request.points[1].auth_key;
    }),
    (Refusal::AuthCert, "the attacker's key", |case| {
        case.request.points[0].auth_key = EdwardsPoint::mul_base(&Scalar::from(7_u64)).compress().to_bytes();
    }),
    (Refusal::AuthCert, "by another backend's signing key", |case| case.request.points[0].backend = 1),
    (Refusal::AuthCert, "made to last longer", |case| case.request.points[0].auth_cert.expires.0 += 1),
    (Refusal::AuthCert, "of the type for encryption keys", |case| {
        case.certify_auth_key(CertType::EncKey, valid());
    }),
    (Refusal::AuthCertExpired, "this hour", |case| case.certify_auth_key(CertType::AuthKey, expired())),
    (Refusal::EncCert, "the takeover: the attacker's key beside a genuine certificate", |case| {
        case.request.points[0].enc_key = attackers_x25519();
    }),
    (Refusal::EncCert, "another point's key", |case| {
        case.request.points[0].enc_key = case.request.points[1].enc_key;
    }),
    (Refusal::EncCert, "of another point of the same backend", |case| {
        let [first, second, ..] = case.request.points.as_mut_slice() else { panic!("no two points") };
        std::mem::swap(&mut first.enc_cert, &mut second.enc_cert);
    }),
    (Refusal::EncCert, "the authentication key's", |case| {
        case.request.points[0].enc_cert = case.request.points[0].auth_cert;
    }),
    (Refusal::EncCert, "made to last longer", |case| case.request.points[0].enc_cert.expires.0 += 1),
    (Refusal::EncCert, "of the type for authentication keys", |case| {
        case.certify_enc_key(CertType::AuthKey, case.certified_enc_key(), valid());
    }),
    (Refusal::EncCert, "of the conversion with the other sign", |case| {
        let mut certified = case.certified_enc_key();
        certified[31] ^= 0x80;
        case.certify_enc_key(CertType::EncKey, certified, valid());
    }),
    (Refusal::EncCertExpired, "this hour", |case| {
        case.certify_enc_key(CertType::EncKey, case.certified_enc_key(), expired());
    }),
];

fn every_hostile() -> impl Iterator<Item = &'static Hostile> {
    [HOSTILE_SHAPES, HOSTILE_BACKENDS, HOSTILE_POINTS].into_iter().flatten()
}

#[test]
fn a_genuine_request_is_approved_as_it_was_asked() {
    let case = Case::genuine();
    let approved = case.judge().unwrap();
    let genuine: Vec<_> =
        case.published.iter().flat_map(|published| &published.descriptor.inner.points).collect();
    assert_eq!(approved.points.len(), genuine.len());
    for (approved, genuine) in approved.points.iter().zip(genuine) {
        assert_eq!(approved.link_specifiers, genuine.link_specifiers);
        assert_eq!(approved.onion_key, genuine.onion_key);
        assert_eq!(approved.auth_key, genuine.auth_key);
        assert_eq!(approved.enc_key, genuine.enc_key);
    }
    assert_eq!(approved.period, period(PERIOD));
    assert_eq!(approved.sets, case.request.sets);
    assert_eq!(approved.flow_control, case.request.flow_control);
    assert_eq!((approved.single_onion, approved.revision_seen), (false, 0));
}

#[test]
fn each_hostile_request_is_refused_by_the_rule_it_breaks() {
    for (refusal, what, spoil) in every_hostile() {
        let mut case = Case::genuine();
        spoil(&mut case);
        assert_eq!(case.judge().err(), Some(*refusal), "{refusal:?}: {what}");
    }
}

#[test]
fn every_refusal_has_a_hostile_request() {
    for refusal in Refusal::ALL {
        let covered = every_hostile().any(|(covered, ..)| covered == refusal);
        assert_ne!(covered, GIVEN_ELSEWHERE.contains(refusal), "{refusal:?}");
    }
}

/// The hostile variations sign again, so the signature itself must not be the reason of a refusal.
#[test]
fn certificates_of_the_same_making_are_accepted_until_their_hour() {
    let mut case = Case::genuine();
    case.certify_signing_key(CertType::DescriptorSigning, valid());
    case.certify_auth_key(CertType::AuthKey, valid());
    case.certify_enc_key(CertType::EncKey, case.certified_enc_key(), valid());
    assert!(case.judge().is_ok());
    let last_second = valid().moment().minus(1);
    assert!(judge(&case.request, &case.allowed, last_second).is_ok());
    let refusal = judge(&case.request, &case.allowed, valid().moment()).err();
    assert_eq!(refusal, Some(Refusal::BackendCertExpired));
}

#[test]
fn backends_of_the_neighbouring_periods_are_accepted() {
    for number in [PERIOD - 1, PERIOD, PERIOD + 1] {
        let mut case = Case::genuine();
        let published = [case.backends[0].publish(period(number), NOW, 2, &mut StdRng::seed_from_u64(2))];
        case.request = fixture::request(&Backend::new(99).address(), period(PERIOD), &published);
        case.request.backends[0].period_number = number;
        assert!(case.judge().is_ok(), "{number}");
    }
}

#[test]
fn small_order_keys_are_refused_in_every_place() {
    // The points of small order of either curve, in all encodings whose bytes differ.
    let weak_x25519 = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]
    .map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap());
    for weak in weak_x25519 {
        let mut case = Case::genuine();
        case.request.points[3].enc_key = weak;
        assert_eq!(case.judge().err(), Some(Refusal::EncKey), "{weak:?}");
        let mut case = Case::genuine();
        case.request.points[3].onion_key = weak;
        assert_eq!(case.judge().err(), Some(Refusal::OnionKey), "{weak:?}");
    }
    for weak in EIGHT_TORSION.map(|point| point.compress().to_bytes()) {
        let mut case = Case::genuine();
        case.request.points[3].auth_key = weak;
        assert_eq!(case.judge().err(), Some(Refusal::AuthKey), "{weak:?}");
    }
}

#[test]
fn the_largest_request_is_accepted() {
    let mut case = Case::genuine();
    case.published = vec![case.backends[0].publish(period(PERIOD), NOW, 160, &mut StdRng::seed_from_u64(5))];
    case.request = fixture::request(&Backend::new(99).address(), period(PERIOD), &case.published);
    for point in &mut case.request.points {
        point.link_specifiers = link_specifiers(&[(0, 6), (2, 20), (9, 223)]);
        assert_eq!(point.link_specifiers.len(), LinkSpecifiers::MAX_LENGTH);
    }
    case.request.backends = case.request.backends.iter().cloned().cycle().take(160).collect();
    case.request.sets = (0..8).map(|set| (set * 20..set * 20 + 20).collect()).collect();
    case.request.flow_control = "0-63 254".parse().ok();
    case.request.revision_seen = u64::MAX;
    assert!(case.judge().is_ok());
    let frame = frame::encode(&Request::FrontendV3(case.request.clone())).unwrap();
    assert_eq!(
        frame::decode::<Request>(&frame[Header::LENGTH..]).unwrap(),
        Request::FrontendV3(case.request)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// No request of a balancer gets a key approved other than its backend certified it, under its own
    /// certificate.
    #[test]
    fn no_altered_request_gets_another_key_approved(
        alterations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let case = &*GENUINE;
        let mut body = frame::encode(&Request::FrontendV3(case.request.clone())).unwrap();
        for (at, byte) in alterations {
            let at = Header::LENGTH + at.index(body.len() - Header::LENGTH);
            body[at] ^= byte;
        }
        if let Ok(Request::FrontendV3(altered)) = frame::decode(&body[Header::LENGTH..])
            && let Ok(approved) = judge(&altered, &case.allowed, NOW)
        {
            let keys = |point: &ApprovedPoint| (*point.auth_key.as_bytes(), *point.enc_key.as_bytes());
            let genuine = case.request.points.iter().map(|point| (point.auth_key, point.enc_key));
            prop_assert!(approved.points.iter().map(keys).eq(genuine));
        }
    }
}
