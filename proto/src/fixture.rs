//! Made-up version-3 backends, for tests and benchmarks. Each signs descriptors as a real one does, or with
//! the lie that the caller asks for.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "only tests and benchmarks build this")]

pub mod v2;

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand_core::{CryptoRngCore, RngCore};
use sha2::Sha512;

use crate::time::UnixTime;
use crate::v3::blinding::blinding_factor;
use crate::v3::cert::{CERT_LIFETIME_SECS, CertType, Certificate, Claim, ExpiryHour};
use crate::v3::document::inner::{Inner, IntroductionPoint};
use crate::v3::document::middle::ClientLines;
use crate::v3::document::{Descriptor, PeriodKeys};
use crate::v3::keys::{AuthKey, EncKey, OnionKey};
use crate::v3::{LinkSpecifiers, OnionAddress, TimePeriod};
use crate::wire::{BackendProof, FrontendRequest, ProvenPoint};

/// A version-3 onion service that acts as a backend.
pub struct Backend {
    identity: SigningKey,
}

/// A backend's publication of one period. A caller can alter the descriptor before it becomes a text; the
/// backend then signs the altered one.
pub struct Published {
    /// The backend's address.
    pub address: OnionAddress,
    /// The period it is published in.
    pub period: TimePeriod,
    /// The descriptor in the clear.
    pub descriptor: Descriptor,
    /// The descriptor-signing key.
    pub signing: SigningKey,
    keys: PeriodKeys,
}

impl Backend {
    /// The backend with the identity key that is derived from this number.
    pub fn new(number: u64) -> Self {
        let mut seed = [0xB0; 32];
        seed.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        Self { identity: SigningKey::from_bytes(&seed) }
    }

    /// The address of its identity key.
    pub fn address(&self) -> OnionAddress {
        OnionAddress::from_identity(self.identity.verifying_key().to_bytes()).expect("a key of our own")
    }

    /// A descriptor as the backend would make it at `now`, with this number of introduction points.
    pub fn publish(
        &self,
        period: TimePeriod,
        now: UnixTime,
        points: usize,
        rng: &mut impl CryptoRngCore,
    ) -> Published {
        let keys = PeriodKeys::derive(&self.address(), period);
        let signing = SigningKey::generate(rng);
        let expires = ExpiryHour::not_before(now.plus(CERT_LIFETIME_SECS));
        let claim = Claim::of_signing_key(&signing.verifying_key(), keys.blinded.verifying_key(), expires);
        let signing_cert = self.certify_blinded(claim, period);
        let points = (0..points).map(|_| point(&signing, now, rng)).collect();
        let inner = Inner { flow_control: "1-2 31".parse().ok(), single_onion: false, points };
        let descriptor = Descriptor { signing_cert, revision: 1, inner };
        Published { address: self.address(), period, descriptor, signing, keys }
    }

    /// A certificate signed by the backend's blinded key.
    pub fn certify_blinded(&self, claim: Claim, period: TimePeriod) -> Certificate {
        let scalar = blinding_factor(&self.address(), period) * self.identity.to_scalar();
        let blinded = ExpandedSecretKey { scalar, hash_prefix: self.identity.to_bytes() };
        let signature = raw_sign::<Sha512>(&blinded, &claim.signed_bytes(), &VerifyingKey::from(&blinded));
        Certificate { claim, signature }
    }
}

impl Published {
    /// The text that HSDirs would hold.
    pub fn text(&self, rng: &mut impl CryptoRngCore) -> String {
        let unsigned = self.descriptor.seal(&self.keys, &ClientLines::made_up(rng), [[1; 16], [2; 16]]);
        let signature = self.signing.sign(&unsigned.signed_bytes());
        unsigned.finish(&signature)
    }

    /// The certificate that proves the descriptor-signing key to be the backend's.
    pub fn proof(&self) -> BackendProof {
        BackendProof::new(&self.address, self.period.number, &self.descriptor.signing_cert)
    }

    /// A certificate of the same key with the same expiry as `other`, signed by this service's
    /// descriptor-signing key.
    pub fn certify_like(&self, other: &Certificate) -> Certificate {
        self.certify(other.claim.kind, other.claim.certified, other.claim.expires)
    }

    /// A certificate signed by the descriptor-signing key.
    pub fn certify(&self, kind: CertType, certified: [u8; 32], expires: ExpiryHour) -> Certificate {
        certify(&self.signing, kind, certified, expires)
    }
}

/// An honest balancer's request: one descriptor with all points of these backends, and the `flow-control`
/// line of the first.
pub fn request(frontend: &OnionAddress, period: TimePeriod, backends: &[Published]) -> FrontendRequest {
    let index = |index: usize| u8::try_from(index).expect("at most 160 points");
    let points: Vec<ProvenPoint> = backends
        .iter()
        .enumerate()
        .flat_map(|(backend, published)| {
            let points = published.descriptor.inner.points.iter();
            points.map(move |point| ProvenPoint::new(index(backend), point))
        })
        .collect();
    FrontendRequest {
        service: *frontend.identity(),
        period_length: period.length.into(),
        period_number: period.number,
        backends: backends.iter().map(Published::proof).collect(),
        sets: vec![(0..points.len()).map(index).collect()],
        points,
        flow_control: backends.first().and_then(|published| published.descriptor.inner.flow_control),
        single_onion: false,
        revision_seen: 0,
    }
}

/// An introduction point at a made-up relay, certified by the key.
pub fn point(signing: &SigningKey, now: UnixTime, rng: &mut impl CryptoRngCore) -> IntroductionPoint {
    let auth_key = SigningKey::generate(rng).verifying_key().to_bytes();
    let enc_key = EncKey::try_from(x25519(rng)).expect("a key of our own");
    let expires = ExpiryHour::not_after(now.plus(CERT_LIFETIME_SECS));
    IntroductionPoint {
        link_specifiers: link_specifiers(rng),
        onion_key: OnionKey::try_from(x25519(rng)).expect("a key of our own"),
        auth_key: AuthKey::try_from(auth_key).expect("a key of our own"),
        enc_key,
        auth_cert: certify(signing, CertType::AuthKey, auth_key, expires),
        enc_cert: certify(signing, CertType::EncKey, enc_key.to_ed25519(), expires),
    }
}

fn certify(signing: &SigningKey, kind: CertType, certified: [u8; 32], expires: ExpiryHour) -> Certificate {
    let claim = Claim { kind, expires, certified, signed_by: signing.verifying_key().to_bytes() };
    Certificate { claim, signature: signing.sign(&claim.signed_bytes()) }
}

fn x25519(rng: &mut impl CryptoRngCore) -> [u8; 32] {
    x25519_dalek::PublicKey::from(&x25519_dalek::EphemeralSecret::random_from_rng(rng)).to_bytes()
}

/// The specifiers that every tor relay has: IPv4 address, RSA identity, ed25519 identity.
fn link_specifiers(rng: &mut impl RngCore) -> LinkSpecifiers {
    let mut bytes = vec![3];
    for (kind, length) in [(0, 6), (2, 20), (3, 32)] {
        let mut data = vec![0; length];
        rng.fill_bytes(&mut data);
        bytes.extend([kind, u8::try_from(length).expect("a short one")]);
        bytes.extend(data);
    }
    LinkSpecifiers::try_from(bytes).expect("well-formed")
}
