//! One descriptor of one service: what belongs on its HSDirs, and when it has to be uploaded.
//!
//! An upload counts when the HSDir has acknowledged it, or when that is proven, and not before. An upload
//! that is not acknowledged is tried again, HSDir by HSDir, with growing waits. One that is acknowledged is
//! left alone until the descriptor is due for renewal. All its HSDirs hold one revision: see [`rounds`].

mod refusals;
mod rounds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;

use self::refusals::ReadBack;
pub(super) use self::rounds::Batch;
use self::rounds::Round;
use super::context::Context;
use super::deadlines::earlier;
use super::event::{Found, Proof, UploadOutcome};
use super::id::{DescriptorSlot, PublicationId, ServiceId};
use super::notice::Notice;
use super::revision::Floor;
use super::status::{DescriptorStatus, HsdirStatus};
use super::upload::{Proven, Upload};

/// One descriptor of one service; `I` identifies an introduction point.
pub(super) struct Descriptor<I> {
    service: ServiceId,
    slot: DescriptorSlot,
    proof: Proof,
    hsdirs: BTreeMap<Fingerprint, Upload>,
    /// The sets of points that belong on the HSDirs, each on those whose number it has; none before they are
    /// chosen. A service's descriptors share them.
    sets: Arc<Vec<Vec<I>>>,
    /// When the sets were chosen, or an HSDir fell silent, until every HSDir has its own.
    incomplete_since: Option<Duration>,
    /// `None` before the first publication.
    round: Option<Round>,
    /// Whether another one is to follow as soon as an HSDir is due.
    round_wanted: bool,
    /// Whether the reason is that HSDirs lack the round and its texts are not kept any more.
    round_lost: bool,
    /// When the round is to be renewed.
    renew_at: Option<Duration>,
    /// The last publication.
    last: PublicationId,
    published: Option<Duration>,
    stored: Option<Duration>,
    revision: Option<u64>,
    floor: Floor,
    read_back: ReadBack,
    /// Since when notices have told that it is not on all its HSDirs, until [`Descriptor::take_short_since`].
    short_since: Option<Duration>,
    /// The last problem of the signer or tor, which is told once, and how often it has come in a row.
    problem: Option<String>,
    not_posted: u32,
    deadline: Option<Duration>,
    /// Whether it stands in the line of those that want to post.
    pub(super) in_line: bool,
}

impl<I: Eq> Descriptor<I> {
    /// A descriptor that has no HSDirs and no introduction points yet.
    pub(super) fn new(service: ServiceId, slot: DescriptorSlot, proof: Proof) -> Self {
        Self {
            service,
            slot,
            proof,
            hsdirs: BTreeMap::new(),
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
            short_since: None,
            problem: None,
            not_posted: 0,
            deadline: None,
            in_line: false,
        }
    }

    /// Takes the HSDirs of a new consensus: those that became responsible want an upload, as do those that
    /// tor did not know before. One that stays keeps the number of its set. A new one takes the lowest that
    /// is free; the numbers of a replica begin after those of the replicas before.
    pub(super) fn set_hsdirs(&mut self, now: Duration, listed: &[Fingerprint]) {
        if listed.len() == self.hsdirs.len() && self.hsdirs.keys().all(|hsdir| listed.contains(hsdir)) {
            return self.hsdirs.values_mut().for_each(|hsdir| hsdir.network_changed(now));
        }
        let listed: BTreeSet<Fingerprint> = listed.iter().copied().collect();
        self.hsdirs.retain(|fingerprint, _| listed.contains(fingerprint));
        let first = usize::from(self.slot.replica) * listed.len();
        let taken: BTreeSet<usize> = self.hsdirs.values().map(Upload::number).collect();
        let mut free = (first..).filter(|number| !taken.contains(number));
        for fingerprint in listed {
            let new = || Upload::new(now, free.next().unwrap_or(first));
            self.hsdirs.entry(fingerprint).or_insert_with(new).network_changed(now);
        }
    }

