//! Looks: whom to ask for a backend's descriptor.
//!
//! A look asks one or two of the backend's HSDirs, in turn from look to look, and more of them where the
//! answers leave doubt. It ends when everyone asked has answered or was given up. What the answers mean is
//! not decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_core::RngCore;

use super::Context;
use super::event::FetchOutcome;
use super::status::{HsdirAnswer, SourceStatus};
use super::timing;
use crate::relay::Fingerprint;

/// A backend's HSDirs, and the look under way, if there is one.
#[derive(Default)]
pub(super) struct Looks {
    /// Those whose turn it is come first.
    hsdirs: Vec<Hsdir>,
    looking: bool,
    /// Whether the look under way has confirmed what is the newest descriptor.
    confirmed: bool,
    /// How many looks in a row have not.
    misses: u32,
    next: Option<Duration>,
}

struct Hsdir {
    fingerprint: Fingerprint,
    ask: Ask,
    answer: Option<HsdirAnswer>,
    /// Whether its present row of invalid answers has been noticed.
    reported: bool,
}

/// An HSDir's part in the present look.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Ask {
    No,
    Wanted,
    Waiting { until: Duration },
    Answered,
}

/// How a look ended.
pub(super) struct Verdict {
    /// Whether it confirmed what is the newest descriptor.
    pub(super) confirmed: bool,
    /// Whether every single HSDir said that it has no descriptor.
    pub(super) denied_by_all: bool,
}

impl Looks {
    /// Takes the HSDirs of a new consensus; new ones come before the others, in random order.
    pub(super) fn set_hsdirs(&mut self, rng: &mut impl RngCore, listed: &[Fingerprint]) {
        let mut new: BTreeSet<Fingerprint> = listed.iter().copied().collect();
        self.hsdirs.retain(|hsdir| new.remove(&hsdir.fingerprint));
        let mut new: Vec<Fingerprint> = new.into_iter().collect();
        new.sort_by_cached_key(|_| rng.next_u32());
        let old = std::mem::take(&mut self.hsdirs);
        self.hsdirs = new.into_iter().map(Hsdir::new).chain(old).collect();
    }

    /// Whether there is nobody to ask.
    pub(super) fn is_empty(&self) -> bool {
        self.hsdirs.is_empty()
    }

    /// Begins a look that asks `width` HSDirs first, in place of one that may be under way.
    pub(super) fn begin(&mut self, width: usize) {
        self.stop();
        self.looking = !self.hsdirs.is_empty();
        self.confirmed = false;
        self.ask_more(width);
        let asked = width.min(self.hsdirs.len());
        self.hsdirs.rotate_left(asked);
    }

    /// Ends all looking, without a verdict and without a next look.
    pub(super) fn stop(&mut self) {
        self.looking = false;
        self.next = None;
        for hsdir in &mut self.hsdirs {
            hsdir.ask = Ask::No;
        }
    }

    /// Asks up to `count` more HSDirs in the look under way.
    pub(super) fn ask_more(&mut self, count: usize) {
        if self.looking {
            for hsdir in self.hsdirs.iter_mut().filter(|hsdir| hsdir.ask == Ask::No).take(count) {
                hsdir.ask = Ask::Wanted;
            }
        }
    }

    /// Whether an HSDir remains to be asked.
    pub(super) fn wants_to_ask(&self) -> bool {
        self.hsdirs.iter().any(|hsdir| hsdir.ask == Ask::Wanted)
    }

    /// The next HSDir to ask, which is then waited for until `until`.
    pub(super) fn next_to_ask(&mut self, until: Duration) -> Option<Fingerprint> {
        let hsdir = self.hsdirs.iter_mut().find(|hsdir| hsdir.ask == Ask::Wanted)?;
        hsdir.ask = Ask::Waiting { until };
        Some(hsdir.fingerprint)
    }

