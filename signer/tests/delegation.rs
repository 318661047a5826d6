//! Delegations as `onionbalance-key` issues them, read by the signer.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

use curve25519_dalek::Scalar;
use onionbalance_key::issue::issue;
use onionbalance_key_file::Key;
use onionbalance_key_file::delegation::{Span, offset};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::blinding::blinding_factor;
use onionbalance_proto::v3::cert::{CERT_LIFETIME_SECS, ExpiryHour};
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use onionbalance_proto::wire::Refusal;
use onionbalance_signer::keys::{self, Secret};
use onionbalance_signer::log::Priority;
use onionbalance_signer::v3::authority::{Authority, PeriodSecrets};
use onionbalance_signer::v3::delegation::Delegation;
use onionbalance_signer::v3::revision::{RevisionKey, Revisions};
use onionbalance_signer::v3::secret::IdentitySecret;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// A period of the public network of one day: it begins at 2026-11-22 12:00:00.
const PERIOD: u64 = 20_779;
const SEED: [u8; 32] = [7; 32];
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn period(number: u64, minutes: u16) -> TimePeriod {
    TimePeriod { length: PeriodLength::try_from(minutes).unwrap(), number }
}

fn identity() -> IdentitySecret {
    IdentitySecret::from_seed(&SEED).unwrap()
}

fn span(minutes: u16, count: u16) -> Span {
    Span { first: period(PERIOD, minutes), count }
}

fn issued(minutes: u16, periods: u16) -> Zeroizing<Vec<u8>> {
    issue(&identity(), span(minutes, periods), &mut rng(1))
}

