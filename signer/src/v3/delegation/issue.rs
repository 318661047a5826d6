//! Makes a delegation where the identity secret is.

use onionbalance_proto::v3::TimePeriod;
use onionbalance_proto::v3::cert::ExpiryHour;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use super::{DelegatedPeriod, Delegation, IssuedCertificates, offset};
use crate::system::secret_memory::{self, MemoryError, SecretBytes};
use crate::v3::authority;
use crate::v3::revision::RevisionKey;
use crate::v3::secret::{BlindedSecret, DescriptorSigningSecret, IdentitySecret};

/// Beyond a period's usual time, in seconds, its descriptor is still published where the consensus is late: it is valid for
/// three voting intervals, of an hour on the public network.
const LATE: u64 = 3 * 3600;

impl Delegation {
    /// Issues what it takes to sign in so many periods, from `first` on.
    pub fn issue(
        identity: &IdentitySecret,
        first: TimePeriod,
        periods: u16,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self, MemoryError> {
        secret_memory::reserve_more(usize::from(periods))?;
        let periods = (0..u64::from(periods))
            .map(|index| {
                let number = first.number.saturating_add(index);
                DelegatedPeriod::issue(identity, TimePeriod { number, ..first }, rng)
            })
            .collect();
        Ok(Self { address: identity.address(), first, periods })
    }
}

impl DelegatedPeriod {
    fn issue(identity: &IdentitySecret, period: TimePeriod, rng: &mut impl CryptoRngCore) -> Self {
        let blinded = identity.blind(period);
        let mut bytes = Zeroizing::new([0; 64]);
        let (seed, counter) = bytes.split_at_mut(32);
        rng.fill_bytes(seed);
        counter.copy_from_slice(RevisionKey::new(&blinded).bytes());
        let secrets = SecretBytes::take(&mut bytes);
        let signing = DescriptorSigningSecret::from_seed(secrets.halves().0);
        Self { certificates: IssuedCertificates::issue(&blinded, &signing, period), secrets }
    }
}

impl IssuedCertificates {
    /// One for each hour that tor could choose while the period's descriptor is published: from the shared-random run that
    /// begins before the period, when it is the second, to the end of the run that begins in it, when it is the first
    /// (rend-spec-v3 \[TIME-PERIODS\]).
    fn issue(blinded: &BlindedSecret, signing: &DescriptorSigningSecret, period: TimePeriod) -> Self {
        let half = period.length.seconds() / 2;
        let begins = period.start(offset(period.length)).minus(half);
        let ends = period.next().start(offset(period.length)).plus(half + LATE);
        let (first, last) = (authority::expiry(begins), authority::expiry(ends));
        let certify = |hour| authority::certify(blinded, signing.public(), ExpiryHour(hour)).signature;
        Self { signer: *blinded.public(), first, signatures: (first.0..=last.0).map(certify).collect() }
    }
}
