//! A delegation in memory: the keys of some time periods of a service, in place of its identity secret.
//!
//! `onionbalance-key` issues delegations, and [`onionbalance_key_file::delegation`] reads and verifies them.

use std::io;

use onionbalance_key_file::delegation::{self, IssuedCertificates, Span, offset};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, TimePeriod};
use onionbalance_proto::wire::Refusal;

use crate::log::Priority;
use crate::system::secret_memory::{self, SecretBytes};

/// The longest time before its end at which a warning asks for another delegation, in seconds; see
/// [`Delegation::notice_secs`].
const MAX_NOTICE_SECS: u64 = 7 * 86_400;
const REMEDY: &str =
    "make another where the identity key is (onionbalance-key delegate), and restart the signer with it";

/// The keys of one service in consecutive time periods.
pub struct Delegation {
    /// The address of the service.
    pub address: OnionAddress,
    /// The periods that it covers.
    pub span: Span,
    periods: Vec<DelegatedPeriod>,
}

/// The keys of one period.
pub(super) struct DelegatedPeriod {
    /// The seed of the descriptor-signing key, then the key of the revision counter.
    pub(super) secrets: SecretBytes,
    /// The certificates of the descriptor-signing key.
    pub(super) certificates: IssuedCertificates,
}

impl Delegation {
    /// Copies the secrets of a delegation that was read into secret memory.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn hold(read: &delegation::Delegation<'_>) -> io::Result<Self> {
        secret_memory::reserve(read.periods.len(), false)?;
        let hold = |period: &delegation::DelegatedPeriod<'_>| DelegatedPeriod {
            secrets: SecretBytes::new(period.seed, period.counter),
            certificates: period.certificates.clone(),
        };
        let periods = read.periods.iter().map(hold).collect();
        Ok(Self { address: read.address, span: read.span, periods })
    }

    /// The keys of `period`.
    ///
    /// # Errors
    /// [`Refusal::NotDelegated`] if the delegation does not cover it.
    pub(super) fn period(&self, period: TimePeriod) -> Result<&DelegatedPeriod, Refusal> {
        let index = self.span.periods().position(|delegated| delegated == period);
        index.and_then(|index| self.periods.get(index)).ok_or(Refusal::NotDelegated)
    }

    /// The number of the period that holds `now`, by the delegation's period length.
    pub fn present(&self, now: UnixTime) -> u64 {
        let length = self.span.first.length;
        TimePeriod::at(now, length, offset(length)).number
    }

    /// The line to log at `now`, with its priority.
    pub fn notice(&self, now: UnixTime) -> (Priority, String) {
        let (address, ends) = (self.address, self.span.ends());
        if now >= ends {
            let what = format!("the delegation for {address} ended at {ends} UTC: {REMEDY}");
            return (Priority::Warning, what);
        }
        let more = self.span.last().number.saturating_sub(self.present(now));
        let what = format!("the delegation for {address} ends at {ends} UTC, {more} periods after this one");
        if ends.since(now) > self.notice_secs() {
            (Priority::Info, what)
        } else {
            (Priority::Warning, format!("{what}: {REMEDY}"))
        }
    }

    /// The time before the end at which a warning begins, in seconds: a quarter of the span, a week at the
    /// most, and the whole last period in any case.
    fn notice_secs(&self) -> u64 {
        let quarter = self.span.ends().since(self.span.begins()) / 4;
        quarter.min(MAX_NOTICE_SECS).max(self.span.first.length.seconds())
    }
}
