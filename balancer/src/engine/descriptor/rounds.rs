//! Rounds: all sets of a descriptor that are signed together have one revision.
//!
//! Tor's clients discard a fetched descriptor whose revision is below that of the one they hold; an equal one
//! takes its place (tor: `cache_store_as_client`). If each set had its own revision, a client that holds the
//! highest one and finds all its points dead could use no other set until its descriptor expires. So one
//! request to the signer has all sets of a descriptor, and its answer is a round.
//!
//! HSDirs take only a revision that is higher than the one they hold (tor: `cache_store_v3_as_dir`). This has
//! four consequences:
//! - An HSDir that lacks the round's revision gets it as it was signed: its upload has failed, or it has
//!   become responsible.
//! - An HSDir that holds the round's revision does not take it again. A renewal, other points or a higher
//!   revision that was seen elsewhere therefore begin another round, and every HSDir gets that.
//! - An HSDir may hold it unknown to us: its answer was lost, or it was responsible a short time ago. It gets
//!   the round as it was signed. If it refuses that, another round begins. If it refuses that one, too,
//!   it is read back. If it shows the round, it counts as holding it. If it shows something else, it refuses
//!   for another reason. If it cannot be read, another round begins after a wait that grows.
//! - If no HSDir holds the round's revision, or most refuse it, the next try is another round.
//!
//! The version-2 counter is the hour of publication. Its HSDirs and clients take an equal one, so rounds
//! are not needed there and do no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;

use super::super::capacity::Due;
use super::super::context::Context;
use super::super::event::Revision;
use super::super::id::PublicationId;
use super::super::timing::{self, Timing};
use super::super::upload::Upload;
use super::{Descriptor, Turn};

/// The last round: the sets of the last request to the signer.
pub(super) struct Round {
    /// The publication for which it was signed.
    id: PublicationId,
    /// The time at which that publication was handed out; once the revision is known, the time at which tor
    /// accepted it.
    began: Duration,
    /// The revision; `None` until the signer has given it.
    revision: Option<u64>,
    /// The numbers of the sets that were signed.
    sets: BTreeSet<usize>,
    /// [`Floor::value`](super::super::revision::Floor::value) at that time.
    floor: Option<u64>,
}

/// The contents of one publication.
pub(in super::super) struct Batch {
    pub(in super::super) revision: Revision,
    /// The sets by their numbers, each with the HSDirs that get it; at least one, and none of them empty.
    pub(in super::super) posts: BTreeMap<usize, Vec<Fingerprint>>,
}

impl<I: Eq> Descriptor<I> {
    /// True if an HSDir waits for an upload now, and nothing else has to come first.
    pub(in super::super) fn is_due(&self, now: Duration) -> bool {
        !self.sets.is_empty()
            && !self.awaits_signature()
            && self.hsdirs.values().any(|hsdir| hsdir.is_due(now))
    }

    /// The time at which it is due to be posted if it joins the line at `now`. If no HSDir has it yet, it is
    /// at once, and regardless of the pace if its service begins with it. It is soon if a few HSDirs lack it,
    /// and otherwise an hour before HSDirs forget the one they have, or within an hour.
    ///
    /// `is_first` is true if no descriptor of the service has been published. Otherwise a new one is that of
    /// the next period, which no client looks for yet. Those of all services come at the same time. They must
    /// not delay a descriptor that HSDirs are about to forget.
    pub(in super::super) fn post_by(&self, now: Duration, is_first: bool, timing: &Timing) -> Due {
        match &self.round {
            _ if self.turn == Turn::First => Due::Now,
            None if is_first => Due::By(now),
            None => Due::By(now + timing.republish_from / 2),
            Some(round) => {
                let within = if !self.round_wanted || self.round_lost { 2 } else { 1 };
                Due::By((round.began + timing.republish_to).min(now + timing.republish_from / within))
            }
        }
    }

    /// The publication that is due; `None` if none is. With a kept revision it is for the HSDirs that are due
    /// within [`Timing::batch`], with a new one for all that tor knows.
    pub(in super::super) fn plan(&self, cx: &Context<impl RngCore>) -> Option<Batch> {
        let now = cx.now.elapsed;
        if !self.is_due(now) {
            return None;
        }
        let soon = now + cx.timing.batch;
        let kept = self.kept_revision(soon);
        let mut posts: BTreeMap<usize, Vec<Fingerprint>> = BTreeMap::new();
        for (fingerprint, hsdir) in self.receivers(kept, soon) {
            let to = posts.entry(self.set_of(hsdir)?);
            to.or_insert_with(|| Vec::with_capacity(self.hsdirs.len())).push(*fingerprint);
        }
        let new = || Revision::New { floor: self.revision_floor() };
        Some(Batch { revision: kept.map_or_else(new, Revision::Kept), posts })
    }

    /// The number of HSDirs of the publication that is due; 0 if none is.
    pub(in super::super) fn circuits(&self, cx: &Context<impl RngCore>) -> usize {
        let (now, soon) = (cx.now.elapsed, cx.now.elapsed + cx.timing.batch);
        if self.is_due(now) { self.receivers(self.kept_revision(soon), soon).count() } else { 0 }
    }

