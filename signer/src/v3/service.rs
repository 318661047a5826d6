//! A version 3 service: its authority, its rules, and the keys and revisions of each period.

use std::collections::VecDeque;

use ed25519_dalek::Signature;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::{CERT_LIFETIME_SECS, CertType, Certificate, Claim, ExpiryHour};
use onionbalance_proto::v3::document::inner::{Inner, IntroductionPoint};
use onionbalance_proto::v3::document::middle::ClientLines;
use onionbalance_proto::v3::document::{Descriptor, MAX_LENGTH, MAX_POINTS, PeriodKeys};
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{FrontendRequest, Refusal, SignedFrontend};
use rand_core::CryptoRngCore;

use super::authority::{Authority, PeriodSecrets};
use super::delegation::Delegation;
use super::judge::{self, Approved, ApprovedPoint, MAX_SETS};
use super::revision::Revisions;
use crate::log::Priority;

/// The periods whose keys are kept: those of two descriptors at a time, and two more during a rollover or
/// while a clock is wrong.
const PERIODS_KEPT: usize = 4;
/// The most secrets of one service: the identity's, a blinded one while it is used, two of each period that
/// is kept, and two of the period that comes next.
pub const SECRETS: usize = 2 + 2 * (PERIODS_KEPT + 1);
/// The most certificates of points' keys that are kept: those of the largest request.
const CERTIFIED_KEPT: usize = 2 * MAX_SETS * MAX_POINTS;
/// The time for which a service is bound to another period length than the public network's since that was
/// last asked for, in seconds.
const LENGTH_BOUND_SECS: u64 = 600;

/// A service whose key is held.
pub struct Service {
    authority: Authority,
    backends: Vec<OnionAddress>,
    /// The periods whose keys are kept; the one used last is the last.
    periods: VecDeque<Period>,
    revisions: Revisions,
    /// The bound period length besides the public network's, and the time at which it was last asked for.
    other_length: Option<(PeriodLength, UnixTime)>,
    /// The number of the period in which the end of the delegation was last logged.
    told: Option<u64>,
}

/// The keys of one period of a service.
struct Period {
    time: TimePeriod,
    keys: PeriodKeys,
    /// The signing key is one for the whole period, as in tor, until the allowed backends change: no
    /// certificate of a removed backend's point stays usable beyond the descriptors that are published. A
    /// delegation has only one, though.
    secrets: PeriodSecrets,
    /// The end of all certificates of points' keys. They count from the last whole hour (tor:
    /// `setup_desc_intro_point`), so that they are the same for an hour.
    expires: ExpiryHour,
    /// The signatures of these certificates. A list, which is searched: a table would take three times the
    /// memory.
    certified: Vec<Certified>,
}

/// The signature of a certificate of this type for this key.
struct Certified {
    kind: CertType,
    key: [u8; 32],
    signature: Signature,
}

impl Service {
    /// A service that has signed nothing yet.
    pub fn new(authority: Authority, backends: Vec<OnionAddress>) -> Self {
        Self {
            authority,
            backends,
            periods: VecDeque::new(),
            revisions: Revisions::default(),
            other_length: None,
            told: None,
        }
    }

    /// The service's onion address.
    pub fn address(&self) -> OnionAddress {
        self.authority.address()
    }

    /// The delegation in place of the service's identity secret; `None` if the secret itself is held.
    pub fn delegation(&self) -> Option<&Delegation> {
        match &self.authority {
            Authority::Identity(_) => None,
            Authority::Delegation(delegation) => Some(delegation),
        }
    }

    /// The line to log at `now` of the delegation's end, once in each period; `None` if there is no news.
    pub fn notice(&mut self, now: UnixTime) -> Option<(Priority, String)> {
        let Authority::Delegation(delegation) = &self.authority else { return None };
        let present = delegation.present(now);
        (self.told.replace(present) != Some(present)).then(|| delegation.notice(now))
    }

    /// Allows these backends and no others. A change has later descriptors signed with new keys, if those can
    /// be certified; revisions go on. False if nothing changes.
    pub fn allow(&mut self, backends: Vec<OnionAddress>) -> bool {
        if self.backends == backends {
            return false;
        }
        self.backends = backends;
        self.periods.clear();
        true
    }

    /// Forgets the signatures of points' certificates.
    pub fn drop_cache(&mut self) {
        for period in &mut self.periods {
            period.certified = Vec::new();
        }
    }

