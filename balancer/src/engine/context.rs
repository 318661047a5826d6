//! The state that the handlers of all events share: the time, the pace, randomness, and the notices so far.

use std::time::Duration;

use rand_core::RngCore;

use super::event::Now;
use super::notice::Notice;
use super::timing::{self, Timing};

/// The surroundings of an event while it is handled.
pub(super) struct Context<R> {
    pub(super) now: Now,
    pub(super) timing: Timing,
    pub(super) rng: R,
    pub(super) notices: Vec<Notice>,
    /// The number of fetches in a row without an answer, of all backends and HSDirs together.
    pub(super) silences: u32,
}

impl<R: RngCore> Context<R> {
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

/// The most fetches in a row without an answer that single HSDirs can account for: a backend has six or
/// eight.
const GENERAL_SILENCE: u32 = 8;
