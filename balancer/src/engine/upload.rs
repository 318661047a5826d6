//! How one descriptor stands at one of its HSDirs.

use std::time::Duration;

use rand_core::RngCore;

use super::Context;
use super::event::PublicationId;
use super::revision::Floor;
use super::status::UploadState;

/// One responsible HSDir.
pub(super) struct Upload {
    state: State,
    /// How many tries have failed in a row.
    failures: u32,
    /// Whether its last answer was a refusal.
    refusing: bool,
    /// The greatest revision that it has acknowledged.
    stored: Option<u64>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    /// Has to be uploaded from `at` on.
    Wanted { at: Duration },
    /// Being uploaded, unless no answer has come by `until`.
    Uploading { id: PublicationId, until: Duration },
    /// Refused, and why is being looked up.
    Refused { revision: u64 },
    /// Acknowledged.
    Stored,
    /// Tor does not know the relay.
    Unknown,
}

impl Upload {
    /// An HSDir that has become responsible.
    pub(super) fn new(now: Duration) -> Self {
        Self { state: State::Wanted { at: now }, failures: 0, refusing: false, stored: None }
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        matches!(self.state, State::Wanted { at } if at <= now)
    }

    pub(super) fn is_uploading(&self, id: PublicationId) -> bool {
        matches!(self.state, State::Uploading { id: current, .. } if current == id)
    }

    pub(super) fn is_stored(&self) -> bool {
        self.state == State::Stored
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.state == State::Unknown
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.refusing
    }

    /// The revision that was refused, while the reason is being looked up.
    pub(super) fn refused(&self) -> Option<u64> {
        match self.state {
            State::Refused { revision } => Some(revision),
            _ => None,
        }
    }

    /// Begins an upload; or gives it more time.
    pub(super) fn begin(&mut self, id: PublicationId, until: Duration) {
        self.state = State::Uploading { id, until };
    }

    /// Wants an upload from `at` on.
    pub(super) fn want(&mut self, at: Duration) {
        self.state = State::Wanted { at };
    }

    /// Wants to be renewed, unless tor does not know it; with `replace`, also while an upload is under way.
    pub(super) fn renew(&mut self, now: Duration, replace: bool) {
        match self.state {
            State::Unknown => {}
            State::Uploading { .. } if !replace => {}
            _ => self.want(now),
        }
    }

    /// A new consensus came: tor may know it now.
    pub(super) fn network_changed(&mut self, now: Duration) {
        if self.state == State::Unknown {
            self.want(now);
        }
    }

    /// Tor is gone: what was not acknowledged has to be done anew, and earlier failures may have been tor's.
    pub(super) fn tor_lost(&mut self, now: Duration) {
        if self.state != State::Stored {
            self.want(now);
            self.failures = 0;
        }
    }

    /// It acknowledged publication `id`, which had this `revision`; `current` is whether that carried what
    /// belongs here. Returns whether it has what belongs here.
    pub(super) fn stored(&mut self, id: PublicationId, revision: Option<u64>, current: bool) -> bool {
        self.stored = self.stored.max(revision);
        let awaits_later = matches!(self.state, State::Uploading { id: later, .. } if later > id);
        if current && !awaits_later {
            self.state = State::Stored;
            self.failures = 0;
            self.refusing = false;
        }
        self.state == State::Stored
    }

    pub(super) fn unknown(&mut self) {
        self.state = State::Unknown;
    }

    /// The upload failed.
    pub(super) fn fail(&mut self, cx: &mut Context<impl RngCore>) {
        self.failures = self.failures.saturating_add(1);
        self.state = State::Wanted { at: cx.retry_at(self.failures) };
    }

    /// Gives the upload up if its time is over.
    pub(super) fn tick(&mut self, cx: &mut Context<impl RngCore>) {
        if matches!(self.state, State::Uploading { until, .. } if until <= cx.now.elapsed) {
            self.fail(cx);
        }
    }

    /// It refused this revision. Returns whether that is news.
    pub(super) fn refuse(&mut self, revision: u64) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.state = State::Refused { revision };
        !std::mem::replace(&mut self.refusing, true)
    }

    /// Forgives earlier refusals: the next publication's revision will be much higher.
    pub(super) fn encourage(&mut self) {
        self.failures = self.failures.min(1);
    }

    /// Tries again after a refusal: soon, the first time that the floor explains it; late otherwise.
    pub(super) fn retry_refused(&mut self, cx: &mut Context<impl RngCore>, floor: &Floor) {
        let Some(revision) = self.refused() else { return };
        let soon = floor.covers(revision) && self.failures <= 1;
        // The others' refusals are about to come: one publication shall serve them all.
        let at = if soon { cx.now.elapsed + cx.timing.debounce } else { cx.retry_at(self.failures) };
        self.want(at);
    }

    /// When something is due; `may_post` is whether a publication would be possible.
    pub(super) fn deadline(&self, may_post: bool) -> Option<Duration> {
        match self.state {
            State::Uploading { until, .. } => Some(until),
            State::Wanted { at } if may_post => Some(at),
            _ => None,
        }
    }

    pub(super) fn status(&self) -> (UploadState, Option<u64>) {
        let state = match self.state {
            State::Wanted { .. } => UploadState::Pending { failures: self.failures },
            State::Uploading { .. } => UploadState::Uploading,
            State::Refused { .. } => UploadState::Refused,
            State::Stored => UploadState::Stored,
            State::Unknown => UploadState::Unknown,
        };
        (state, self.stored)
    }
}