    /// The backends whose points may be signed for.
    pub fn backends(&self) -> &[OnionAddress] {
        &self.backends
    }

    /// Judges a request for this service at `now`, and renders and signs the descriptors that it asks for.
    ///
    /// # Errors
    /// The rule that the request breaks.
    pub fn sign(
        &mut self,
        request: &FrontendRequest,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let approved = judge::judge(request, &self.backends, now)?;
        self.bind_length(approved.period.length, now)?;
        self.render(&approved, now, rng)
    }

    /// Refuses periods of another length than the network's: no client would look for their descriptors, and
    /// each length would need counters of its own. The network's length is the public network's, or the one
    /// that was asked for first and is still being asked for.
    fn bind_length(&mut self, length: PeriodLength, now: UnixTime) -> Result<(), Refusal> {
        if length == PeriodLength::DAY {
            return Ok(());
        }
        if let Some((bound, asked)) = self.other_length {
            let is_bound = asked <= now && now < asked.plus(LENGTH_BOUND_SECS);
            if is_bound && bound != length {
                return Err(Refusal::PeriodLength);
            }
        }
        self.other_length = Some((length, now));
        Ok(())
    }

    /// Renders and signs an approved request.
    ///
    /// # Errors
    /// The authority does not cover the period, or a descriptor is too long.
    pub fn render(
        &mut self,
        approved: &Approved,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let known = self.periods.iter().position(|known| known.time == approved.period);
        let mut period = match known.and_then(|index| self.periods.remove(index)) {
            Some(period) => period,
            None => Period::new(&self.authority, approved.period, rng)?,
        };
        let other_length = self.other_length.map(|(length, _)| length);
        self.revisions.forget(|period| {
            let is_bound = period.length == PeriodLength::DAY || Some(period.length) == other_length;
            is_bound && judge::is_published(period, now)
        });
        let revision =
            self.revisions.next(&period.secrets.revision, period.time, now, approved.revision_seen);
        let signed = period.sign_all(&self.authority, approved, revision, now, rng);
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
        let secrets = authority.period(period, rng)?;
        Ok(Self { time: period, keys, secrets, expires: ExpiryHour(0), certified: Vec::new() })
    }

    fn sign_all(
        &mut self,
        authority: &Authority,
        approved: &Approved,
        revision: u64,
        now: UnixTime,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SignedFrontend, Refusal> {
        let signing_cert = authority.certify(self.secrets.signing.public(), self.time, now)?;
        let expires = ExpiryHour::not_after(now.plus(CERT_LIFETIME_SECS));
        if self.expires != expires || self.certified.len() > CERTIFIED_KEPT {
            self.expires = expires;
            self.certified.clear();
        }
        let points: Vec<_> = approved.points.iter().map(|point| self.certify_point(point)).collect();
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

    /// The point with the type-09 and type-0B certificates.
    fn certify_point(&mut self, point: &ApprovedPoint) -> IntroductionPoint {
        IntroductionPoint {
            link_specifiers: point.link_specifiers.clone(),
            onion_key: point.onion_key,
            auth_key: point.auth_key,
            enc_key: point.enc_key,
            auth_cert: self.certify(CertType::AuthKey, *point.auth_key.as_bytes()),
            enc_cert: self.certify(CertType::EncKey, point.enc_key.to_ed25519()),
        }
    }

    fn certify(&mut self, kind: CertType, key: [u8; 32]) -> Certificate {
        let signing = &self.secrets.signing;
        let claim =
            Claim { kind, expires: self.expires, certified: key, signed_by: signing.public().to_bytes() };
        let known = self.certified.iter().find(|known| known.kind == kind && known.key == key);
        let known = known.map(|known| known.signature);
        let signature = known.unwrap_or_else(|| {
            let signature = signing.sign(&claim.signed_bytes());
            self.certified.push(Certified { kind, key, signature });
            signature
        });
        Certificate { claim, signature }
    }

    fn sign(&self, descriptor: &Descriptor, rng: &mut impl CryptoRngCore) -> String {
        let clients = ClientLines::made_up(rng);
        let mut salts = [[0; 16]; 2];
        for salt in &mut salts {
            rng.fill_bytes(salt);
        }
        let unsigned = descriptor.seal(&self.keys, &clients, salts);
        let signature = self.secrets.signing.sign(&unsigned.signed_bytes());
        unsigned.finish(&signature)
    }
}

#[cfg(test)]
mod tests;
