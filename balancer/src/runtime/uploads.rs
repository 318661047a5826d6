//! Which upload an event tells of.
//!
//! Tor's `UPLOADED` names the service and the HSDir, not the descriptor, and an upload that a newer one supersedes goes on
//! all the same. Where one HSDir is sent more than one thing, the event proves nothing until the fate of all is known; and
//! that may never be, for tor says nothing of an upload that it could not carry out. `FAILED` names the descriptor in
//! version 3 only.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{PublicationId, ServiceId};
use crate::relay::Fingerprint;
use crate::tor::event::DescriptorId;

/// An upload of which nothing was heard for so long never ends: tor looks for circuits to the HSDir for two minutes
/// (`SocksTimeout`), and may try the last one for 15 seconds more.
const GIVEN_UP: Duration = Duration::from_secs(140);
/// Of uploads that began this far apart the first may never end. Those that began together are slow together.
const APART: Duration = Duration::from_secs(10);

/// What an HSDir's success is that of.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Success {
    /// All of these, and all that is known by now.
    Of(Vec<PublicationId>),
    /// One or more of these. Nothing may ever be heard of the others, and none is awaited any more.
    Unclear(Vec<PublicationId>),
}

/// The uploads that are under way.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    at: HashMap<(ServiceId, Fingerprint), AtHsdir>,
}

#[derive(Debug, Default)]
struct AtHsdir {
    /// In the order in which they were begun.
    awaited: Vec<Awaited>,
    /// How many of these succeeded, without its being known which.
    uploaded: usize,
}

#[derive(Debug)]
struct Awaited {
    id: PublicationId,
    descriptor: DescriptorId,
    begun: Instant,
}

impl Uploads {
    /// An upload of `descriptor` begins.
    pub(super) fn expect(
        &mut self,
        service: &ServiceId,
        descriptor: &DescriptorId,
        id: PublicationId,
        hsdirs: &[Fingerprint],
        now: Instant,
    ) {
        for hsdir in hsdirs {
            let at = self.at.entry((service.clone(), *hsdir)).or_default();
            let before = at.awaited.len();
            at.awaited.retain(|awaited| now.duration_since(awaited.begun) < GIVEN_UP);
            if at.awaited.len() < before {
                // Which of them had succeeded will never be known.
                at.uploaded = 0;
            }
            at.awaited.push(Awaited { id, descriptor: descriptor.clone(), begun: now });
        }
    }

    /// Nothing was uploaded to these HSDirs after all. The result is what is now known to be stored, and where.
    pub(super) fn withdraw(
        &mut self,
        service: &ServiceId,
        id: PublicationId,
        hsdirs: &[Fingerprint],
    ) -> Vec<(PublicationId, Fingerprint)> {
        let mut stored = Vec::new();
        for hsdir in hsdirs {
            if let Some(at) = self.at.get_mut(&(service.clone(), *hsdir)) {
                at.awaited.retain(|awaited| awaited.id != id);
                stored.extend(at.settle().into_iter().map(|id| (id, *hsdir)));
            }
            self.forget_if_done(service, *hsdir);
        }
        stored
    }

    /// The HSDir took one of the service's descriptors.
    pub(super) fn uploaded(&mut self, service: &ServiceId, hsdir: Fingerprint) -> Success {
        let Some(at) = self.at.get_mut(&(service.clone(), hsdir)) else { return Success::Of(Vec::new()) };
        at.uploaded += 1;
        let stored = at.settle();
        let unclear = if stored.is_empty() { at.give_up() } else { None };
        let success = unclear.map_or(Success::Of(stored), Success::Unclear);
        self.forget_if_done(service, hsdir);
        success
    }

    /// The upload of `descriptor`, or of one that tor does not name, failed there. The result is which one that was, and
    /// what is now known to be stored.
    /// If several are awaited, the newest is said to have failed: to try once too often does no harm.
    pub(super) fn failed(
        &mut self,
        service: &ServiceId,
        hsdir: Fingerprint,
        descriptor: Option<&DescriptorId>,
    ) -> Option<(PublicationId, Vec<PublicationId>)> {
        let at = self.at.get_mut(&(service.clone(), hsdir))?;
        let index =
            at.awaited.iter().rposition(|awaited| descriptor.is_none_or(|id| awaited.descriptor == *id))?;
        let failed = at.awaited.remove(index).id;
        let stored = at.settle();
        self.forget_if_done(service, hsdir);
        Some((failed, stored))
    }

    /// Everything under way is void.
    pub(super) fn clear(&mut self) {
        self.at.clear();
    }

    fn forget_if_done(&mut self, service: &ServiceId, hsdir: Fingerprint) {
        if self.at.get(&(service.clone(), hsdir)).is_some_and(|at| at.awaited.is_empty()) {
            self.at.remove(&(service.clone(), hsdir));
        }
    }
}

