use rand::SeedableRng;

use super::*;
use crate::v3::cert::CertError;
use crate::v3::{FlowControl, PeriodLength};

/// The descriptors were fetched by tor 0.4.9.11 at this moment (`testdata/v3`). Periods have 8 minutes and
/// the offset 4. A period had begun half a minute before, and the tor still had the consensus of the previous
/// one.
const TAKEN_AT: UnixTime = UnixTime(1_795_336_111);
const BACKEND0: &str = include_str!("../../../testdata/v3/backend0.desc");
const BACKEND1: &str = include_str!("../../../testdata/v3/backend1.desc");

fn keys(address: &str) -> PeriodKeys {
    let period = TimePeriod::at(TAKEN_AT.minus(60), PeriodLength::try_from(8).unwrap(), 4);
    PeriodKeys::derive(&address.parse().unwrap(), period)
}

fn backend0() -> PeriodKeys {
    keys("th4zxt6h4k7tcv2jwe7y3rid42pptskjmofdmt2tnwzd2n4gsotrjoid")
}

fn backend1() -> PeriodKeys {
    keys("2virpqdlsdu7mhbkmcvxkxkh5dmso42h2yika7dfrlf7g4dquvkqnpqd")
}

#[test]
fn opens_what_tor_published() {
    let descriptor = open(BACKEND0, &backend0(), TAKEN_AT).unwrap();
    assert_eq!(descriptor.revision, 23_268_292);
    assert_eq!(descriptor.signing_cert.claim.expires.moment(), UnixTime(1_795_532_400));
    assert_eq!(descriptor.inner.flow_control, Some("1-2 31".parse::<FlowControl>().unwrap()));
    assert!(!descriptor.inner.single_onion);
    let points: Vec<String> = descriptor
        .inner
        .points
        .iter()
        .map(|p| format!("{:?} {:?} {:?}", p.auth_key, p.enc_key, p.onion_key))
        .collect();
    assert_eq!(
        points,
        [
            "hUjpIBe1zz8p1Sozg/FyYv405DwEq0sJWrafmEfVhlM yr8DdRVbPFiJ5b60nO20hiuYFngC23r0XtYLxK3/YXo \
             mFQYOlsaJNKmsp4dkOzJm+vmrhx0Up+0vXA/LBmSVRA",
            "HOIWbvlXEJiCKmWY0BvMoBgCciIu8ZZ1iwpuPdrW/IM nWgGaQ4YfzehXVTebgK507kFmTOUzqDaOcN9xjx8oko \
             fIsvpGUCJknnsxqvxKncxepvkU8krIsyXJHosbQpqGA",
            "gELQgPjGDojZfOA0cT6Bu7TYyp/iN8ANaf/XtomFHP4 QPMSsOM+92xCwFXxUmvKkF90hqwX005+lfSNDKDfrRw \
             /EQJSSoYoUG3M9VsMzVTV6a+QC459pI0X4/u/6+SHwg",
        ]
    );
}

#[test]
fn passes_over_proof_of_work() {
    let descriptor = open(BACKEND1, &backend1(), TAKEN_AT).unwrap();
    assert_eq!(descriptor.inner.points.len(), 3);
}

/// Both layers of tor's own descriptor, and its outer text, are rendered again byte for byte.
#[test]
fn renders_the_same_bytes_as_tor() {
    let outer = open_outer(BACKEND0, &backend0(), TAKEN_AT).unwrap();
    let rendered = Unsigned::new(&outer.signing_cert, outer.revision, &outer.superencrypted);
    assert!(BACKEND0.starts_with(std::str::from_utf8(&rendered.signed_bytes()[35..]).unwrap()));

    let context = backend0().layers(outer.revision);
    let middle = text_of(Layer::Middle.decrypt(&context, &outer.superencrypted).unwrap()).unwrap();
    let encrypted = middle::decode(&middle).unwrap();
    let ours = ClientLines::made_up(&mut rand::rngs::StdRng::seed_from_u64(1)).encode(&encrypted);
    assert_eq!(ours.len() % 10_000, 0);
    assert_eq!(shape(ours.trim_end_matches('\0')), shape(&middle));

    let inner = text_of(Layer::Inner.decrypt(&context, &encrypted).unwrap()).unwrap();
    assert_eq!(Inner::decode(&inner, MAX_POINTS).unwrap().encode(), inner);
}

/// A text with its random base64 replaced; lengths and line ends are kept.
fn shape(text: &str) -> String {
    let random = |line: &str| line.starts_with("auth-client") || line.starts_with("desc-auth-ephemeral");
    let blank = |line: &str| match line.split_once(' ') {
        Some((keyword, arguments)) if random(line) => {
            format!("{keyword} {}", arguments.replace(|c: char| !c.is_whitespace(), "x"))
        }
        _ => line.to_owned(),
    };
    text.split('\n').map(blank).collect::<Vec<_>>().join("\n")
}

#[test]
fn refuses_another_service_or_period_and_an_expired_certificate() {
    assert_eq!(open(BACKEND0, &backend1(), TAKEN_AT), Err(CertError::OtherKey.into()));
    let late = UnixTime(1_795_532_400);
    assert_eq!(open(BACKEND0, &backend0(), late), Err(CertError::Expired.into()));
    // The points' certificates expire an hour before that of the descriptor-signing key.
    assert_eq!(open(BACKEND0, &backend0(), late.minus(1)), Err(CertError::Expired.into()));
}

#[test]
fn notices_any_alteration() {
    let end = BACKEND0.len() - 1;
    for at in (0..end).step_by(97).chain(end - 100..end) {
        let mut altered = BACKEND0.as_bytes().to_vec();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert!(open(&altered, &backend0(), TAKEN_AT).is_err(), "byte {at}");
    }
    for length in (0..BACKEND0.len() - 1).step_by(101) {
        assert!(open(BACKEND0.get(..length).unwrap(), &backend0(), TAKEN_AT).is_err(), "{length} bytes");
    }
    let longer = format!("{BACKEND0}\nmore\n");
    assert_eq!(open(&longer, &backend0(), TAKEN_AT), Err(DocumentError::AfterSignature));
    assert_eq!(open(&"x".repeat(60_000), &backend0(), TAKEN_AT), Err(DocumentError::Length(60_000)));
}

#[test]
fn counts_the_points() {
    let descriptor = open(BACKEND0, &backend0(), TAKEN_AT).unwrap();
    let mut inner = descriptor.inner;
    let point = inner.points[0].clone();
    inner.points = vec![point.clone(); 20];
    assert_eq!(Inner::decode(&inner.encode(), MAX_POINTS).unwrap().points.len(), 20);
    inner.points.push(point);
    assert_eq!(Inner::decode(&inner.encode(), MAX_POINTS), Err(DocumentError::TooManyPoints { most: 20 }));
}
