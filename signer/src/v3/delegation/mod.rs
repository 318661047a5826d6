//! A delegation that is held: the keys of some time periods of a service, in place of its identity secret.
//!
//! `onionbalance-key` issues delegations, and [`onionbalance_key_file::delegation`] reads and verifies them.

mod notice;

use onionbalance_key_file::delegation::{self, IssuedCertificates, Span};
use onionbalance_proto::v3::{OnionAddress, TimePeriod};

use super::authority::{Certifier, PeriodSecrets};
use crate::system::secret_memory::{self, SecretBytes};
use crate::v3::revision::RevisionKey;
use crate::v3::secret::DescriptorSigningSecret;

/// The keys of one service in consecutive time periods.
pub struct Delegation {
    /// The address of the service.
    pub address: OnionAddress,
    /// The periods that it is for.
    pub span: Span,
    periods: Vec<DelegatedPeriod>,
}

/// The keys of one period.
struct DelegatedPeriod {
    /// The seed of the descriptor-signing key, then the key of the revision counter.
    secrets: SecretBytes,
    certificates: IssuedCertificates,
}

impl Delegation {
    /// Holds a delegation that was read: copies its secrets to the place for them.
    pub fn hold(read: &delegation::Delegation<'_>) -> std::io::Result<Self> {
        secret_memory::reserve(read.periods.len(), false)?;
        let hold = |period: &delegation::DelegatedPeriod<'_>| DelegatedPeriod {
            secrets: SecretBytes::new(period.seed, period.counter),
            certificates: period.certificates.clone(),
        };
        let periods = read.periods.iter().map(hold).collect();
        Ok(Self { address: read.address, span: read.span, periods })
    }

    /// What it takes to sign in `period`, if that is one of these.
    pub(super) fn period(&self, period: TimePeriod) -> Option<PeriodSecrets> {
        let index = period.number.checked_sub(self.span.first.number)?;
        let found = self.periods.get(usize::try_from(index).ok()?)?;
        let [seed, counter] = found.secrets.expose();
        (period.length == self.span.first.length).then(|| PeriodSecrets {
            signing: DescriptorSigningSecret::from_seed(seed),
            revision: RevisionKey::from_bytes(counter),
            certifier: Certifier::Issued(found.certificates.clone()),
        })
    }
}
