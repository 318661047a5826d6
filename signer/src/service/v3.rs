//! A version 3 service that is held: its secret, its rules, and what it has signed in each period.

use std::collections::VecDeque;

use ed25519_dalek::Verifier;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::{CertType, Certificate, Claim, ExpiryHour};
use onionbalance_proto::v3::document::inner::{Inner, IntroductionPoint};
use onionbalance_proto::v3::document::middle::ClientLines;
use onionbalance_proto::v3::document::{Descriptor, MAX_LENGTH, PeriodKeys};
use onionbalance_proto::v3::{OnionAddress, TimePeriod};
use onionbalance_proto::wire::{Held, Refusal, SignedFrontend};
use rand_core::CryptoRngCore;

use crate::judge_v3::{Approved, ApprovedPoint};
use crate::revision::RevisionCounter;
use crate::secret::{BlindedSecret, DescriptorSigningSecret, IdentitySecret};

/// Tor's lifetime of all certificates in a descriptor (`HS_DESC_CERT_LIFETIME`).
const CERT_LIFETIME: u64 = 54 * 3600;
/// Two descriptors at a time, a rollover, and a clock that is set: more periods are not signed for at one time.
const PERIODS_KEPT: usize = 8;
/// The most secrets of one service: the identity's, and two of each period that is kept and of the one that comes or whose
/// signing key is replaced.
pub const SECRETS: usize = 1 + 2 * (PERIODS_KEPT + 1);

/// A service whose key is held.
pub struct Service {
    key_name: String,
    secret: IdentitySecret,
    backends: Vec<OnionAddress>,
    /// The one used last stands last.
    periods: VecDeque<Period>,
}

/// What belongs to one period of a service.
struct Period {
    time: TimePeriod,
    keys: PeriodKeys,
    blinded: BlindedSecret,
    /// One for the whole period, as tor has it, until the allowed backends change: no certificate of a removed backend's
    /// point stays usable beyond the descriptors that are out.
    signing: DescriptorSigningSecret,
    revision: RevisionCounter,
}

impl Service {
    /// A service that has signed nothing yet. `key_name` is its `key` in the configuration.
    pub fn new(key_name: String, secret: IdentitySecret, backends: Vec<OnionAddress>) -> Self {
        Self { key_name, secret, backends, periods: VecDeque::with_capacity(PERIODS_KEPT) }
    }

    /// Its address.
    pub fn address(&self) -> OnionAddress {
        self.secret.address()
    }

    /// Its `key` in the configuration.
    pub fn key(&self) -> &str {
        &self.key_name
    }

    /// Allows these backends and no others. If they are not the same as before, descriptors are signed with new keys.
    pub fn allow(&mut self, backends: Vec<OnionAddress>, rng: &mut impl CryptoRngCore) {
        if self.backends != backends {
            self.backends = backends;
            for period in &mut self.periods {
                period.signing = DescriptorSigningSecret::generate(rng);
            }
        }
    }

    /// The backends whose points may be signed for.
    pub fn backends(&self) -> &[OnionAddress] {
        &self.backends
    }

    /// What the balancer may know of it.
    pub fn public(&self) -> Held<OnionAddress> {
        Held { key: self.key_name.clone(), address: self.address(), backends: self.backends.clone() }
    }

    /// Renders and signs what was approved.
    pub fn sign(
        &mut self,
        approved: &Approved,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let known = self.periods.iter().position(|known| known.time == approved.period);
        let known = known.and_then(|index| self.periods.remove(index));
        let mut period = known.unwrap_or_else(|| Period::new(&self.secret, approved.period, rng));
        let signed = period.sign_all(approved, now, rng);
        if self.periods.len() == PERIODS_KEPT {
            self.periods.pop_front();
        }
        self.periods.push_back(period);
        signed
    }
}

impl Period {
    fn new(secret: &IdentitySecret, period: TimePeriod, rng: &mut impl CryptoRngCore) -> Self {
        let blinded = secret.blind(period);
        Self {
            time: period,
            keys: PeriodKeys::derive(&secret.address(), period),
            revision: RevisionCounter::new(&blinded),
            signing: DescriptorSigningSecret::generate(rng),
            blinded,
        }
    }

    fn sign_all(
        &mut self,
        approved: &Approved,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let revision = self.revision.next(approved.run_start, now, approved.revision_seen);
        let signing_cert = self.certify_signing_key(now);
        let points: Vec<_> = approved.points.iter().map(|point| self.certify_point(point, now)).collect();
        let mut texts = Vec::with_capacity(approved.sets.len());
        for set in &approved.sets {
            let points = set.iter().filter_map(|index| points.get(usize::from(*index)).cloned()).collect();
            let inner =
                Inner { flow_control: approved.flow_control, single_onion: approved.single_onion, points };
            let text = self.sign(&Descriptor { signing_cert, revision, inner }, rng);
            if text.len() >= MAX_LENGTH {
                return Err(Refusal::TooLong);
            }
            texts.push(text);
        }
        Ok(SignedFrontend { revision, texts })
    }

    /// The type-08 certificate, which runs out on the first whole hour after its lifetime (tor: `build_desc_signing_key_cert`).
    fn certify_signing_key(&self, now: UnixTime) -> Certificate {
        let claim = Claim {
            kind: CertType::DescriptorSigning,
            expires: ExpiryHour::not_before(now.plus(CERT_LIFETIME)),
            certified: self.signing.public().to_bytes(),
            signed_by: self.blinded.public().to_bytes(),
        };
        Certificate { claim, signature: self.blinded.sign(&claim.signed_bytes()) }
    }

    /// The point with the type-09 and type-0B certificates, which count from the last whole hour
    /// (tor: `setup_desc_intro_point`).
    fn certify_point(&self, point: &ApprovedPoint, now: UnixTime) -> IntroductionPoint {
        let certify = |kind, certified| {
            let claim = Claim {
                kind,
                expires: ExpiryHour::not_after(now.plus(CERT_LIFETIME)),
                certified,
                signed_by: self.signing.public().to_bytes(),
            };
            Certificate { claim, signature: self.signing.sign(&claim.signed_bytes()) }
        };
        IntroductionPoint {
            link_specifiers: point.link_specifiers.clone(),
            onion_key: point.onion_key,
            auth_key: point.auth_key,
            enc_key: point.enc_key,
            auth_cert: certify(CertType::AuthKey, *point.auth_key.as_bytes()),
            enc_cert: certify(CertType::EncKey, point.enc_key.to_ed25519()),
        }
    }

    fn sign(&self, descriptor: &Descriptor, rng: &mut impl CryptoRngCore) -> String {
        let clients = ClientLines::made_up(rng);
        let mut salts = [[0; 16]; 2];
        for salt in &mut salts {
            rng.fill_bytes(salt);
        }
        let unsigned = descriptor.seal(&self.keys, &clients, salts);
        let signed_bytes = unsigned.signed_bytes();
        let signature = self.signing.sign(&signed_bytes);
        let certificate = &descriptor.signing_cert;
        let sound = self.signing.public().verify(&signed_bytes, &signature).is_ok()
            && self
                .blinded
                .public()
                .verify(&certificate.claim.signed_bytes(), &certificate.signature)
                .is_ok();
        if !sound {
            // A signature that went wrong by a hardware fault can give the key away: it must not leave, and nothing
            // that this process computes can be trusted any more.
            std::process::abort();
        }
        unsigned.finish(&signature)
    }
}

#[cfg(test)]
mod tests;
