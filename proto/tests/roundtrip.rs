//! Every format with both directions reads its own output back unchanged, for random values.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::LazyLock;

use ed25519_dalek::Signature;
use onionbalance_proto::fixture::{Backend, v2::Backend as BackendV2};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::Readers;
use onionbalance_proto::v2::{self, AuthType, Cookie, Replica, TimePeriod as TimePeriodV2};
use onionbalance_proto::v3::cert::{CertType, Certificate, Claim, ExpiryHour};
use onionbalance_proto::v3::document::{PeriodKeys, open};
use onionbalance_proto::v3::{LinkSpecifiers, PeriodLength, TimePeriod};
use onionbalance_proto::wire::frame::Message;
use onionbalance_proto::wire::v2::{ChosenPoint, FrontendRequest as FrontendRequestV2};
use onionbalance_proto::wire::{
    BackendProof, CertProof, FrontendRequest, Header, Held, HeldService, Page, ProvenPoint, Refusal, Reply,
    Request, SignedFrontend, frame,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// 2026-11-22 10:00 UTC.
const NOW: UnixTime = UnixTime(1_795_341_600);

static SERVICE_V2: LazyLock<BackendV2> = LazyLock::new(|| BackendV2::generate(&mut StdRng::seed_from_u64(3)));

fn comes_back<T: FromStr<Err: Debug> + Display + Debug + PartialEq>(value: &T) -> Result<(), TestCaseError> {
    prop_assert_eq!(&value.to_string().parse::<T>().unwrap(), value);
    Ok(())
}

fn travels<M: Message + Debug + PartialEq>(message: &M) -> Result<(), TestCaseError> {
    let written = frame::encode(message).unwrap();
    let (header, body) = written.split_first_chunk::<{ Header::LENGTH }>().unwrap();
    prop_assert_eq!(Header::decode::<M>(*header).unwrap().body_length(), body.len());
    prop_assert_eq!(&frame::decode::<M>(body).unwrap(), message);
    Ok(())
}

fn proof() -> impl Strategy<Value = CertProof> {
    (any::<u32>(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(hour, r, s)| CertProof {
        expires: ExpiryHour(hour),
        signature: Signature::from_components(r, s),
    })
}

fn backend() -> impl Strategy<Value = BackendProof> {
    (any::<[u8; 32]>(), any::<u64>(), any::<[u8; 32]>(), proof()).prop_map(
        |(identity, period_number, signing_key, cert)| BackendProof {
            identity,
            period_number,
            signing_key,
            cert,
        },
    )
}

fn point() -> impl Strategy<Value = ProvenPoint> {
    let keys = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 32]>());
    (any::<u8>(), vec(any::<u8>(), 0..300), keys, proof(), proof()).prop_map(
        |(backend, link_specifiers, (onion_key, auth_key, enc_key), auth_cert, enc_cert)| ProvenPoint {
            backend,
            link_specifiers,
            onion_key,
            auth_key,
            enc_key,
            auth_cert,
            enc_cert,
        },
    )
}

/// Any version-3 request, valid or not: the signer judges it after the frame was read.
fn request_v3() -> impl Strategy<Value = Request> {
    let place = (any::<[u8; 32]>(), any::<u16>(), any::<u64>());
    let flow_control = option::of(select(vec!["1-2 31", "1 254", "0-63 1"]));
    let lists = (vec(backend(), 0..4), vec(point(), 0..6), vec(vec(any::<u8>(), 0..25), 0..9));
    (place, lists, flow_control, any::<bool>(), any::<u64>()).prop_map(
        |(place, (backends, points, sets), flow_control, single_onion, revision_seen)| {
            let (service, period_length, period_number) = place;
            Request::FrontendV3(FrontendRequest {
                service,
                period_length,
                period_number,
                backends,
                points,
                sets,
                flow_control: flow_control.map(|text| text.parse().unwrap()),
                single_onion,
                revision_seen,
            })
        },
    )
}

fn request_v2() -> impl Strategy<Value = Request> {
    let chosen = (any::<u8>(), any::<u8>()).prop_map(|(backend, point)| ChosenPoint { backend, point });
    let place = (any::<[u8; 10]>(), any::<u32>(), any::<u8>(), any::<u64>());
    (place, vec(any::<String>(), 0..12), vec(chosen, 0..20), any::<bool>()).prop_map(
        |((service, period, replica, published), backends, points, client_authorization)| {
            Request::FrontendV2(FrontendRequestV2 {
                service,
                period,
                replica,
                published: UnixTime(published),
                backends,
                points,
                client_authorization,
            })
        },
    )
}

fn held() -> impl Strategy<Value = HeldService> {
    let delegation_ends = option::of(any::<u64>().prop_map(UnixTime));
    let v3 = (any::<String>(), any::<u64>(), vec(any::<u64>(), 0..4), delegation_ends).prop_map(
        |(key, address, backends, delegation_ends)| {
            let address_of = |number| Backend::new(number).address();
            let backends = backends.into_iter().map(address_of).collect();
            HeldService::V3 { held: Held { key, address: address_of(address), backends }, delegation_ends }
        },
    );
    let address = any::<[u8; 10]>().prop_map(v2::OnionAddress::from_permanent_id);
    let v2 = (any::<String>(), address.clone(), vec(address, 0..4))
        .prop_map(|(key, address, backends)| HeldService::V2(Held { key, address, backends }));
    prop_oneof![v2, v3]
}

