//! Made-up services for all targets, and validly signed descriptors around the fuzzer's input.
//!
//! Everything is made from fixed seeds, so that an input means the same on every machine and at any time.

pub mod conversation;
pub mod v2;
pub mod v3;

use onionbalance_proto::time::UnixTime;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// 2026-11-22 10:00 UTC: the present time of all targets except the signer's loop.
pub const NOW: UnixTime = UnixTime(1_795_341_600);

/// A random generator with the same output at every start.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
