//! The innermost layer of a v3 descriptor. An input is its plaintext; the target encrypts and signs around
//! it.
//!
//! A layer that opens holds the backend's own keys. A layer that can be read is the same after being written
//! and read, and, certified by the backend, in a whole descriptor.

#![no_main]

use ed25519_dalek::Signer;
use libfuzzer_sys::fuzz_target;
use onionbalance_fuzz::v3::{KEYS, PUBLISHED, around_inner};
use onionbalance_fuzz::{NOW, rng};
use onionbalance_proto::v3::cert::CertType;
use onionbalance_proto::v3::document::inner::{Inner, IntroductionPoint};
use onionbalance_proto::v3::document::middle::ClientLines;
use onionbalance_proto::v3::document::{self, Descriptor, MAX_LENGTH, MAX_POINTS};

fuzz_target!(|input: &[u8]| {
    if let Ok(opened) = document::open(&around_inner(input), &KEYS, NOW) {
        let genuine = &PUBLISHED.descriptor.inner.points;
        for point in opened.inner.points {
            assert!(genuine.iter().any(|own| own.auth_key == point.auth_key));
            assert!(genuine.iter().any(|own| own.enc_key == point.enc_key));
        }
    }
    let Some(inner) = str::from_utf8(input).ok().and_then(|text| Inner::decode(text, MAX_POINTS).ok()) else {
        return;
    };
    assert_eq!(Inner::decode(&inner.encode(), MAX_POINTS).as_ref(), Ok(&inner));

    let points = inner.points.into_iter().map(certified).collect();
    let descriptor = Descriptor { inner: Inner { points, ..inner }, ..PUBLISHED.descriptor.clone() };
    let unsigned = descriptor.seal(&KEYS, &ClientLines::made_up(&mut rng(1)), [[1; 16], [2; 16]]);
    let signature = PUBLISHED.signing.sign(&unsigned.signed_bytes());
    let text = unsigned.finish(&signature);
    if text.len() < MAX_LENGTH {
        assert_eq!(document::open(&text, &KEYS, NOW).as_ref(), Ok(&descriptor));
    }
});

/// The point with valid certificates of the backend.
fn certified(point: IntroductionPoint) -> IntroductionPoint {
    let expires = PUBLISHED.descriptor.signing_cert.claim.expires;
    IntroductionPoint {
        auth_cert: PUBLISHED.certify(CertType::AuthKey, *point.auth_key.as_bytes(), expires),
        enc_cert: PUBLISHED.certify(CertType::EncKey, point.enc_key.to_ed25519(), expires),
        ..point
    }
}
