//! One descriptor of one service: the sets that belong on its HSDirs, and the times at which it has to be
//! uploaded.
//!
//! An upload counts only after the HSDir has acknowledged it, or after that is proven. An upload that is not
//! acknowledged is retried, HSDir by HSDir, with growing waits. One that is acknowledged is left alone until
//! the descriptor is due for renewal. All its HSDirs hold one revision: see [`rounds`].

mod hsdirs;
mod others;
mod read_backs;
mod refusals;
mod rounds;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;

use self::hsdirs::Hsdirs;
use self::others::Others;
use self::refusals::ReadBack;
use self::rounds::Round;
use super::capacity::Place;
use super::context::Context;
use super::event::{Proof, UploadOutcome};
use super::id::{DescriptorSlot, PublicationId, ServiceId};
use super::notice::Notice;
use super::revision::Floor;
use super::status::{DescriptorStatus, HsdirStatus, UploadProblem};
use super::timers::{DescriptorTimer, Timer, earliest, ended};
use super::upload::Upload;

/// One descriptor of one service; `I` identifies an introduction point.
pub(super) struct Descriptor<I> {
    service: ServiceId,
    slot: DescriptorSlot,
    proof: Proof,
    hsdirs: Hsdirs,
    /// The sets of points that belong on the HSDirs, each on those with its number; empty before they are
    /// chosen. A service's descriptors share them.
    sets: Arc<Vec<Vec<I>>>,
    /// The time at which the sets were chosen, or at which an HSDir fell silent; `None` once every HSDir has
    /// its own set.
    incomplete_since: Option<Duration>,
    /// The last round; `None` before the first publication.
    round: Option<Round>,
    /// True if another round is to follow as soon as an HSDir is due.
    round_wanted: bool,
    /// True if the reason is that HSDirs lack the round and its texts are no longer kept.
    round_lost: bool,
    /// The time at which the round is to be renewed; `None` if it is not.
    renew_at: Option<Duration>,
    /// The name of the last publication.
    last: PublicationId,
    published: Option<Duration>,
    stored: Option<Duration>,
    revision: Option<u64>,
    floor: Floor,
    read_back: ReadBack,
    others: Others,
    /// The time of the first notice that it is not on all its HSDirs; `None` without one, or after
    /// [`Descriptor::take_short_since`].
    short_since: Option<Duration>,
    /// The last problem of the signer or tor, which is reported once, and the number of times that it has
    /// come in a row.
    problem: Option<String>,
    not_posted: u32,
    deadline: Option<Duration>,
    turn: Turn,
    /// Its place in the line of posts; `None` if it is not in it.
    pub(super) in_line: Option<Place>,
}

/// The turn of a descriptor's next publication in the life of its service.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Turn {
    /// It was never published, and nothing of its service was when it came.
    First,
    /// It was published, or it came later.
    Later,
}

impl<I: Eq> Descriptor<I> {
    /// A descriptor without HSDirs and without introduction points.
    pub(super) fn new(service: ServiceId, slot: DescriptorSlot, proof: Proof, turn: Turn) -> Self {
        Self {
            service,
            slot,
            proof,
            hsdirs: Hsdirs::new(),
            sets: Arc::new(Vec::new()),
            incomplete_since: None,
            round: None,
            round_wanted: false,
            round_lost: false,
            renew_at: None,
            last: PublicationId(0),
            published: None,
            stored: None,
            revision: None,
            floor: Floor::default(),
            read_back: ReadBack::No,
            others: Others::default(),
            short_since: None,
            problem: None,
            not_posted: 0,
            deadline: None,
            turn,
            in_line: None,
        }
    }

    /// Takes the HSDirs of a new consensus. Those that became responsible need an upload, and so do those
    /// that tor did not know before. One that stays keeps the number of its set. A new one takes the lowest
    /// free number; the numbers of a replica begin after those of the replicas before.
    pub(super) fn set_hsdirs(&mut self, now: Duration, listed: &[Fingerprint]) {
        if listed.len() == self.hsdirs.len() && self.hsdirs.keys().all(|hsdir| listed.contains(hsdir)) {
            return self.hsdirs.values_mut().for_each(|hsdir| hsdir.network_changed(now));
        }
        let listed: BTreeSet<Fingerprint> = listed.iter().copied().collect();
        self.hsdirs.retain(|fingerprint| listed.contains(fingerprint));
        let first = usize::from(self.slot.replica) * listed.len();
        let taken: BTreeSet<usize> = self.hsdirs.values().map(Upload::number).collect();
        let mut free = (first..).filter(|number| !taken.contains(number));
        for fingerprint in listed {
            self.hsdirs.add(fingerprint, || Upload::new(now, free.next().unwrap_or(first)));
        }
        self.hsdirs.values_mut().for_each(|hsdir| hsdir.network_changed(now));
    }

