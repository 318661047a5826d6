//! The contents of a delegation, and keys that cannot delegate.

use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::SigningKey;
use onionbalance_key_file::pem::Pem;
use onionbalance_key_file::{Key, KeyFile};
use onionbalance_proto::v3::blinding::blinding_factor;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::harness::{Directory, frontend, testdata};

/// The bytes in a PEM file.
fn decoded(file: &[u8]) -> Zeroizing<Vec<u8>> {
    Pem::find(file).unwrap().decode().unwrap()
}

const NEW: [&str; 2] = ["--new-passphrase-file", "new"];

#[test]
fn a_delegation_is_for_the_periods_that_were_asked_for() {
    let directory = Directory::new();
    let from = ["--key", "front.pem", "--from", "2026-11-23 01:00:00", "--periods", "3", "-o", "d.key"];
    let address = directory.done(&[&["delegate"], &from[..], &NEW].concat());
    assert_eq!(address, frontend().to_string());
    assert_eq!(
        directory.shown("d.key"),
        [
            &format!("address: {address}"),
            "version: 3",
            "form: sealed",
            "encrypted: yes",
            "delegated periods: 20779 to 20781, of 1440 minutes",
            "begins: 2026-11-22 12:00:00 UTC",
            "ends: 2026-11-25 12:00:00 UTC",
        ]
    );
    directory.is_read("d.key", &address);
}

#[test]
fn neither_the_identity_nor_a_blinded_secret_is_in_the_file() {
    let directory = Directory::new();
    let arguments = ["--key", "front.pem", "--from", "2026-11-23", "--periods", "3", "-o", "d.key"];
    let address: OnionAddress =
        directory.done(&[&["delegate"], &arguments[..], &NEW].concat()).parse().unwrap();
    let Ok(KeyFile::Encrypted(sealed)) = KeyFile::parse(&directory.read("d.key")) else {
        panic!("it is sealed")
    };
    let Ok(Some(Key::Delegation(plaintext))) = sealed.open(b"fresh") else { panic!("it opens") };
    let holds = |secret: &[u8]| plaintext.windows(secret.len()).any(|window| window == secret);

    let identity = SigningKey::from_bytes(decoded(&testdata("v3/front.pem")).last_chunk().unwrap());
    assert_eq!(address, OnionAddress::from_identity(identity.verifying_key().to_bytes()).unwrap());
    let expanded: [u8; 64] = Sha512::digest(identity.to_bytes()).into();
    let mut secrets = vec![identity.to_bytes(), clamp_integer(*expanded.first_chunk().unwrap())];
    secrets.push(*expanded.first_chunk().unwrap());
    secrets.push(*expanded.last_chunk().unwrap());
    secrets.push(identity.to_scalar().to_bytes());
    for number in 20_777..20_784 {
        let period = TimePeriod { number, length: PeriodLength::DAY };
        let blinded: Scalar = blinding_factor(&address, period) * identity.to_scalar();
        secrets.push(blinded.to_bytes());
    }
    assert!(holds(address.identity()), "the search finds what the file holds");
    for secret in &secrets {
        assert!(!secret.chunks(8).any(holds));
    }
}

#[test]
fn only_the_key_of_a_v3_service_delegates() {
    let directory = Directory::new();
    for (key, wanted) in [
        ("b2.key", "a v2 service cannot delegate"),
        ("front-delegation.pem", "a delegation cannot be delegated: give the service's own key"),
    ] {
        let arguments = ["delegate", "--key", key, "--periods", "1", "-o", "x", "--passphrase-file", "old"];
        let error = directory.refused(&[&arguments[..], &NEW].concat());
        assert!(error.contains(wanted), "{error}");
    }
    let arguments = ["delegate", "--key", "front.pem", "--periods", "65535", "-o", "x"];
    let error = directory.refused(&[&arguments[..], &NEW].concat());
    assert!(error.contains("a signer reads at most 6291456: ask for fewer"), "{error}");
}