    /// Notes an answer; returns whether it was awaited.
    pub(super) fn answered<P>(&mut self, fingerprint: Fingerprint, outcome: &FetchOutcome<P>) -> bool {
        let Some(hsdir) = self.get_mut(fingerprint) else { return false };
        let awaited = matches!(hsdir.ask, Ask::Waiting { .. });
        if awaited {
            hsdir.ask = Ask::Answered;
        }
        hsdir.answer = Some(match outcome {
            FetchOutcome::Copy(copy) => HsdirAnswer::Copy { revision: copy.revision },
            FetchOutcome::NotFound => HsdirAnswer::NotFound,
            FetchOutcome::Failed => HsdirAnswer::Failed,
            FetchOutcome::Invalid(_) => HsdirAnswer::Invalid,
        });
        hsdir.reported &= matches!(outcome, FetchOutcome::Invalid(_));
        awaited
    }

    /// Gives up those who have not answered in time; returns how many.
    pub(super) fn give_up(&mut self, now: Duration) -> usize {
        let mut silent = 0;
        for hsdir in &mut self.hsdirs {
            if matches!(hsdir.ask, Ask::Waiting { until } if until <= now) {
                hsdir.ask = Ask::Answered;
                hsdir.answer = Some(HsdirAnswer::Silent);
                silent += 1;
            }
        }
        silent
    }

    /// The look has confirmed what is the newest descriptor.
    pub(super) fn confirm(&mut self) {
        self.confirmed = true;
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether an HSDir's invalid answer is the first in a row.
    pub(super) fn is_first_lie(&mut self, fingerprint: Fingerprint) -> bool {
        self.get_mut(fingerprint).is_some_and(|hsdir| !std::mem::replace(&mut hsdir.reported, true))
    }

    /// Ends the look, if nobody is left to ask or to wait for, and plans the next: sooner than usual after
    /// one without result.
    pub(super) fn conclude(&mut self, cx: &mut Context<impl RngCore>) -> Option<Verdict> {
        let open = |hsdir: &Hsdir| matches!(hsdir.ask, Ask::Wanted | Ask::Waiting { .. });
        if !self.looking || self.hsdirs.iter().any(open) {
            return None;
        }
        self.looking = false;
        self.misses = if self.confirmed { 0 } else { self.misses.saturating_add(1) };
        let wait = if self.confirmed {
            timing::jittered(&mut cx.rng, cx.timing.refresh)
        } else {
            timing::backoff(&mut cx.rng, cx.timing.look_again, cx.timing.refresh, self.misses)
        };
        self.next = Some(cx.now.elapsed + wait);
        let denied =
            |hsdir: &Hsdir| hsdir.ask == Ask::Answered && hsdir.answer == Some(HsdirAnswer::NotFound);
        let denied_by_all = !self.hsdirs.is_empty() && self.hsdirs.iter().all(denied);
        Some(Verdict { confirmed: self.confirmed, denied_by_all })
    }

    /// Whether the next look is due.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// When somebody has to be given up, or the next look is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let waiting = self.hsdirs.iter().filter_map(|hsdir| match hsdir.ask {
            Ask::Waiting { until } => Some(until),
            _ => None,
        });
        waiting.chain(self.next).min()
    }

    pub(super) fn status(&self) -> Vec<SourceStatus> {
        let mut status: Vec<SourceStatus> = self
            .hsdirs
            .iter()
            .map(|hsdir| SourceStatus { hsdir: hsdir.fingerprint, answer: hsdir.answer })
            .collect();
        status.sort_by_key(|source| source.hsdir);
        status
    }

    fn get_mut(&mut self, fingerprint: Fingerprint) -> Option<&mut Hsdir> {
        self.hsdirs.iter_mut().find(|hsdir| hsdir.fingerprint == fingerprint)
    }
}

impl Hsdir {
    fn new(fingerprint: Fingerprint) -> Self {
        Self { fingerprint, ask: Ask::No, answer: None, reported: false }
    }
}
