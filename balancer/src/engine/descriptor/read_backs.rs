//! Descriptors that are read back from HSDirs: the proof of an acknowledgement, or another descriptor in its
//! place.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;

use super::super::context::Context;
use super::super::event::{Found, Proof};
use super::super::notice::Notice;
use super::super::upload::{Proven, Upload};
use super::Descriptor;

impl<I: Eq> Descriptor<I> {
    /// The HSDirs that have to be read back now. They then count as waiting in the line for that.
    pub(in super::super) fn queue_proofs(&mut self, now: Duration) -> Vec<Fingerprint> {
        if self.proof == Proof::Word {
            return Vec::new();
        }
        let due =
            self.hsdirs.iter_mut().filter_map(|(hsdir, upload)| upload.queue_proof(now).then_some(*hsdir));
        due.collect()
    }

    /// Begins to read back the set that an HSDir acknowledged. False if that is no longer needed.
    pub(in super::super) fn begin_proof(&mut self, cx: &Context<impl RngCore>, hsdir: Fingerprint) -> bool {
        let until = cx.now.elapsed + cx.timing.fetch_timeout;
        self.hsdirs.get_mut(&hsdir).is_some_and(|upload| upload.begin_proof(until))
    }

    /// Notes the end of a read-back: `found` is the descriptor on the HSDir, or the failure to fetch it.
    pub(in super::super) fn read_back(
        &mut self,
        cx: &mut Context<impl RngCore>,
        fingerprint: Fingerprint,
        found: &Found<I>,
    ) {
        let sets = &self.sets;
        let is_answered =
            |hsdir: &&mut Upload| hsdir.is_proving() || hsdir.is_proven_by(found, own_set(sets, hsdir));
        match (self.hsdirs.get_mut(&fingerprint).filter(is_answered), found) {
            (Some(hsdir), _) => {
                let refused = hsdir.refused();
                let proven = hsdir.prove(cx, found, own_set(sets, hsdir));
                let is_others = match (proven, found) {
                    (Proven::BrokenWord { .. }, Found::Copy { revision, .. }) => {
                        self.found_instead(cx, fingerprint, *revision)
                    }
                    _ => false,
                };
                if !is_others {
                    self.proven(cx, fingerprint, proven);
                }
                // Others that refused may hold that revision as well.
                if let Some(revision) = refused {
                    self.revision_seen(cx, revision);
                }
            }
            (None, Found::Copy { revision, .. }) => {
                self.found_instead(cx, fingerprint, *revision);
                self.lacks_round(fingerprint);
                self.revision_seen(cx, *revision);
            }
            (None, Found::Nothing) => {
                self.lacks_round(fingerprint);
                self.read_back_failed(cx);
            }
            (None, Found::Sealed | Found::Failed) => self.read_back_failed(cx),
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

    /// Notes that an HSDir has this revision in place of the one that it refused or acknowledged. True if
    /// another publisher has put it there.
    fn found_instead(&mut self, cx: &mut Context<impl RngCore>, hsdir: Fingerprint, revision: u64) -> bool {
        let has_held_ours = self.hsdirs.get_mut(&hsdir).is_some_and(|upload| upload.has_held_ours());
        let is_others = has_held_ours && self.others.found(cx.now.elapsed, revision, self.revision);
        if is_others {
            let (service, slot) = (self.service.clone(), self.slot);
            self.tell_short(cx, Notice::OtherPublisher { service, slot, hsdir });
        }
        is_others
    }
}

/// The set that belongs on an HSDir; `None` before it is chosen.
fn own_set<'a, I>(sets: &'a [Vec<I>], hsdir: &Upload) -> Option<&'a [I]> {
    sets.get(hsdir.number().checked_rem(sets.len())?).map(Vec::as_slice)
}