    /// The HSDirs that get the `kept` revision if they are due by `soon`, or otherwise a new one.
    fn receivers(&self, kept: Option<u64>, soon: Duration) -> impl Iterator<Item = (&Fingerprint, &Upload)> {
        let gets_it =
            move |hsdir: &Upload| if kept.is_some() { hsdir.is_due(soon) } else { !hsdir.is_unknown() };
        self.hsdirs.iter().filter(move |(_, hsdir)| gets_it(hsdir))
    }

    /// Begins the planned publication, under the name `id`.
    pub(in super::super) fn begin(
        &mut self,
        cx: &mut Context<impl RngCore>,
        id: PublicationId,
        batch: &Batch,
    ) {
        let now = cx.now.elapsed;
        let is_new = matches!(batch.revision, Revision::New { .. });
        for fingerprint in batch.posts.values().flatten() {
            match self.hsdirs.get_mut(fingerprint) {
                Some(hsdir) if is_new => hsdir.sign_round(id),
                Some(hsdir) => hsdir.sign(id),
                None => {}
            }
        }
        if is_new {
            let sets = batch.posts.keys().copied().collect();
            self.round = Some(Round { id, began: now, revision: None, sets, floor: self.floor.value() });
            (self.round_wanted, self.round_lost) = (false, false);
            self.renew_at = None;
        }
        self.turn = Turn::Later;
        self.published = Some(now);
        self.last = id;
    }

    /// Demands a new revision on all HSDirs, from `at` on.
    pub(super) fn want_round(&mut self, at: Duration) {
        self.round_wanted = true;
        self.renew_at = None;
        for hsdir in self.hsdirs.values_mut() {
            hsdir.replace(at, PublicationId(self.last.0 + 1));
        }
    }

    /// Notes the revision that the signer gave publication `id`. If that is the round, its renewal counts
    /// from now on: before, it waited for the signer.
    pub(super) fn note_revision(&mut self, cx: &mut Context<impl RngCore>, id: PublicationId, revision: u64) {
        let Some(round) = self.round.as_mut().filter(|round| round.id == id) else { return };
        (round.began, round.revision) = (cx.now.elapsed, Some(revision));
        if !self.round_wanted {
            let wait = timing::between(&mut cx.rng, cx.timing.republish_from, cx.timing.republish_to);
            self.renew_at = Some(cx.now.elapsed + wait);
        }
    }

    /// Notes that the texts which publication `id` was to take to HSDirs are gone: another round has to be
    /// signed.
    pub(in super::super) fn not_kept(&mut self, cx: &Context<impl RngCore>, id: PublicationId) {
        if self.hsdirs.values().any(|hsdir| hsdir.is_signing(id)) {
            self.want_round(cx.now.elapsed);
            self.round_lost = true;
        }
    }

    /// Retries at HSDirs that refused an upload. Another round helps only if a higher revision is known of
    /// HSDirs than when the last one was signed, or if the HSDir may hold the last one. Otherwise it gets the
    /// last one again, because the descriptor that it holds expires.
    pub(super) fn retry_refused(&mut self, cx: &mut Context<impl RngCore>) {
        let floor = self.floor.value();
        let has_risen = floor > self.round.as_ref().and_then(|round| round.floor);
        let retries = self.hsdirs.values_mut().filter_map(|hsdir| hsdir.retry_refused(cx, floor));
        // All of them are retried, and not only the first.
        let retries: Vec<_> = retries.collect();
        let helped = retries.iter().filter(|retry| retry.may_hold || has_risen && retry.explained);
        if let Some(at) = helped.map(|retry| retry.at).min() {
            self.want_round(at);
        }
    }

    /// True if the round is being signed: its revision, which other HSDirs could get, is not known before.
    /// False if another round is wanted, which does not depend on it.
    pub(super) fn awaits_signature(&self) -> bool {
        let is_signed = |round: &Round| {
            round.revision.is_some() || !self.hsdirs.values().any(|hsdir| hsdir.is_signing(round.id))
        };
        !self.round_wanted && !self.round.as_ref().is_none_or(is_signed)
    }

    /// True if every HSDir that tor knows has acknowledged the round, even if another one is wanted.
    pub(super) fn is_round_taken(&self) -> bool {
        let is_taken =
            |round: &Round| self.hsdirs.values().all(|hsdir| hsdir.is_unknown() || hsdir.has_taken(round.id));
        self.round.as_ref().is_some_and(is_taken)
    }

    /// The round's revision if all HSDirs that are due by `soon` can get it; `None` if another round is
    /// needed.
    fn kept_revision(&self, soon: Duration) -> Option<u64> {
        let round = self.round.as_ref().filter(|_| !self.round_wanted)?;
        let is_held = self.hsdirs.values().any(Upload::is_in_step);
        let mut due = self.hsdirs.values().filter(|hsdir| hsdir.is_due(soon));
        let is_signed = due.all(|hsdir| self.set_of(hsdir).is_some_and(|set| round.sets.contains(&set)));
        let refusing = self.hsdirs.values().filter(|hsdir| hsdir.refuses_round()).count();
        let most_refuse = refusing * 2 >= self.hsdirs.len();
        round.revision.filter(|_| is_held && is_signed && !most_refuse)
    }

    /// The number of the set that belongs on an HSDir.
    pub(super) fn set_of(&self, hsdir: &Upload) -> Option<usize> {
        hsdir.number().checked_rem(self.sets.len())
    }
}