    /// Its slot in the service.
    pub(super) fn slot(&self) -> DescriptorSlot {
        self.slot
    }

    /// [`Turn::First`] if its next publication is one of those that its service begins with.
    pub(super) fn turn(&self) -> Turn {
        self.turn
    }

    /// The number of its HSDirs.
    pub(super) fn hsdirs(&self) -> usize {
        self.hsdirs.len()
    }

    /// The numbers of the sets that belong on its HSDirs.
    pub(super) fn sets_of_hsdirs(&self) -> impl Iterator<Item = usize> {
        self.hsdirs.values().filter_map(|hsdir| self.set_of(hsdir))
    }

    /// The number of different sets that gives each HSDir of this replica, and of those before, a set of its
    /// own.
    pub(super) fn sets_wanted(&self) -> usize {
        self.hsdirs.len() * (1 + usize::from(self.slot.replica))
    }

    /// Puts these sets of points on the HSDirs that do not have them already; at least one set, and none of
    /// them empty.
    pub(super) fn set_points(&mut self, now: Duration, sets: &Arc<Vec<Vec<I>>>) {
        if self.sets != *sets {
            self.sets = Arc::clone(sets);
            self.incomplete_since = Some(now);
            self.want_round(now);
        }
    }

    /// The revision that the next publication has to exceed; `None` if its HSDirs are neither known nor
    /// supposed to hold any.
    pub(super) fn revision_floor(&self) -> Option<u64> {
        // A signer that was restarted does not know the revisions that it gave.
        self.floor.value().max(self.revision)
    }

    /// Notes that tor accepted a publication: from now on HSDirs may answer.
    pub(super) fn posted(&mut self, cx: &mut Context<impl RngCore>, id: PublicationId, revision: u64) {
        if self.revision < Some(revision) {
            self.revision = Some(revision);
            self.others.posted_higher();
        }
        self.note_revision(cx, id, revision);
        self.problem = None;
        self.not_posted = 0;
        let until = cx.now.elapsed + cx.timing.upload_timeout;
        for hsdir in self.hsdirs.values_mut().filter(|hsdir| hsdir.is_signing(id)) {
            hsdir.begin(id, until);
        }
    }

    /// Notes that nothing was uploaded: all HSDirs of the publication wait for the same time. If they wait
    /// for a later publication, this does not matter.
    pub(super) fn not_posted(&mut self, cx: &mut Context<impl RngCore>, id: PublicationId, problem: String) {
        self.others.not_posted();
        if !self.hsdirs.values().any(|hsdir| hsdir.is_signing(id)) {
            return;
        }
        self.not_posted = self.not_posted.saturating_add(1);
        let at = cx.offer_at(self.not_posted);
        for hsdir in self.hsdirs.values_mut().filter(|hsdir| hsdir.is_signing(id)) {
            hsdir.want(at);
        }
        if self.problem.as_ref() != Some(&problem) {
            self.problem = Some(problem.clone());
            let service = self.service.clone();
            self.tell_short(cx, Notice::NotPosted { service, slot: self.slot, problem });
        }
    }

    /// Notes the end of an HSDir's upload. `revision` is that of the publication; `None` before tor has
    /// accepted it.
    ///
    /// A success always counts. Any other end counts only if the HSDir waits for this publication: tor does
    /// not cancel an upload that a later one replaces, so its refusal may come after the later one's success.
    pub(super) fn uploaded(
        &mut self,
        cx: &mut Context<impl RngCore>,
        id: PublicationId,
        revision: Option<u64>,
        fingerprint: Fingerprint,
        outcome: UploadOutcome,
    ) {
        let Some(hsdir) = self.hsdirs.get_mut(&fingerprint) else { return };
        hsdir.answered();
        let awaited = hsdir.awaits(id);
        match outcome {
            UploadOutcome::Stored => {
                if hsdir.stored(cx.now.elapsed, id, revision, self.proof) {
                    self.settled(cx);
                }
                if self.is_round_taken() {
                    self.floor.accepted();
                }
            }
            _ if !awaited => {}
            UploadOutcome::Unclear => hsdir.try_again(cx),
            UploadOutcome::Failed => hsdir.fail(cx, UploadProblem::Failed),
            UploadOutcome::Unknown => {
                hsdir.unknown();
                self.complete(cx);
            }
            UploadOutcome::Refused(reason) => self.refused(cx, fingerprint, revision, reason),
        }
    }

    /// Notes that tor is lost: unfinished uploads have to be repeated.
    pub(super) fn tor_lost(&mut self, now: Duration) {
        self.read_back = ReadBack::No;
        self.in_line = None;
        self.others.not_posted();
        for hsdir in self.hsdirs.values_mut() {
            hsdir.tor_lost(now);
        }
    }

