//! Looks: the choice of the HSDirs that are asked for a backend's descriptor.
//!
//! A look asks one or two of the backend's HSDirs, in turn from look to look, and more of them if the answers
//! leave doubt. It ends when every HSDir that was asked has answered or was given up. The meaning of the
//! answers is not decided here. An HSDir of both replicas counts as two.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_core::RngCore;

use super::context::Context;
use super::event::FetchOutcome;
use super::id::Source;
use super::status::{HsdirAnswer, SourceStatus};
use super::timing;

/// A backend's HSDirs, and the present look, if there is one.
#[derive(Default)]
pub(super) struct Looks {
    /// The HSDirs; those whose turn it is come first.
    sources: Vec<Asked>,
    looking: bool,
    /// True if the present look has confirmed the newest descriptor.
    confirmed: bool,
    /// The number of looks in a row that have not.
    misses: u32,
    next: Option<Duration>,
}

struct Asked {
    source: Source,
    ask: Ask,
    answer: Option<HsdirAnswer>,
    /// True after it has given an invalid answer, which was reported, and before its next valid one.
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

/// The result of a look.
pub(super) struct Verdict {
    /// True if it confirmed the newest descriptor.
    pub(super) confirmed: bool,
    /// True if every single HSDir answered that it has no descriptor.
    pub(super) denied_by_all: bool,
}

impl Looks {
    /// Takes the HSDirs of a new consensus; new ones come before the others, in random order. The present
    /// look asks others in place of those that it has lost, so that it does not end without an answer.
    pub(super) fn set_sources(&mut self, rng: &mut impl RngCore, listed: &[Source]) {
        if listed.len() == self.sources.len()
            && self.sources.iter().all(|asked| listed.contains(&asked.source))
        {
            return;
        }
        let mut new: BTreeSet<Source> = listed.iter().copied().collect();
        let open_before = self.open().count();
        self.sources.retain(|asked| new.remove(&asked.source));
        let lost = open_before - self.open().count();
        let mut new: Vec<Source> = new.into_iter().collect();
        new.sort_by_cached_key(|_| rng.next_u32());
        let old = std::mem::take(&mut self.sources);
        self.sources = new.into_iter().map(Asked::new).chain(old).collect();
        self.ask_more(lost);
    }

    /// True if there is no HSDir to ask.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// True while a look goes on.
    pub(super) fn is_looking(&self) -> bool {
        self.looking
    }

    /// True if there are several HSDirs to ask.
    pub(super) fn has_others(&self) -> bool {
        self.sources.len() > 1
    }

    /// Begins a look that asks `width` HSDirs first. It replaces one that may be in progress.
    pub(super) fn begin(&mut self, width: usize) {
        self.stop();
        self.looking = !self.sources.is_empty();
        self.confirmed = false;
        self.ask_more(width);
        let asked = width.min(self.sources.len());
        self.sources.rotate_left(asked);
    }

    /// Ends all looking, without a verdict and without a next look.
    pub(super) fn stop(&mut self) {
        self.looking = false;
        self.next = None;
        for asked in &mut self.sources {
            asked.ask = Ask::No;
        }
    }

    /// Asks up to `count` more HSDirs in the present look.
    pub(super) fn ask_more(&mut self, count: usize) {
        if self.looking {
            for asked in self.sources.iter_mut().filter(|asked| asked.ask == Ask::No).take(count) {
                asked.ask = Ask::Wanted;
            }
        }
    }

    /// True if an HSDir has answered, or was given up.
    pub(super) fn has_answers(&self) -> bool {
        self.sources.iter().any(|asked| asked.answer.is_some())
    }

    /// True if there is an HSDir left to ask in the present look.
    pub(super) fn wants_to_ask(&self) -> bool {
        self.sources.iter().any(|asked| asked.ask == Ask::Wanted)
    }

