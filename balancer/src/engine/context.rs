//! The state that the handlers of all events share: the time, the pace, randomness, and the notices so far.

use std::time::Duration;

use rand_core::RngCore;

use super::event::Now;
use super::notice::Notice;
use super::timing::{self, Timing};

/// What surrounds the handling of an event.
pub(super) struct Context<R> {
    pub(super) now: Now,
    pub(super) timing: Timing,
    pub(super) rng: R,
    pub(super) notices: Vec<Notice>,
    /// Fetches in a row without an answer, of all backends and HSDirs together.
    pub(super) silences: u32,
}

impl<R: RngCore> Context<R> {
    /// Whether no HSDir answers. An HSDir's silence then says nothing of that HSDir.
    pub(super) fn is_silence_general(&self) -> bool {
        self.silences > GENERAL_SILENCE
    }

    /// When to try again after that many failures of an upload in a row.
    pub(super) fn retry_at(&mut self, failures: u32) -> Duration {
        self.again_at(self.timing.retry_max, failures)
    }

    /// When to offer a publication again that was not taken that many times in a row.
    pub(super) fn offer_at(&mut self, refusals: u32) -> Duration {
        self.again_at(self.timing.offer_max, refusals)
    }

    fn again_at(&mut self, longest: Duration, times: u32) -> Duration {
        let wait = timing::backoff(&mut self.rng, self.timing.retry_first, longest, times);
        self.now.elapsed + wait
    }
}

/// The most fetches in a row without an answer that single HSDirs can account for: a backend has six or eight.
const GENERAL_SILENCE: u32 = 8;