    /// How many HSDirs it belongs on.
    pub(super) fn hsdirs(&self) -> usize {
        self.hsdirs.len()
    }

    /// How many different sets there can be so that each HSDir of this replica, and of those before, has its
    /// own.
    pub(super) fn sets_wanted(&self) -> usize {
        self.hsdirs.len() * (1 + usize::from(self.slot.replica))
    }

    /// Puts these sets of points on the HSDirs, where they are not there already; at least one, and none of
    /// them empty.
    pub(super) fn set_points(&mut self, now: Duration, sets: &Arc<Vec<Vec<I>>>) {
        if self.sets != *sets {
            self.sets = Arc::clone(sets);
            self.incomplete_since = Some(now);
            self.want_round(now);
        }
    }

    /// The revision that the next publication is to exceed, if its HSDirs are known or supposed to hold any.
    pub(super) fn revision_floor(&self) -> Option<u64> {
        // A signer that was restarted does not know the revisions that it gave.
        self.floor.value().max(self.revision)
    }

    /// Tor accepted a publication: from now on HSDirs may answer.
    pub(super) fn posted(&mut self, cx: &mut Context<impl RngCore>, id: PublicationId, revision: u64) {
        self.revision = self.revision.max(Some(revision));
        self.note_revision(cx, id, revision);
        self.problem = None;
        self.not_posted = 0;
        let until = cx.now.elapsed + cx.timing.upload_timeout;
        for hsdir in self.hsdirs.values_mut().filter(|hsdir| hsdir.is_signing(id)) {
            hsdir.begin(id, until);
        }
    }