impl AtHsdir {
    /// Takes all that is awaited, if there is no use in waiting for the rest.
    fn give_up(&mut self) -> Option<Vec<PublicationId>> {
        let (first, last) = self.awaited.first().zip(self.awaited.last())?;
        if last.begun.duration_since(first.begun) < APART {
            return None;
        }
        self.uploaded = 0;
        Some(self.awaited.drain(..).map(|awaited| awaited.id).collect())
    }

    /// What is stored, once as many have succeeded as are awaited.
    fn settle(&mut self) -> Vec<PublicationId> {
        if self.uploaded < self.awaited.len() {
            return Vec::new();
        }
        self.uploaded = 0;
        self.awaited.drain(..).map(|awaited| awaited.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HSDIR: Fingerprint = Fingerprint([1; 20]);
    const FIRST: PublicationId = PublicationId(1);
    const SECOND: PublicationId = PublicationId(2);
    const NEWER: PublicationId = PublicationId(3);

    /// Uploads to one HSDir of one service: what began after how many seconds.
    fn awaiting(begun: &[(PublicationId, &str, u64)]) -> (Uploads, impl Fn(&str) -> DescriptorId) {
        let start = Instant::now();
        let id = |text: &str| DescriptorId::from(text);
        let mut uploads = Uploads::default();
        for (publication, descriptor, after) in begun {
            let now = start + Duration::from_secs(*after);
            uploads.expect(&service(), &id(descriptor), *publication, &[HSDIR], now);
        }
        (uploads, id)
    }

    fn of(ids: &[PublicationId]) -> Success {
        Success::Of(ids.to_vec())
    }

    fn service() -> ServiceId {
        ServiceId::from("front.onion")
    }

    #[test]
    fn one_upload_is_told_at_once() {
        let (mut uploads, _) = awaiting(&[(FIRST, "a", 0)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST]));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert!(uploads.at.is_empty());
    }

    #[test]
    fn two_descriptors_are_told_apart_when_both_are_done() {
        let both = [(FIRST, "a", 0), (SECOND, "b", 0)];
        let (mut uploads, _) = awaiting(&both);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST, SECOND]));
        let (mut uploads, id) = awaiting(&both);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id("a"))), Some((FIRST, vec![SECOND])));
        let (mut uploads, id) = awaiting(&both);
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id("b"))), Some((SECOND, vec![])));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST]));
        assert!(uploads.at.is_empty());
    }

    #[test]
    fn a_superseded_upload_does_not_stand_for_the_newer_one() {
        let (mut uploads, _) = awaiting(&[(FIRST, "a", 0), (NEWER, "a", 1)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST, NEWER]));
        let (mut uploads, id) = awaiting(&[(FIRST, "a", 0), (NEWER, "a", 1)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id("a"))), Some((NEWER, vec![FIRST])));
    }

    #[test]
    fn an_upload_without_an_end_is_given_up() {
        let (mut uploads, _) = awaiting(&[(FIRST, "a", 0), (NEWER, "a", 200)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[NEWER]));
    }

    #[test]
    fn nothing_is_held_back_for_an_upload_that_may_be_dead() {
        for second in ["a", "b"] {
            let both = [(FIRST, "a", 0), (SECOND, second, 80)];
            let (mut uploads, id) = awaiting(&both);
            assert_eq!(uploads.uploaded(&service(), HSDIR), Success::Unclear(vec![FIRST, SECOND]));
            // What is heard of them now comes too late.
            assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
            assert_eq!(uploads.failed(&service(), HSDIR, Some(&id(second))), None);
            uploads.expect(&service(), &id("a"), NEWER, &[HSDIR], Instant::now());
            assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[NEWER]));
        }
    }

    #[test]
    fn a_withdrawn_upload_leaves_the_others_known() {
        let (mut uploads, _) = awaiting(&[(FIRST, "a", 0), (NEWER, "a", 1)]);
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[]));
        assert_eq!(uploads.withdraw(&service(), NEWER, &[HSDIR]), [(FIRST, HSDIR)]);
        assert!(uploads.at.is_empty());
    }

    #[test]
    fn a_failure_without_a_name_is_the_newest_ones() {
        let (mut uploads, _) = awaiting(&[(FIRST, "a", 0), (SECOND, "b", 0)]);
        assert_eq!(uploads.failed(&service(), HSDIR, None), Some((SECOND, vec![])));
        assert_eq!(uploads.uploaded(&service(), HSDIR), of(&[FIRST]));
    }

    #[test]
    fn a_withdrawn_upload_is_not_awaited() {
        let (mut uploads, id) = awaiting(&[(FIRST, "a", 0)]);
        assert_eq!(uploads.withdraw(&service(), FIRST, &[HSDIR]), []);
        assert!(uploads.at.is_empty());
        assert_eq!(uploads.failed(&service(), HSDIR, Some(&id("a"))), None);
    }
}
