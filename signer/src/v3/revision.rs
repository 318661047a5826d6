//! The revision counter. It never goes back, reveals as little as possible of the time at which a descriptor
//! was made, and never runs so far ahead that an honest publisher could not follow.
//!
//! Tor encrypts the time with an order-preserving cipher (rend-spec-v3 appendix F; tor: `crypto_ope.c`). The
//! key is derived as tor's, so that the counters of several publishers with one key can be compared.

use std::collections::BTreeMap;

use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::TimePeriod;
use sha3::{Digest, Sha3_256};

use super::secret::BlindedSecret;
use crate::system::secret_memory::SecretBytes;
use crate::system::stack;

/// The seconds by which the next revision may be ahead of the counter because a higher one was seen
/// elsewhere: the clock of another publisher with the same key may differ. More would let a hostile balancer
/// have a descriptor signed that an honest one, or a restarted signer, cannot exceed for a long time.
const MAX_AHEAD_SECS: u64 = 3600;
/// The number of periods above which old ones are forgotten.
const MANY: usize = 1000;
/// The most steps of the cipher: more seconds than any period is signed for.
const MAX_STEPS: u64 = 1 << 22;

/// The revisions that a service has given out, by period.
#[derive(Default)]
pub struct Revisions(BTreeMap<TimePeriod, u64>);

impl Revisions {
    /// The next revision in `period` at `now`: above all that were given out in it, and above `seen`, but no
    /// more than [`MAX_AHEAD_SECS`] ahead of the counter for the sake of `seen`.
    pub fn next(&mut self, key: &RevisionKey, period: TimePeriod, now: UnixTime, seen: u64) -> u64 {
        let last = self.0.entry(period).or_default();
        let (present, ahead) = key.count(period, now);
        *last = present.max(last.saturating_add(1)).max(seen.min(ahead).saturating_add(1));
        *last
    }

    /// Forgets periods that are not to be kept, if there are many. At one time descriptors are published for
    /// fewer than 500 periods: those of 5 minutes within a day and a half.
    pub fn forget(&mut self, is_to_be_kept: impl Fn(TimePeriod) -> bool) {
        if self.0.len() >= MANY {
            self.0.retain(|period, _| is_to_be_kept(*period));
        }
    }
}

/// The key of a service's counter in one period.
pub struct RevisionKey(SecretBytes);

impl RevisionKey {
    /// The key that tor would use with this blinded secret. It is a hash, which reveals nothing of the
    /// secret.
    pub fn new(secret: &BlindedSecret) -> Self {
        stack::wiped(|| {
            let key = secret.with_expanded(|expanded| {
                // Tor hashes the terminating NUL of its prefix too.
                Sha3_256::new().chain_update(b"rev-counter-generation\0").chain_update(expanded).finalize()
            });
            Self::from_bytes(&key.into())
        })
    }

    /// The key with these 32 bytes. The caller wipes them.
    pub fn from_bytes(key: &[u8; 32]) -> Self {
        Self(SecretBytes::new(key, &[0; 32]))
    }

    /// The 32 bytes. A caller that copies them wipes the copy.
    pub fn bytes(&self) -> &[u8; 32] {
        let [key, _] = self.0.expose();
        key
    }

    /// The counter in `period` at `now`, and [`MAX_AHEAD_SECS`] seconds later.
    ///
    /// It counts from the beginning of the shared-random run in which the period begins. That is half a
    /// period before on the public network and on testing networks, where periods begin half a period after a
    /// multiple of their length (tor: `set_descriptor_revision_counter`,
    /// `hs_get_start_time_of_next_time_period`).
    fn count(&self, period: TimePeriod, now: UnixTime) -> (u64, u64) {
        // Tor adds one second so that the input is never 0.
        let seconds = now.since(period.start(0)).saturating_add(1).min(MAX_STEPS);
        stack::wiped(|| encrypt(self.bytes(), seconds, MAX_AHEAD_SECS))
    }
}

/// The sum of `seconds` pseudo-random steps of 1 to 65536, and the sum with `more` further steps. It grows
/// with `seconds`, and is hard to invert without the key.
fn encrypt(key: &[u8; 32], seconds: u64, more: u64) -> (u64, u64) {
    let mut cipher = ctr::Ctr128BE::<Aes256>::new(key.into(), &[0; 16].into());
    let mut sum = |mut left: u64| {
        let mut sum = 0;
        let mut chunk = [0; 4096];
        while left > 0 {
            let steps = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len() / 2);
            let (words, _) = chunk.split_at_mut(2 * steps);
            words.fill(0);
            cipher.apply_keystream(words);
            let words = words.chunks_exact(2).map(|word| word.try_into().unwrap_or_default());
            sum += words.map(|word| u64::from(u16::from_le_bytes(word)) + 1).sum::<u64>();
            left -= steps as u64;
        }
        sum
    };
    let present = sum(seconds);
    (present, present + sum(more))
}

#[cfg(test)]
mod tests;