    /// The next HSDir to ask, which is then waited for until `until`; `None` if there is none.
    pub(super) fn next_to_ask(&mut self, until: Duration) -> Option<Source> {
        let asked = self.sources.iter_mut().find(|asked| asked.ask == Ask::Wanted)?;
        asked.ask = Ask::Waiting { until };
        Some(asked.source)
    }

    /// Notes an answer. True if it was awaited.
    pub(super) fn answered<P>(&mut self, source: Source, outcome: &FetchOutcome<P>) -> bool {
        let Some(asked) = self.get_mut(source) else { return false };
        let awaited = matches!(asked.ask, Ask::Waiting { .. });
        if awaited {
            asked.ask = Ask::Answered;
        }
        asked.answer = Some(match outcome {
            FetchOutcome::Copy(copy) => HsdirAnswer::Copy { revision: copy.revision },
            FetchOutcome::NotFound => HsdirAnswer::NotFound,
            FetchOutcome::Failed => HsdirAnswer::Failed,
            FetchOutcome::Invalid(_) => HsdirAnswer::Invalid,
        });
        awaited
    }

    /// Gives up HSDirs that have not answered in time. Returns their number.
    pub(super) fn give_up(&mut self, now: Duration) -> usize {
        let mut silent = 0;
        for asked in &mut self.sources {
            if matches!(asked.ask, Ask::Waiting { until } if until <= now) {
                asked.ask = Ask::Answered;
                asked.answer = Some(HsdirAnswer::Silent);
                silent += 1;
            }
        }
        silent
    }

    /// Notes that the look has confirmed the newest descriptor.
    pub(super) fn confirm(&mut self) {
        self.confirmed = true;
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Notes a valid answer of an HSDir. True if an invalid one was reported before.
    pub(super) fn note_valid(&mut self, source: Source) -> bool {
        self.get_mut(source).is_some_and(|asked| std::mem::take(&mut asked.reported))
    }

    /// Notes an invalid answer of an HSDir. True if it is the first since a valid one.
    pub(super) fn note_invalid(&mut self, source: Source) -> bool {
        self.get_mut(source).is_some_and(|asked| !std::mem::replace(&mut asked.reported, true))
    }

    /// Ends the look if no HSDir is left to ask or to wait for, and plans the next: sooner than usual after
    /// one without result. `None` if it goes on.
    pub(super) fn conclude(&mut self, cx: &mut Context<impl RngCore>) -> Option<Verdict> {
        if !self.looking || self.open().next().is_some() {
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
            |asked: &Asked| asked.ask == Ask::Answered && asked.answer == Some(HsdirAnswer::NotFound);
        let denied_by_all = !self.sources.is_empty() && self.sources.iter().all(denied);
        Some(Verdict { confirmed: self.confirmed, denied_by_all })
    }

    /// The time at which the next look is due; `None` if none is planned.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// The earliest time at which an HSDir has to be given up; `None` if none is waited for.
    pub(super) fn answer_by(&self) -> Option<Duration> {
        let waiting = self.sources.iter().filter_map(|asked| match asked.ask {
            Ask::Waiting { until } => Some(until),
            _ => None,
        });
        waiting.min()
    }

    pub(super) fn status(&self) -> Vec<SourceStatus> {
        let mut status: Vec<SourceStatus> = self
            .sources
            .iter()
            .map(|asked| SourceStatus { source: asked.source, answer: asked.answer })
            .collect();
        status.sort_unstable_by_key(|status| status.source);
        status
    }

    /// The HSDirs that the present look has yet to ask, or waits for.
    fn open(&self) -> impl Iterator<Item = &Asked> {
        self.sources.iter().filter(|asked| matches!(asked.ask, Ask::Wanted | Ask::Waiting { .. }))
    }

    fn get_mut(&mut self, source: Source) -> Option<&mut Asked> {
        self.sources.iter_mut().find(|asked| asked.source == source)
    }
}

impl Asked {
    fn new(source: Source) -> Self {
        Self { source, ask: Ask::No, answer: None, reported: false }
    }
}