fn reply() -> impl Strategy<Value = Reply> {
    let signed = (any::<u64>(), vec(any::<String>(), 0..9))
        .prop_map(|(revision, texts)| Reply::FrontendV3(SignedFrontend { revision, texts }));
    let signed_v2 = any::<String>()
        .prop_map(|text| Reply::FrontendV2(onionbalance_proto::wire::v2::SignedFrontend { text }));
    let page = (any::<String>(), any::<u64>(), any::<u32>(), vec(held(), 0..4)).prop_map(
        |(version, edition, total, services)| Reply::Services(Page { version, edition, total, services }),
    );
    prop_oneof![
        page,
        signed,
        signed_v2,
        select(Refusal::ALL).prop_map(Reply::Refused),
        any::<String>().prop_map(|text| Reply::NotReady(text.as_str().into())),
    ]
}

/// Link specifiers that tor could write, also of future types, in any order.
fn link_specifiers() -> impl Strategy<Value = Vec<u8>> {
    let specifier = |kind: u8, length: usize| {
        vec(any::<u8>(), length)
            .prop_map(move |data| [&[kind, u8::try_from(length).unwrap()], &data[..]].concat())
    };
    let address = prop_oneof![specifier(0, 6), specifier(1, 18)];
    let unknown = (4..=255_u8, vec(any::<u8>(), 0..30))
        .prop_map(|(kind, data)| [&[kind, u8::try_from(data.len()).unwrap()], &data[..]].concat());
    let all = (vec(address, 1..3), specifier(2, 20), option::of(specifier(3, 32)), vec(unknown, 0..3))
        .prop_map(|(mut all, rsa, ed25519, unknown)| {
            all.push(rsa);
            all.extend(ed25519);
            all.extend(unknown);
            all
        });
    all.prop_shuffle().prop_map(|all| [&[u8::try_from(all.len()).unwrap()], &all.concat()[..]].concat())
}

proptest! {
    #[test]
    fn requests(v3 in request_v3(), v2 in request_v2()) {
        travels(&v3)?;
        travels(&v2)?;
    }

    #[test]
    fn replies(reply in reply()) {
        travels(&reply)?;
    }

    #[test]
    fn certificates(
        kind in select(vec![CertType::DescriptorSigning, CertType::AuthKey, CertType::EncKey]),
        certified in any::<[u8; 32]>(),
        signed_by in any::<[u8; 32]>(),
        proof in proof(),
    ) {
        let claim = Claim { kind, expires: proof.expires, certified, signed_by };
        let certificate = Certificate { claim, signature: proof.signature };
        prop_assert_eq!(Certificate::decode(&certificate.encode(), kind), Ok(certificate));
        // The wire form is shorter, and yields the same certificate.
        prop_assert_eq!(CertProof::from(&certificate).certificate(kind, certified, signed_by), certificate);
    }

    #[test]
    fn link_specifiers_in_any_order(bytes in link_specifiers()) {
        let specifiers = LinkSpecifiers::try_from(bytes.clone()).unwrap();
        prop_assert_eq!(specifiers.as_bytes(), &bytes);
        prop_assert_eq!(Vec::<u8>::from(specifiers), bytes);
    }

    #[test]
    fn addresses_and_times(number in any::<u64>(), id in any::<[u8; 10]>(), seconds in 0..253_402_300_800_u64) {
        comes_back(&Backend::new(number).address())?;
        comes_back(&v2::OnionAddress::from_permanent_id(id))?;
        comes_back(&UnixTime(seconds))?;
    }

    #[test]
    fn v3_descriptors(
        seed in any::<u64>(),
        points in 0_usize..=20,
        revision in any::<u64>(),
        single_onion in any::<bool>(),
        minutes in 5_u16..=14400,
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let period = TimePeriod::at(NOW, PeriodLength::try_from(minutes).unwrap(), 0);
        let mut published = Backend::new(seed).publish(period, NOW, points, &mut rng);
        published.descriptor.revision = revision;
        published.descriptor.inner.single_onion = single_onion;
        let keys = PeriodKeys::derive(&published.address, period);
        prop_assert_eq!(open(&published.text(&mut rng), &keys, NOW), Ok(published.descriptor));
    }

    #[test]
    fn v2_descriptors(
        seed in any::<u64>(),
        points in 1_usize..=10,
        period in any::<u32>(),
        second in any::<bool>(),
        hours in 0..70_000_000_u64,
        cookie in option::of(any::<[u8; 16]>()),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut descriptor = SERVICE_V2.publish(NOW, points, &mut rng);
        descriptor.period = TimePeriodV2(period);
        descriptor.replica = if second { Replica::Second } else { Replica::First };
        descriptor.published = UnixTime(hours * 3600);
        let cookie = cookie.map(|bytes| Cookie::new(bytes, AuthType::Stealth));
        let readers = cookie.as_ref().map_or(Readers::Everyone, Readers::Stealth);
        let text = SERVICE_V2.text(&descriptor, readers, &mut rng);
        let opened = v2::document::open(&text, &SERVICE_V2.address(), &[descriptor.period], cookie.as_ref());
        prop_assert_eq!(opened, Ok(descriptor));
    }
}
