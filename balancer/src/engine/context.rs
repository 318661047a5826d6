//! The state that the handlers of all events share: the time, the pace, randomness, and the notices so far.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use rand_core::RngCore;

use super::event::Now;
use super::health::Witnesses;
use super::notice::Notice;
use super::timing::{self, Timing};

/// The surroundings of an event while it is handled.
pub(super) struct Context<R> {
    pub(super) now: Now,
    /// The time from which on the consensus is valid; 0 before the first.
    pub(super) valid_after: UnixTime,
    pub(super) timing: Timing,
    pub(super) rng: R,
    pub(super) notices: Vec<Notice>,
    /// The number of fetches in a row without an answer, of all backends and HSDirs together.
    pub(super) silences: u32,
    /// The witnesses for our tor when probes fail.
    pub(super) witnesses: Witnesses,
}

impl<R: RngCore> Context<R> {
    /// The present time, or the latest that it can be. If the wall clock is behind the consensus, only the
    /// consensus tells the time, and tor may have used that one for long.
    pub(super) fn now_at_most(&self) -> Now {
        let is_behind = self.now.wall < self.valid_after;
        let wall = if is_behind { self.valid_after.plus(CONSENSUS_USED_FOR) } else { self.now.wall };
        Now { wall, ..self.now }
    }

    /// The age of what was published at this time. If the wall clock is behind the consensus, this is the age
    /// when the consensus became valid: a copy of days ago is not new by a clock that was set back.
    pub(super) fn age(&self, published: UnixTime) -> Duration {
        Duration::from_secs(self.now.wall.max(self.valid_after).since(published))
    }

    /// True if no HSDir answers. The silence of one HSDir then says nothing about that HSDir.
    pub(super) fn is_silence_general(&self) -> bool {
        self.silences > GENERAL_SILENCE
    }

    /// The time at which an upload is retried after this number of failures in a row.
    pub(super) fn retry_at(&mut self, failures: u32) -> Duration {
        self.again_at(self.timing.retry_max, failures)
    }

    /// The time at which a publication that was not taken this number of times in a row is offered again.
    pub(super) fn offer_at(&mut self, refusals: u32) -> Duration {
        self.again_at(self.timing.offer_max, refusals)
    }

    fn again_at(&mut self, longest: Duration, times: u32) -> Duration {
        let wait = timing::backoff(&mut self.rng, self.timing.retry_first, longest, times);
        self.now.elapsed + wait
    }
}

/// The seconds for which tor uses a consensus from the beginning of its validity on: three hours, and a day
/// after its end (tor: `REASONABLY_LIVE_TIME`).
const CONSENSUS_USED_FOR: u64 = 27 * 60 * 60;
/// The most fetches in a row without an answer that single HSDirs can account for: a backend has six or
/// eight.
const GENERAL_SILENCE: u32 = 8;
