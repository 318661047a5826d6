//! Issues a delegation from the identity secret.

use std::ops::RangeInclusive;

use ed25519_dalek::Signature;
use onionbalance_key_file::delegation::{Encoder, Span, encoded_length, offset};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::ExpiryHour;
use onionbalance_proto::v3::{PeriodLength, TimePeriod};
use onionbalance_signer::v3::authority::{certify, expiry};
use onionbalance_signer::v3::revision::RevisionKey;
use onionbalance_signer::v3::secret::{DescriptorSigningSecret, IdentitySecret};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// The time after a period's usual end in which its descriptor is still published if the consensus is late,
/// in seconds: a consensus is valid for three voting intervals, of an hour each on the public network.
const LATE: u64 = 3 * 3600;

/// This number of periods from the one that contains `now` on. In the first half of a period the descriptor
/// of the previous one is published, too: the span then begins with that one, and has one more.
pub fn span(now: UnixTime, length: PeriodLength, periods: u16) -> Span {
    let present = TimePeriod::at(now, length, offset(length));
    let half = present.start(offset(length)).plus(length.seconds() / 2);
    if now < half {
        Span { first: present.previous(), count: periods.saturating_add(1) }
    } else {
        Span { first: present, count: periods }
    }
}

/// The encoded delegation for these periods, which contains secrets.
pub fn issue(identity: &IdentitySecret, span: Span, rng: &mut impl CryptoRngCore) -> Zeroizing<Vec<u8>> {
    let mut encoder = Encoder::new(&identity.address(), span, certificates(span));
    for period in span.periods() {
        let blinded = identity.blind(period);
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        let signing = DescriptorSigningSecret::from_seed(&seed);
        let hours = hours(period);
        let first = ExpiryHour(*hours.start());
        let certificates = hours.map(|hour| certify(&blinded, signing.public(), ExpiryHour(hour)));
        let signatures: Vec<Signature> = certificates.map(|certificate| certificate.signature).collect();
        encoder.add(&seed, RevisionKey::new(&blinded).bytes(), first, &signatures);
    }
    encoder.finish()
}

/// The length of the encoded delegation for these periods, in bytes.
pub(crate) fn length(span: Span) -> usize {
    encoded_length(span, certificates(span))
}

fn certificates(span: Span) -> usize {
    span.periods().map(|period| hours(period).count()).sum()
}

/// The hours at which tor could let a certificate expire while the period's descriptor is published. They
/// begin with the shared-random run before the period, in which it is the second descriptor. They end with
/// the run that begins in the period, in which it is the first (rend-spec-v3 \[TIME-PERIODS\]). At most 700,
/// because a period lasts at most ten days.
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
    fn the_previous_period_is_added_while_it_is_published() {
        let noon: UnixTime = "2026-11-22 12:00:00".parse().unwrap();
        for (hours, first, periods) in
            [(0, 20_778, 4), (11, 20_778, 4), (12, 20_779, 3), (23, 20_779, 3), (24, 20_779, 4)]
        {
            let found = span(noon.plus(hours * 3600), PeriodLength::DAY, 3);
            assert_eq!(
                (found.first.number, found.count),
                (first, periods),
                "{hours} h after the period began"
            );
        }
    }
}