fn read(bytes: &[u8]) -> Result<Delegation, String> {
    match keys::secret(&Key::Delegation(Zeroizing::new(bytes.to_vec()))) {
        Ok(Secret::V3(Authority::Delegation(delegation))) => Ok(delegation),
        Ok(_) => Err("another secret".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn held(bytes: &[u8]) -> Delegation {
    read(bytes).unwrap()
}

fn delegation(minutes: u16, periods: u16) -> Delegation {
    held(&issued(minutes, periods))
}

fn secrets(authority: &Authority, period: TimePeriod) -> Result<PeriodSecrets, Refusal> {
    authority.period(period, &mut rng(2))
}

fn certificate(authority: &Authority, period: TimePeriod, now: UnixTime) -> Result<ExpiryHour, Refusal> {
    let secrets = secrets(authority, period)?;
    let certificate = authority.certify(secrets.signing.public(), period, now)?;
    let blinded = BlindedKey::derive(&authority.address(), period);
    certificate.verify(secrets.signing.public().as_bytes(), blinded.verifying_key(), now).unwrap();
    Ok(certificate.claim.expires)
}

#[test]
fn certificates_run_out_when_the_identitys_would() {
    for minutes in [1440, 60, 6, 14_400] {
        let authorities = [Authority::Identity(identity()), Authority::Delegation(delegation(minutes, 2))];
        let half = u64::from(minutes) * 30;
        for number in [PERIOD, PERIOD + 1] {
            let period = period(number, minutes);
            let begins = period.start(offset(period.length));
            let step = (half / 90).max(7);
            for passed in (0..=4 * half + 3 * HOUR).step_by(usize::try_from(step).unwrap()) {
                let now = begins.minus(half).plus(passed);
                let [by_identity, delegated] =
                    authorities.each_ref().map(|authority| certificate(authority, period, now));
                assert_eq!(by_identity, delegated, "{now} in period {number} of {minutes} minutes");
                assert_eq!(delegated, Ok(ExpiryHour::not_before(now.plus(CERT_LIFETIME_SECS))));
            }
        }
    }
}

#[test]
fn earlier_and_later_the_next_best_certificate_serves_as_long_as_it_is_good() {
    let authority = Authority::Delegation(delegation(1440, 1));
    let day = period(PERIOD, 1440);
    let begins = day.start(720);
    let at = |now| certificate(&authority, day, now);
    assert_eq!(at(begins.minus(20 * HOUR)), Ok(ExpiryHour::not_before(begins.plus(42 * HOUR))));
    let last = begins.plus((24 + 12 + 3 + 54) * HOUR);
    assert_eq!(at(begins.plus(50 * HOUR)), Ok(ExpiryHour::not_before(last)));
    assert_eq!(at(last.minus(1)), Ok(ExpiryHour::not_before(last)));
    assert_eq!(at(last), Err(Refusal::NotDelegated));
}

#[test]
fn nothing_is_there_for_other_periods() {
    let authority = Authority::Delegation(delegation(1440, 3));
    for (number, minutes, there) in [
        (PERIOD - 1, 1440, false),
        (PERIOD, 1440, true),
        (PERIOD + 2, 1440, true),
        (PERIOD + 3, 1440, false),
        (0, 1440, false),
        (u64::MAX, 1440, false),
        (PERIOD, 1441, false),
        (PERIOD, 6, false),
    ] {
        let found = secrets(&authority, period(number, minutes));
        assert_eq!(found.err(), (!there).then_some(Refusal::NotDelegated), "{number}/{minutes}");
    }
}

/// An online signer that takes over from the identity secret, or hands over to it, goes on with the count.
#[test]
fn revisions_are_those_of_the_identity() {
    let now = period(PERIOD, 1440).start(720).plus(5 * HOUR);
    for index in 0..2 {
        let revisions =
            [Authority::Identity(identity()), Authority::Delegation(delegation(1440, 2))].map(|authority| {
                let period = period(PERIOD + index, 1440);
                let secrets = secrets(&authority, period).ok().unwrap();
                Revisions::default().next(&secrets.revision, period, now, 0)
            });
        assert_eq!(revisions[0], revisions[1]);
    }
}

#[test]
fn signing_keys_are_one_periods_each_and_new_in_each_delegation() {
    let again = issue(&identity(), span(1440, 2), &mut rng(9));
    let keys = [(issued(1440, 2), PERIOD), (issued(1440, 2), PERIOD + 1), (again, PERIOD + 1)];
    let keys = keys.map(|(bytes, number)| {
        let authority = Authority::Delegation(held(&bytes));
        *secrets(&authority, period(number, 1440)).ok().unwrap().signing.public().as_bytes()
    });
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
}

#[test]
fn what_is_issued_is_read() {
    for (minutes, periods) in [(1440, 3), (6, 40), (14_400, 1), (5, 7)] {
        let bytes = issued(minutes, periods);
        assert_eq!(bytes.len(), bytes.capacity(), "no copy was left behind");
        let read = held(&bytes);
        assert_eq!(read.span, span(minutes, periods));
        assert_eq!(read.span.last(), period(PERIOD + u64::from(periods) - 1, minutes));
        assert_eq!(read.address, identity().address());
    }
}

#[test]
fn what_the_service_did_not_sign_is_refused_by_name() {
    let whole = issued(6, 2);
    let error = |bytes: &[u8]| read(bytes).err();
    assert_eq!(error(&whole), None);
    let altered = |at: usize| {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        error(&bytes).unwrap_or_default()
    };
    let wrong_certificate = format!("has a certificate for period {PERIOD} that");
    // The length, the number, the seed, the first hour, and the ends of the two signatures.
    for at in [33, 41, 44, 75, 111, 114, 177, 178, 241] {
        assert!(altered(at).contains("has a certificate for period"), "byte {at}: {}", altered(at));
    }
    assert!(altered(44).starts_with(&wrong_certificate), "{}", altered(44));
    assert!(
        altered(0).starts_with("has an identity key that is not usable")
            || altered(0).starts_with(&wrong_certificate)
    );
    assert!(altered(32).starts_with("is for a time period of") || altered(32).contains("certificate"));
    let form = Some("is not in the form that `onionbalance-key delegate` writes".to_owned());
    for length in [0, 31, 43, 44, 60, 113, 140, whole.len() - 1] {
        assert_eq!(error(&whole[..length]), form, "{length}");
    }
    assert_eq!(error(&[&whole[..], &[0]].concat()), form);
    let mut none = whole[..44].to_vec();
    none[42..].fill(0);
    assert_eq!(error(&none), form);
    none[34..44].fill(0xFF);
    assert!(error(&[&none[..], &whole[44..]].concat()).is_some());
}

/// a' = h a, and h can be computed from the address: so no blinded secret may be in a delegation.
#[test]
fn one_blinded_secret_gives_the_identity_away() {
    let identity = identity();
    let period = period(PERIOD, 1440);
    let blinded = identity.blind(period);
    let scalar = blinded.with_expanded(|bytes| Scalar::from_bytes_mod_order(*bytes.first_chunk().unwrap()));
    let recovered = scalar * blinding_factor(&identity.address(), period).invert();
    assert_eq!(recovered, ed25519_dalek::SigningKey::from_bytes(&SEED).to_scalar());
}

#[test]
fn neither_the_identity_nor_a_blinded_secret_is_in_it() {
    let identity = identity();
    let bytes = issued(1440, 3);
    let contains = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    let mut secrets = vec![SEED.to_vec()];
    // Both as in tor's key file, whose scalar is not reduced, and reduced for computations.
    let expanded = Sha512::digest(SEED);
    secrets.extend(expanded.chunks(32).map(<[u8]>::to_vec));
    let clamped = curve25519_dalek::scalar::clamp_integer(*expanded.first_chunk().unwrap());
    secrets.push(clamped.to_vec());
    secrets.push(Scalar::from_bytes_mod_order(clamped).to_bytes().to_vec());
    for number in PERIOD - 1..=PERIOD + 3 {
        identity
            .blind(period(number, 1440))
            .with_expanded(|bytes| secrets.extend(bytes.chunks(32).map(<[u8]>::to_vec)));
    }
    assert_eq!(secrets.len(), 15);
    for secret in &secrets {
        // No quarter of it either.
        assert!(!secret.chunks(8).any(contains));
    }
    // The search finds a secret that is there.
    let key = RevisionKey::new(&identity.blind(period(PERIOD + 1, 1440)));
    assert!(contains(key.bytes()) && contains(identity.address().identity()));
}

#[test]
fn its_end_is_told_of_in_good_time() {
    for (minutes, periods, warned) in
        [(1440, 365, 7 * DAY), (1440, 8, 2 * DAY), (1440, 2, DAY), (6, 10, 15 * 60), (6, 1, 6 * 60)]
    {
        let delegation = delegation(minutes, periods);
        let (begins, ends) = (delegation.span.begins(), delegation.span.ends());
        assert_eq!(ends.since(begins), u64::from(periods) * u64::from(minutes) * 60);
        let priority = |now: UnixTime| delegation.notice(now).0;
        if ends.minus(warned + 1) > begins {
            assert_eq!(priority(ends.minus(warned + 1)), Priority::Info, "{periods} of {minutes} minutes");
        }
        assert_eq!(priority(ends.minus(warned)), Priority::Warning, "{periods} of {minutes} minutes");
    }
    let delegation = delegation(1440, 30);
    let text = |now| delegation.notice(now).1;
    assert_eq!(
        text(delegation.span.begins()),
        format!(
            "the delegation for {} ends at 2026-12-22 12:00:00 UTC, 29 periods after this one",
            delegation.address
        )
    );
    assert!(text(delegation.span.ends().minus(1)).contains("0 periods after this one: make another where"));
    assert!(text(delegation.span.ends()).contains("ended at 2026-12-22 12:00:00 UTC: make another where"));
}

#[test]
fn no_hour_of_expiry_is_beyond_the_last_there_is() {
    let mut bytes = issued(1440, 1);
    let hour = 32 + 2 + 8 + 2 + 64;
    for first in [u32::MAX, u32::MAX - 1] {
        bytes[hour..hour + 4].copy_from_slice(&first.to_be_bytes());
        let error = read(&bytes).err().unwrap();
        assert!(error.starts_with("has a certificate for period 20779"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_behind_a_genuine_head_stop_the_process(mut bytes: Vec<u8>, periods: u16) {
        let mut whole = issued(6, 1)[..42].to_vec();
        whole.extend(periods.to_be_bytes());
        whole.append(&mut bytes);
        prop_assert!(read(&whole).is_err());
    }
}
