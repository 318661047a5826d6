//! A delegation: for some time periods of a service the descriptor-signing keys with their certificates, and the keys of the
//! revision counters. Neither the identity secret is in it nor any blinded one, which would be worth as much.
//!
//! `onionbalance-key` issues delegations.

mod decode;
mod notice;

use ed25519_dalek::{Signature, VerifyingKey};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::ExpiryHour;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};

pub use self::decode::{DelegationError, PERIOD_LENGTH};
use super::authority::{Certifier, PeriodSecrets};
use crate::system::secret_memory::SecretBytes;
use crate::v3::revision::RevisionKey;
use crate::v3::secret::DescriptorSigningSecret;

/// The keys of one service in consecutive time periods.
pub struct Delegation {
    address: OnionAddress,
    first: TimePeriod,
    periods: Vec<DelegatedPeriod>,
}

/// The keys of one period.
struct DelegatedPeriod {
    /// The seed of the descriptor-signing key, then the key of the revision counter.
    secrets: SecretBytes,
    certificates: IssuedCertificates,
}

/// The type-08 certificates of one descriptor-signing key, one for each hour at which they may have to run out.
#[derive(Clone)]
pub struct IssuedCertificates {
    /// The blinded key, which signed them.
    pub(super) signer: VerifyingKey,
    first: ExpiryHour,
    /// Of one that runs out at the first hour, and of those that follow hour by hour. At least one.
    signatures: Vec<Signature>,
}

impl Delegation {
    /// The address of the service.
    pub fn address(&self) -> OnionAddress {
        self.address
    }

    /// The first period and the last.
    pub fn span(&self) -> (TimePeriod, TimePeriod) {
        let more = (self.periods.len() as u64).saturating_sub(1);
        (self.first, TimePeriod { number: self.first.number.saturating_add(more), ..self.first })
    }

    /// When its first period begins.
    pub fn begins(&self) -> UnixTime {
        self.first.start(offset(self.first.length))
    }

    /// When its last period ends: clients find the service no longer then.
    pub fn ends(&self) -> UnixTime {
        let (_, last) = self.span();
        last.next().start(offset(last.length))
    }

    /// What it takes to sign in `period`, if that is one of these.
    pub(super) fn period(&self, period: TimePeriod) -> Option<PeriodSecrets> {
        let index = period.number.checked_sub(self.first.number)?;
        let found = self.periods.get(usize::try_from(index).ok()?)?;
        let (seed, counter) = found.secrets.halves();
        (period.length == self.first.length).then(|| PeriodSecrets {
            signing: DescriptorSigningSecret::from_seed(seed),
            revision: RevisionKey::from_bytes(counter),
            certifier: Certifier::Issued(found.certificates.clone()),
        })
    }
}

impl IssuedCertificates {
    /// The certificate that runs out at this hour; where none does, the one that comes next to it.
    pub(super) fn nearest(&self, expires: ExpiryHour) -> Option<(ExpiryHour, Signature)> {
        let last = u32::try_from(self.signatures.len()).ok()?.checked_sub(1)?;
        let index = expires.0.saturating_sub(self.first.0).min(last);
        let signature = self.signatures.get(usize::try_from(index).ok()?)?;
        Some((ExpiryHour(self.first.0.saturating_add(index)), *signature))
    }
}

/// Minutes after a multiple of their length at which periods begin: twelve voting intervals, which are half a day on the
/// public network and half a period on testing networks (tor: `hs_get_time_period_num`, `get_time_period_length`).
pub fn offset(length: PeriodLength) -> u64 {
    length.minutes() / 2
}
