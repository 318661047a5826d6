//! The identity secret cannot be computed from published descriptors.

use std::path::Path;

use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signer, VerifyingKey};
use onionbalance_proto::v3::blinding::blinding_factor;
use rand::Rng;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::*;
use crate::keys::{self, Secret};
use crate::v3::authority::Authority;
use onionbalance_key_file::passphrase::Passphrases;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v3");
const PASSPHRASE: &str = "onion balance v3";
/// The constant from which gobalance derived nonces if the key was in tor's format.
const CONSTANT: &[u8] = b"Derive temporary signing key hash input";

fn constant_prefix() -> [u8; 32] {
    *Sha512::digest(CONSTANT).first_chunk().unwrap()
}

/// The identity scalar, on the assumption that the nonces of the type-08 certificate come from that constant:
/// S = r + H(R|A'|M) a', r = H(prefix|M), a' = factor a.
fn recover(address: &OnionAddress, period: TimePeriod, certificate: &Certificate) -> Scalar {
    let hash = |parts: [&[u8]; 3]| {
        let digest = parts.iter().fold(Sha512::new(), Digest::chain_update);
        Scalar::from_bytes_mod_order_wide(&digest.finalize().into())
    };
    let message = certificate.claim.signed_bytes();
    let (r_bytes, s_bytes) = (certificate.signature.r_bytes(), certificate.signature.s_bytes());
    let r = hash([&constant_prefix(), &message, &[]]);
    let k = hash([r_bytes, &certificate.claim.signed_by, &message]);
    let s = Scalar::from_bytes_mod_order(*s_bytes);
    (s - r) * k.invert() * blinding_factor(address, period).invert()
}

/// True if a published descriptor reveals its service's identity secret.
fn gives_away(address: &OnionAddress, period: TimePeriod, text: &str) -> bool {
    let certificate = document::open(text, &PeriodKeys::derive(address, period), NOW).unwrap().signing_cert;
    let scalar = recover(address, period, &certificate);
    EdwardsPoint::mul_base(&scalar).compress().as_bytes() == address.identity()
}

/// A descriptor as gobalance would have published it.
fn careless(period: TimePeriod) -> (OnionAddress, String) {
    let (identity, signing) = (SigningKey::from_bytes(&[8; 32]), SigningKey::from_bytes(&rng(8).r#gen()));
    let address = OnionAddress::from_identity(identity.verifying_key().to_bytes()).unwrap();
    let scalar = blinding_factor(&address, period) * identity.to_scalar();
    let blinded = ExpandedSecretKey { scalar, hash_prefix: constant_prefix() };
    let public = VerifyingKey::from(&blinded);
    let claim = Claim {
        kind: CertType::DescriptorSigning,
        expires: ExpiryHour(HOUR + 54),
        certified: signing.verifying_key().to_bytes(),
        signed_by: public.to_bytes(),
    };
    let signature = raw_sign::<Sha512>(&blinded, &claim.signed_bytes(), &public);
    let inner = Inner {
        flow_control: None,
        single_onion: false,
        points: vec![fixture::point(&signing, NOW, &mut rng(9))],
    };
    let descriptor = Descriptor { signing_cert: Certificate { claim, signature }, revision: 7, inner };
    let keys = PeriodKeys::derive(&address, period);
    let unsigned = descriptor.seal(&keys, &ClientLines::made_up(&mut rng(10)), [[1; 16], [2; 16]]);
    let signature = signing.sign(&unsigned.signed_bytes());
    (address, unsigned.finish(&signature))
}

/// The key in a file of the tests' data.
fn authority(name: &str) -> Authority {
    let file = std::fs::read(Path::new(TESTDATA).join(name)).unwrap();
    let text = Zeroizing::new(PASSPHRASE.as_bytes().to_vec());
    let passphrases = Passphrases::File { path: "pass".into(), text };
    match keys::secret(&passphrases.open(&file, Path::new(name)).unwrap()) {
        Ok(Secret::V3(authority)) => authority,
        _ => panic!("{name}"),
    }
}

/// The forms of keys, mixed as they may be in one signer.
const FORMS: [&str; 7] = [
    "front.pem",
    "front.hs_ed25519_secret_key",
    "front-scrypt.pem",
    "front-sealed.pem",
    "front-delegation.pem",
    "backend0.hs_ed25519_secret_key",
    "front.pem",
];

#[test]
fn the_identity_cannot_be_computed_from_what_is_published() {
    let (address, text) = careless(period(20_778));
    assert!(gives_away(&address, period(20_778), &text), "the computation finds what is given away");
    let mut services = FORMS.map(|name| Service::new(authority(name), Vec::new()));
    for number in [20_778, 20_779, 20_778] {
        for (index, service) in services.iter_mut().enumerate() {
            let approved = Approved { period: period(number), ..approved(3) };
            let signed = service.render(&approved, NOW, &mut rng(7)).unwrap();
            assert!(!gives_away(&service.address(), approved.period, &signed.texts[0]), "number {index}");
        }
    }
}
