//! What the targets share: made-up services, and descriptors that say what the fuzzer wants them to, signed as they should be.
//!
//! Everything is made of fixed seeds, so that an input means the same on every machine and in every year.

pub mod conversation;
pub mod v2;
pub mod v3;

use onionbalance_proto::time::UnixTime;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// 2026-11-22 10:00 UTC: when the targets believe to be, the signer's loop aside.
pub const NOW: UnixTime = UnixTime(1_795_341_600);

/// Randomness that is the same at every start.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
