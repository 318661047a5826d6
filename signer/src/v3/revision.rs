//! The revision counter: never goes back, and says as little as possible of when a descriptor was made.
//!
//! Tor encrypts the time with an order-preserving cipher (rend-spec-v3 appendix F; tor: `crypto_ope.c`). The same key
//! derivation as tor's makes the counters of several publishers with one key comparable.

use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::revision::INPUT_MAX;
use sha3::{Digest, Sha3_256};
use zeroize::Zeroizing;

use crate::v3::secret::BlindedSecret;

/// Counts the revisions of one service in one period.
pub struct RevisionCounter {
    key: Zeroizing<[u8; 32]>,
    last: u64,
}

/// The key of the counter that goes with a blinded secret, 32 bytes. A hash: it says nothing of that secret.
pub fn key(secret: &BlindedSecret) -> Zeroizing<[u8; 32]> {
    let key = secret.with_expanded(|expanded| {
        // Tor hashes the terminating NUL of its prefix too.
        Sha3_256::new().chain_update(b"rev-counter-generation\0").chain_update(expanded).finalize()
    });
    Zeroizing::new(key.into())
}

impl RevisionCounter {
    /// The counter with this [`key`], which has counted nothing yet.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key, last: 0 }
    }

    /// The next revision at `now` for a run that began at `run_start`: above all that were given out, above `seen`.
    pub fn next(&mut self, run_start: UnixTime, now: UnixTime, seen: u64) -> u64 {
        // Tor adds one second so that the input is never 0.
        let seconds = now.since(run_start).saturating_add(1).min(INPUT_MAX);
        let next = encrypt(&self.key, seconds).max(self.last.saturating_add(1)).max(seen.saturating_add(1));
        self.last = next;
        next
    }
}

/// The sum of `seconds` pseudo-random steps of 1 to 65536: grows with `seconds`, and is hard to invert without the key.
fn encrypt(key: &[u8; 32], seconds: u64) -> u64 {
    let mut cipher = ctr::Ctr128BE::<Aes256>::new(key.into(), &[0; 16].into());
    let mut sum = 0;
    let mut left = seconds;
    let mut chunk = [0; 4096];
    while left > 0 {
        chunk.fill(0);
        cipher.apply_keystream(&mut chunk);
        let steps = left.min(2048);
        let words = chunk.chunks_exact(2).take(usize::try_from(steps).unwrap_or(usize::MAX));
        sum += words
            .map(|word| u64::from(u16::from_le_bytes(word.try_into().unwrap_or_default())) + 1)
            .sum::<u64>();
        left -= steps;
    }
    sum
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::v3::revision::END;

    use super::*;

    /// C tor, `crypto_ope` test vectors (`src/test/ope_ref.py`).
    #[test]
    fn encrypts_as_tor_does() {
        let key = data_encoding::HEXLOWER
            .decode(b"19e05891d55232c08c2cad91d612fdb9cbd6691949a0742434a76c80bc6992fe")
            .unwrap()
            .try_into()
            .unwrap();
        for (input, output) in
            [(82_283, 2_695_743_564), (72_661, 2_381_548_866), (123_122, 4_036_781_069), (7_110, 234_966_492)]
        {
            assert_eq!(encrypt(&key, input), output, "{input}");
        }
    }

    #[test]
    fn agrees_with_arti_on_random_keys() {
        for _ in 0..3 {
            let secret: [u8; 32] = rand::random();
            let theirs = tor_hscrypto::ope::AesOpeKey::from_secret(&secret);
            // Arti leaves the NUL out of the hash; the cipher is the same.
            let key = Sha3_256::new()
                .chain_update(b"rev-counter-generation")
                .chain_update(secret)
                .finalize()
                .into();
            for seconds in [1, 2048, 2049, rand::random::<u32>() % (1 << 18) + 1] {
                let theirs = theirs.encrypt(tor_hscrypto::ope::SrvPeriodOffset::from(seconds - 1));
                assert_eq!(encrypt(&key, u64::from(seconds)), theirs, "{seconds}");
            }
        }
    }

    #[test]
    fn never_goes_back_whatever_the_clock_does() {
        let mut counter = RevisionCounter { key: Zeroizing::new([5; 32]), last: 0 };
        let start = UnixTime(1_000_000);
        let mut last = 0;
        for (now, seen) in [(500, 0), (500, 0), (10, 0), (501, 0), (400_000, 0), (0, END - 1), (0, 0)] {
            let next = counter.next(start, start.plus(now), seen);
            assert!(next > last && next > seen, "{now}: {next} after {last}, {seen} seen");
            last = next;
        }
        assert!(counter.next(start, start.minus(9), 0) > last);
    }
}
