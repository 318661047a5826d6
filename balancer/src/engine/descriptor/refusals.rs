//! HSDirs that refuse a descriptor. The usual cause is a higher revision on them, which is looked up by
//! reading the descriptor back, and then exceeded.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;

use super::super::context::Context;
use super::super::event::Proof;
use super::super::notice::Notice;
use super::super::status::UploadProblem;
use super::super::upload::Upload;
use super::Descriptor;

/// The search for the revision at an HSDir that refused.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum ReadBack {
    No,
    Wanted,
    InLine,
    Waiting { until: Duration },
}

impl ReadBack {
    /// The time at which it is given up; `None` if it was not begun.
    pub(super) fn until(self) -> Option<Duration> {
        match self {
            Self::Waiting { until } => Some(until),
            Self::No | Self::Wanted | Self::InLine => None,
        }
    }
}

impl<I: Eq> Descriptor<I> {
    /// Notes that an HSDir refused an upload. `revision` is that of the publication; `None` before tor has
    /// accepted it.
    pub(super) fn refused(
        &mut self,
        cx: &mut Context<impl RngCore>,
        fingerprint: Fingerprint,
        revision: Option<u64>,
        reason: String,
    ) {
        let Some(hsdir) = self.hsdirs.get_mut(&fingerprint) else { return };
        // Without a revision, the refusal came before tor's acceptance of the descriptor, and means nothing.
        let Some(revision) = revision else { return hsdir.fail(cx, UploadProblem::Refused) };
        // Its answer came so late that it was sent the same descriptor again, and a v3 HSDir refuses an equal
        // revision. A v2 HSDir takes one: revisions are hours there, which descriptors with other points
        // share. So its refusal has another reason.
        if self.proof == Proof::Word && hsdir.has_acknowledged(revision) {
            hsdir.settle();
            return self.settled(cx);
        }
        hsdir.failed_by(UploadProblem::Refused);
        // An HSDir that is silent and refuses by turns causes one round at once. Then it is read back.
        if hsdir.excuse_refusal() {
            // The others' refusals are about to come.
            return self.want_round(cx.now.elapsed + cx.timing.debounce);
        }
        if hsdir.refuse(revision) {
            let (service, slot) = (self.service.clone(), self.slot);
            self.tell_short(cx, Notice::HsdirRefuses { service, slot, hsdir: fingerprint, reason });
        }
        if self.floor.covers(revision) {
            self.retry_refused(cx);
        } else if self.read_back == ReadBack::No {
            self.read_back = ReadBack::Wanted;
        }
    }

    /// Moves the wish for a read-back into the line of fetches. True if there is one.
    pub(in super::super) fn queue_read_back(&mut self) -> bool {
        let wanted = self.read_back == ReadBack::Wanted;
        if wanted {
            self.read_back = ReadBack::InLine;
        }
        wanted
    }

    /// The HSDir from which to read our own descriptor back; `None` if none refuses it any more.
    pub(in super::super) fn begin_read_back(&mut self, cx: &Context<impl RngCore>) -> Option<Fingerprint> {
        self.read_back = ReadBack::No;
        let (fingerprint, _) = self.hsdirs.iter().find(|(_, hsdir)| hsdir.refused().is_some())?;
        self.read_back = ReadBack::Waiting { until: cx.now.elapsed + cx.timing.fetch_timeout };
        Some(*fingerprint)
    }

    /// Notes that an HSDir which was read back has something else than what it refused, or nothing.
    pub(super) fn lacks_round(&mut self, fingerprint: Fingerprint) {
        let refusing = |hsdir: &&mut Upload| hsdir.refused().is_some();
        if let Some(hsdir) = self.hsdirs.get_mut(&fingerprint).filter(refusing) {
            hsdir.lacks_round();
        }
    }

    /// Notes the revision of our own descriptor on an HSDir. HSDirs that refused a lower one get a higher one
    /// soon; the others had other reasons, which may go away with time.
    pub(super) fn revision_seen(&mut self, cx: &mut Context<impl RngCore>, revision: u64) {
        self.floor.see(revision);
        self.read_back = ReadBack::No;
        self.retry_refused(cx);
    }

    /// Notes that no revision was found. If most HSDirs refuse, the revision must be the reason, and a higher
    /// one is guessed. A single HSDir is not worth a guess, and not to be trusted with one.
    pub(super) fn read_back_failed(&mut self, cx: &mut Context<impl RngCore>) {
        self.read_back = ReadBack::No;
        let refusing = self.hsdirs.values().filter(|hsdir| hsdir.is_refusing()).count();
        let highest = self.hsdirs.values().filter_map(Upload::refused).max();
        let most_refuse = refusing * 2 >= self.hsdirs.len();
        if most_refuse && highest.is_some_and(|revision| self.floor.raise(cx.now.elapsed, revision)) {
            for hsdir in self.hsdirs.values_mut().filter(|hsdir| hsdir.refused().is_some()) {
                hsdir.encourage();
            }
        }
        self.retry_refused(cx);
    }
}
