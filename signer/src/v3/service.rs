//! A version 3 service that is held: its authority, its rules, and what it has signed in each period.

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

use crate::log::Priority;
use crate::v3::authority::{Authority, CERT_LIFETIME, PeriodSecrets};
use crate::v3::delegation::Delegation;
use crate::v3::judge::{Approved, ApprovedPoint};

/// Two descriptors at a time, a rollover, and a clock that is set: more periods are not signed for at one time.
const PERIODS_KEPT: usize = 8;
/// The most secrets of one service: the identity's, and two of each period that is kept and of the one that comes or whose
/// signing key is replaced.
pub const SECRETS: usize = 1 + 2 * (PERIODS_KEPT + 1);

/// A service whose key is held.
pub struct Service {
    key_name: String,
    authority: Authority,
    backends: Vec<OnionAddress>,
    /// The one used last stands last.
    periods: VecDeque<Period>,
    /// The period in which the end of the delegation was told of last.
    told: Option<u64>,
}

/// What belongs to one period of a service.
struct Period {
    time: TimePeriod,
    keys: PeriodKeys,
    /// The signing key is one for the whole period, as tor has it, until the allowed backends change: no certificate of a
    /// removed backend's point stays usable beyond the descriptors that are out. A delegation has no other, though.
    secrets: PeriodSecrets,
}

impl Service {
    /// A service that has signed nothing yet. `key_name` is its `key` in the configuration.
    pub fn new(key_name: String, authority: impl Into<Authority>, backends: Vec<OnionAddress>) -> Self {
        Self { key_name, authority: authority.into(), backends, periods: VecDeque::new(), told: None }
    }

    /// Its address.
    pub fn address(&self) -> OnionAddress {
        self.authority.address()
    }

    /// Its `key` in the configuration.
    pub fn key(&self) -> &str {
        &self.key_name
    }

    /// The delegation that it serves by, if it does not hold the service's identity secret.
    pub fn delegation(&self) -> Option<&Delegation> {
        match &self.authority {
            Authority::Identity(_) => None,
            Authority::Delegation(delegation) => Some(delegation),
        }
    }

    /// What there is to log at `now` of the delegation's end; once in each period.
    pub fn notice(&mut self, now: UnixTime) -> Option<(Priority, String)> {
        let present = self.delegation()?.present(now);
        let told = self.told.replace(present);
        if told == Some(present) { None } else { self.delegation().map(|delegation| delegation.notice(now)) }
    }

    /// Allows these backends and no others. If they are not the same as before, descriptors are signed with new keys, where those
    /// can be certified. False if they are the same.
    pub fn allow(&mut self, backends: Vec<OnionAddress>, rng: &mut impl CryptoRngCore) -> bool {
        if self.backends == backends {
            return false;
        }
        self.backends = backends;
        for period in &mut self.periods {
            if let Some(signing) = period.secrets.certifier.another_signing_key(rng) {
                period.secrets.signing = signing;
            }
        }
        true
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
        let mut period = match known {
            Some(period) => period,
            None => Period::new(&self.authority, approved.period, rng)?,
        };
        let signed = period.sign_all(approved, now, rng);
        if self.periods.len() == PERIODS_KEPT {
            self.periods.pop_front();
        }
        self.periods.push_back(period);
        signed
    }
}

impl Period {
    fn new(authority: &Authority, period: TimePeriod, rng: &mut impl CryptoRngCore) -> Result<Self, Refusal> {
        let keys = PeriodKeys::derive(&authority.address(), period);
        Ok(Self { time: period, keys, secrets: authority.period(period, rng)? })
    }

    fn sign_all(
        &mut self,
        approved: &Approved,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let revision = self.secrets.revision.next(approved.run_start, now, approved.revision_seen);
        let signing_cert = self.secrets.certifier.certify(self.secrets.signing.public(), now)?;
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

    /// The point with the type-09 and type-0B certificates, which count from the last whole hour
    /// (tor: `setup_desc_intro_point`).
    fn certify_point(&self, point: &ApprovedPoint, now: UnixTime) -> IntroductionPoint {
        let certify = |kind, certified| {
            let claim = Claim {
                kind,
                expires: ExpiryHour::not_after(now.plus(CERT_LIFETIME)),
                certified,
                signed_by: self.secrets.signing.public().to_bytes(),
            };
            Certificate { claim, signature: self.secrets.signing.sign(&claim.signed_bytes()) }
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
        let signature = self.secrets.signing.sign(&signed_bytes);
        let certificate = &descriptor.signing_cert;
        let sound = self.secrets.signing.public().verify(&signed_bytes, &signature).is_ok()
            && self
                .secrets
                .certifier
                .signer()
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