    /// Gives up uploads and read-backs that were not answered in time, and begins the renewal when it is due.
    pub(super) fn tick(&mut self, cx: &mut Context<impl RngCore>) {
        let now = cx.now.elapsed;
        let fell_silent = |(hsdir, upload): (&Fingerprint, &mut Upload)| upload.tick(cx).then_some(*hsdir);
        let silent: Vec<_> = self.hsdirs.iter_mut().filter_map(fell_silent).collect();
        if !silent.is_empty() {
            self.incomplete_since.get_or_insert(now);
            let (service, slot) = (self.service.clone(), self.slot);
            self.tell_short(cx, Notice::HsdirsSilent { service, slot, hsdirs: silent });
        }
        for timer in ended(self.timers(), now) {
            match timer {
                DescriptorTimer::ReadBack => self.read_back_failed(cx),
                DescriptorTimer::Renewal => self.want_round(now),
            }
        }
    }

    fn timers(&self) -> [Timer<DescriptorTimer>; 2] {
        [(DescriptorTimer::ReadBack, self.read_back.until()), (DescriptorTimer::Renewal, self.renew_at)]
    }

    /// The next time at which [`Descriptor::tick`], [`Descriptor::is_due`] or [`Descriptor::queue_proofs`]
    /// has a new result; `None` if there is none.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Computes the deadline, after any change. `may_post` is true if a publication would be possible,
    /// `may_ask` if a read-back would.
    pub(super) fn set_deadline(&mut self, may_post: bool, may_ask: bool) {
        let may_post =
            may_post && !self.sets.is_empty() && self.in_line.is_none() && !self.awaits_signature();
        let hsdirs = self.hsdirs.values().filter_map(|hsdir| hsdir.deadline(may_post, may_ask));
        self.deadline = hsdirs.chain(earliest(self.timers())).min();
    }

    pub(super) fn status(&self, now: Duration) -> DescriptorStatus {
        let hsdir = |(fingerprint, hsdir): (&Fingerprint, &Upload)| {
            let (state, revision) = hsdir.status();
            HsdirStatus { hsdir: *fingerprint, state, revision, problem: hsdir.problem() }
        };
        DescriptorStatus {
            slot: self.slot,
            published_ago: self.published.map(|published| now.saturating_sub(published)),
            stored_ago: self.stored.map(|stored| now.saturating_sub(stored)),
            incomplete_for: self.incomplete_since.map(|since| now.saturating_sub(since)),
            renewal_in: self.renew_at.map(|at| at.saturating_sub(now)),
            revision: self.revision,
            sets: self.sets.len(),
            points: self.sets.iter().map(Vec::len).max().unwrap_or(0),
            other_ago: self.others.seen().map(|seen| now.saturating_sub(seen)),
            hsdirs: self.hsdirs.iter().map(hsdir).collect(),
        }
    }

    /// Gives a notice of a reason that keeps it from an HSDir.
    fn tell_short(&mut self, cx: &mut Context<impl RngCore>, notice: Notice) {
        self.short_since.get_or_insert(cx.now.elapsed);
        cx.notices.push(notice);
    }

    /// The time of the first notice that it is not on all its HSDirs; `None` if that was taken before.
    pub(super) fn take_short_since(&mut self) -> Option<Duration> {
        self.short_since.take()
    }

    /// True if it has been published.
    pub(super) fn is_published(&self) -> bool {
        self.round.is_some()
    }

    /// True if its set is on every HSDir that tor knows, and on at least one.
    pub(super) fn is_complete(&self) -> bool {
        self.hsdirs.values().all(|hsdir| hsdir.is_stored() || hsdir.is_unknown()) && self.stored_at() > 0
    }

    /// The number of HSDirs that have its set.
    fn stored_at(&self) -> usize {
        self.hsdirs.values().filter(|hsdir| hsdir.is_stored()).count()
    }

    /// Notes that an HSDir has stored it.
    fn settled(&mut self, cx: &mut Context<impl RngCore>) {
        self.stored = Some(cx.now.elapsed);
        self.complete(cx);
    }

    /// Gives a notice if the set is on every HSDir that tor knows.
    fn complete(&mut self, cx: &mut Context<impl RngCore>) {
        if !self.is_complete() {
            return;
        }
        self.floor.accepted();
        if let Some(since) = self.incomplete_since.take() {
            cx.notices.push(Notice::DescriptorComplete {
                service: self.service.clone(),
                slot: self.slot,
                hsdirs: self.stored_at(),
                after: cx.now.elapsed.saturating_sub(since),
            });
        }
    }
}
