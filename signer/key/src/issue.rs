//! Issues a delegation where the identity secret is. The signer reads it, and has its layout: `v3/delegation/decode.rs`.

use std::ops::RangeInclusive;

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::ExpiryHour;
use onionbalance_proto::v3::{PeriodLength, TimePeriod};
use onionbalance_signer::v3::authority::{certify, expiry};
use onionbalance_signer::v3::delegation::{PERIOD_LENGTH, offset};
use onionbalance_signer::v3::revision::RevisionKey;
use onionbalance_signer::v3::secret::{DescriptorSigningSecret, IdentitySecret};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

const HEAD_LENGTH: usize = 32 + 2 + 8 + 2;
const SIGNATURE_LENGTH: usize = 64;

/// Beyond a period's usual time, in seconds, its descriptor is still published where the consensus is late: it is valid for
/// three voting intervals, of an hour on the public network.
const LATE: u64 = 3 * 3600;

/// The first of `periods` periods from the one that holds `now` on, and their number. In the first half of a period the
/// descriptor of the one before is published, too: it comes first then, and is one more.
pub fn span(now: UnixTime, length: PeriodLength, periods: u16) -> (TimePeriod, u16) {
    let present = TimePeriod::at(now, length, offset(length));
    let half = present.start(offset(length)).plus(length.seconds() / 2);
    if now < half { (present.previous(), periods.saturating_add(1)) } else { (present, periods) }
}

/// The encoded delegation for `periods` periods, from `first` on; secrets are in it.
pub fn issue(
    identity: &IdentitySecret,
    first: TimePeriod,
    periods: u16,
    rng: &mut impl CryptoRngCore,
) -> Zeroizing<Vec<u8>> {
    // Room for the whole from the start: a buffer that grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length(first, periods)));
    bytes.extend(identity.address().identity());
    bytes.extend(u16::from(first.length).to_be_bytes());
    bytes.extend(first.number.to_be_bytes());
    bytes.extend(periods.to_be_bytes());
    each(first, periods).for_each(|period| issue_period(&mut bytes, identity, period, rng));
    bytes
}

/// Bytes of the encoded delegation for `periods` periods, from `first` on.
pub(crate) fn length(first: TimePeriod, periods: u16) -> usize {
    let certificates: usize = each(first, periods).map(|period| hours(period).count()).sum();
    HEAD_LENGTH + usize::from(periods) * PERIOD_LENGTH + certificates * SIGNATURE_LENGTH
}

fn each(first: TimePeriod, periods: u16) -> impl Iterator<Item = TimePeriod> {
    (0..u64::from(periods))
        .map(move |index| TimePeriod { number: first.number.saturating_add(index), ..first })
}

fn issue_period(
    bytes: &mut Vec<u8>,
    identity: &IdentitySecret,
    period: TimePeriod,
    rng: &mut impl CryptoRngCore,
) {
    let blinded = identity.blind(period);
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    let signing = DescriptorSigningSecret::from_seed(&seed);
    bytes.extend(seed.iter());
    bytes.extend(RevisionKey::new(&blinded).bytes());
    let hours = hours(period);
    bytes.extend(hours.start().to_be_bytes());
    bytes.extend(u16::try_from(hours.clone().count()).unwrap_or(u16::MAX).to_be_bytes());
    for hour in hours {
        bytes.extend(certify(&blinded, signing.public(), ExpiryHour(hour)).signature.to_bytes());
    }
}

/// The hours at which tor could let a certificate run out while the period's descriptor is published: from the shared-random
/// run that begins before the period, when it is the second, to the end of the run that begins in it, when it is the first
/// (rend-spec-v3 \[TIME-PERIODS\]). At most 700, since a period lasts at most ten days.
fn hours(period: TimePeriod) -> RangeInclusive<u32> {
    let half = period.length.seconds() / 2;
    let begins = period.start(offset(period.length)).minus(half);
    let ends = period.next().start(offset(period.length)).plus(half + LATE);
    expiry(begins).0..=expiry(ends).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_before_goes_along_while_it_is_published() {
        let noon: UnixTime = "2026-11-22 12:00:00".parse().unwrap();
        for (hours, first, periods) in
            [(0, 20_778, 4), (11, 20_778, 4), (12, 20_779, 3), (23, 20_779, 3), (24, 20_779, 4)]
        {
            let (found, number) = span(noon.plus(hours * 3600), PeriodLength::DAY, 3);
            assert_eq!((found.number, number), (first, periods), "{hours} h after the period began");
        }
    }
}