    /// Nothing was uploaded: all its HSDirs wait for the same moment. Where they wait for a later
    /// publication, that is no news.
    pub(super) fn not_posted(&mut self, cx: &mut Context<impl RngCore>, id: PublicationId, problem: String) {
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

    /// An HSDir's upload ended. `revision` is that of the publication; `None` before tor has accepted it.
    ///
    /// A success always counts, any other end only if the HSDir waits for this publication: tor does not
    /// cancel an upload that a later one replaces, so that its refusal may come after the later one's
    /// success.
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
            }
            _ if !awaited => {}
            UploadOutcome::Unclear => hsdir.try_again(cx),
            UploadOutcome::Failed => hsdir.fail(cx),
            UploadOutcome::Unknown => {
                hsdir.unknown();
                self.complete(cx);
            }
            UploadOutcome::Refused(reason) => self.refused(cx, id, fingerprint, revision, reason),
        }
    }

    /// The HSDirs that have to be read back now; from then on they stand in line for it.
    pub(super) fn queue_proofs(&mut self, now: Duration) -> Vec<Fingerprint> {
        if self.proof == Proof::Word {
            return Vec::new();
        }
        let due =
            self.hsdirs.iter_mut().filter_map(|(hsdir, upload)| upload.queue_proof(now).then_some(*hsdir));
        due.collect()
    }

    /// Begins to read back the set that an HSDir acknowledged; false if there is no need any more.
    pub(super) fn begin_proof(&mut self, cx: &Context<impl RngCore>, hsdir: Fingerprint) -> bool {
        let until = cx.now.elapsed + cx.timing.fetch_timeout;
        self.hsdirs.get_mut(&hsdir).is_some_and(|upload| upload.begin_proof(until))
    }

    /// A read-back ended: `found` is the descriptor on the HSDir, or the failure to find that out.
    pub(super) fn read_back(
        &mut self,
        cx: &mut Context<impl RngCore>,
        fingerprint: Fingerprint,
        found: &Found<I>,
    ) {
        match (self.hsdirs.get_mut(&fingerprint).filter(|hsdir| hsdir.is_proving()), found) {
            (Some(hsdir), _) => {
                let proven = hsdir.prove(cx, found, own_set(&self.sets, hsdir));
                self.proven(cx, fingerprint, proven);
            }
            (None, Found::Copy { revision, .. }) => self.revision_seen(cx, *revision),
            (None, _) => self.read_back_failed(cx),
        }
    }

    fn proven(&mut self, cx: &mut Context<impl RngCore>, hsdir: Fingerprint, proven: Proven) {
        let (service, slot) = (self.service.clone(), self.slot);
        match proven {
            Proven::Yes => self.settled(cx),
            Proven::BrokenWord { later: None } => {
                self.tell_short(cx, Notice::HsdirHasNone { service, slot, hsdir });
            }
            Proven::BrokenWord { later: Some(later) } => {
                self.tell_short(cx, Notice::HsdirHasOther { service, slot, hsdir, later });
            }
            Proven::No => {}
        }
    }

    /// Tor is gone: all that it had not finished has to be done again.
    pub(super) fn tor_lost(&mut self, now: Duration) {
        self.read_back = ReadBack::No;
        self.in_line = false;
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
        if matches!(self.read_back, ReadBack::Waiting { until } if until <= now) {
            self.read_back_failed(cx);
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.want_round(now);
        }
    }

    /// When [`Descriptor::tick`], [`Descriptor::is_due`] or [`Descriptor::queue_proofs`] has something new to
    /// say.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Works its deadline out, after anything has happened to it; `may_post` is whether a publication would
    /// be possible, `may_ask` whether a read-back.
    pub(super) fn set_deadline(&mut self, may_post: bool, may_ask: bool) {
        let may_post = may_post && !self.sets.is_empty() && !self.in_line && !self.awaits_signature();
        let read_back = match self.read_back {
            ReadBack::Waiting { until } => Some(until),
            _ => None,
        };
        let hsdirs = self.hsdirs.values().map(|hsdir| hsdir.deadline(may_post, may_ask));
        self.deadline = hsdirs.fold(earlier(read_back, self.renew_at), earlier);
    }

    pub(super) fn status(&self, now: Duration) -> DescriptorStatus {
        let hsdir = |(fingerprint, hsdir): (&Fingerprint, &Upload)| {
            let (state, revision) = hsdir.status();
            HsdirStatus { hsdir: *fingerprint, state, revision }
        };
        DescriptorStatus {
            slot: self.slot,
            published_ago: self.published.map(|published| now.saturating_sub(published)),
            stored_ago: self.stored.map(|stored| now.saturating_sub(stored)),
            revision: self.revision,
            hsdirs: self.hsdirs.iter().map(hsdir).collect(),
        }
    }

    /// Tells of something that keeps it from an HSDir.
    fn tell_short(&mut self, cx: &mut Context<impl RngCore>, notice: Notice) {
        self.short_since.get_or_insert(cx.now.elapsed);
        cx.notices.push(notice);
    }

    /// Since when notices have told that it is not on all its HSDirs, unless that was asked before.
    pub(super) fn take_short_since(&mut self) -> Option<Duration> {
        self.short_since.take()
    }

    /// Whether its set is on every HSDir that tor knows, and on one at least.
    pub(super) fn is_complete(&self) -> bool {
        self.hsdirs.values().all(|hsdir| hsdir.is_stored() || hsdir.is_unknown()) && self.stored_at() > 0
    }

    /// On how many HSDirs its set is.
    fn stored_at(&self) -> usize {
        self.hsdirs.values().filter(|hsdir| hsdir.is_stored()).count()
    }

    /// An HSDir has stored it.
    fn settled(&mut self, cx: &mut Context<impl RngCore>) {
        self.stored = Some(cx.now.elapsed);
        self.complete(cx);
    }

    /// Tells that the set is on every HSDir that tor knows, if it is.
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

/// The set that belongs on an HSDir.
fn own_set<'a, I>(sets: &'a [Vec<I>], hsdir: &Upload) -> Option<&'a [I]> {
    sets.get(hsdir.number().checked_rem(sets.len())?).map(Vec::as_slice)
}
