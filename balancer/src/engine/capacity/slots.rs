//! The requests that are outstanding at tor, each of which takes a slot: one for a circuit.

use std::time::Duration;

use super::super::deadlines::Deadlines;
use super::super::event::{BackendId, DescriptorSlot, PublicationId, ServiceId, Source};
use super::super::registry::Number;
use crate::relay::Fingerprint;

/// Something that tor was asked for, at one HSDir.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum Request {
    /// To upload a descriptor.
    Upload(PublicationId, Fingerprint),
    /// To fetch a backend's descriptor.
    Look(Number<BackendId>, Source),
    /// To fetch one of our own.
    ReadBack(Number<ServiceId>, DescriptorSlot, Fingerprint),
}

/// Which of the three lines a request comes from, in the order in which they are served.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum Kind {
    Post,
    Look,
    ReadBack,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Post, Self::Look, Self::ReadBack];
}

impl Request {
    fn kind(&self) -> Kind {
        match self {
            Self::Upload(..) => Kind::Post,
            Self::Look(..) => Kind::Look,
            Self::ReadBack(..) => Kind::ReadBack,
        }
    }
}

/// For how long after its slot has become free a request may be answered: tor gives it up after two minutes (`SocksTimeout`).
const ANSWERED_LATE: Duration = Duration::from_secs(60);

/// The slots that are taken.
pub(super) struct Slots {
    /// Until when each request keeps its slot, if no answer comes. A request may be outstanding several times: it is told apart by
    /// when it was made.
    held: Deadlines<(Request, Duration)>,
    /// Requests whose slots have become free without an answer, until tor gives them up, too: one that is answered late must not free
    /// the slot of the same request made again.
    given_up: Deadlines<(Request, Duration)>,
    /// How many requests of each kind hold one.
    held_by: [usize; 3],
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { held: Deadlines::new(), given_up: Deadlines::new(), held_by: [0; 3] }
    }

    /// How many are taken.
    pub(super) fn len(&self) -> usize {
        self.held_by.iter().sum()
    }

    /// How many requests of this kind have taken.
    pub(super) fn held_by(&self, kind: Kind) -> usize {
        self.held_by.get(kind as usize).copied().unwrap_or(0)
    }

    /// A request takes a slot, at `until` at the latest it is free again.
    pub(super) fn take(&mut self, request: Request, now: Duration, until: Duration) {
        if self.held.set((request, now), Some(until)).is_none() {
            self.count(request, usize::saturating_add);
        }
    }

    /// Frees the slot of a request that was answered: the earliest, where it was made several times.
    pub(super) fn free(&mut self, request: Request) {
        let all = (request, Duration::ZERO)..=(request, Duration::MAX);
        let (late, first) = (self.given_up.owners(all.clone()).next(), self.held.owners(all).next());
        if let Some(late) = late {
            self.given_up.set(late, None);
        } else if let Some(owner) = first {
            self.held.set(owner, None);
            self.count(request, usize::saturating_sub);
        }
    }

    /// Frees the slots of a publication that was not posted.
    pub(super) fn free_publication(&mut self, id: PublicationId) {
        for (request, _) in self.uploads(id) {
            self.free(request);
        }
    }

    /// The uploads of a publication keep their slots until then.
    pub(super) fn keep_publication(&mut self, id: PublicationId, until: Duration) {
        for owner in self.uploads(id) {
            self.held.set(owner, Some(until));
        }
    }

    /// Frees the slots whose time has come.
    pub(super) fn expire(&mut self, now: Duration) {
        while self.given_up.next_due(now).is_some() {}
        while let Some(owner) = self.held.next_due(now) {
            self.given_up.set(owner, Some(now + ANSWERED_LATE));
            self.count(owner.0, usize::saturating_sub);
        }
    }

    /// So much time has passed unnoticed, in which tor did nothing either.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        self.held.postpone(slept);
    }

    /// When the next slot becomes free at the latest; `None` if none is taken.
    pub(super) fn next_free(&self) -> Option<Duration> {
        self.held.first()
    }

    fn uploads(&self, id: PublicationId) -> Vec<(Request, Duration)> {
        let first = (Request::Upload(id, Fingerprint([0; 20])), Duration::ZERO);
        let last = (Request::Upload(id, Fingerprint([0xFF; 20])), Duration::MAX);
        self.held.owners(first..=last).collect()
    }

    fn count(&mut self, request: Request, change: fn(usize, usize) -> usize) {
        if let Some(count) = self.held_by.get_mut(request.kind() as usize) {
            *count = change(*count, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    fn upload(id: u64, hsdir: u8) -> Request {
        Request::Upload(PublicationId(id), Fingerprint([hsdir; 20]))
    }

    #[test]
    fn a_slot_is_freed_by_the_answer_or_when_its_time_has_come() {
        let mut slots = Slots::new();
        slots.take(upload(1, 1), AT(0), AT(60));
        slots.take(upload(1, 2), AT(0), AT(60));
        slots.take(upload(2, 1), AT(5), AT(65));
        assert_eq!((slots.len(), slots.held_by(Kind::Post), slots.held_by(Kind::Look)), (3, 3, 0));
        slots.free(upload(1, 1));
        // Nobody holds it any more.
        slots.free(upload(1, 1));
        assert_eq!((slots.len(), slots.next_free()), (2, Some(AT(60))));
        slots.expire(AT(60));
        assert_eq!((slots.len(), slots.next_free()), (1, Some(AT(65))));
    }

    #[test]
    fn a_request_that_is_made_again_takes_another_slot() {
        let mut slots = Slots::new();
        slots.take(upload(1, 1), AT(0), AT(60));
        slots.take(upload(1, 1), AT(30), AT(90));
        assert_eq!(slots.len(), 2);
        slots.free(upload(1, 1));
        assert_eq!((slots.len(), slots.next_free()), (1, Some(AT(90))));
    }

    #[test]
    fn a_late_answer_frees_no_slot_of_the_same_request_made_again() {
        let mut slots = Slots::new();
        slots.take(upload(1, 1), AT(0), AT(60));
        slots.take(upload(1, 1), AT(20), AT(80));
        slots.expire(AT(60));
        slots.free(upload(1, 1));
        assert_eq!(slots.len(), 1);
        slots.free(upload(1, 1));
        assert_eq!(slots.len(), 0);
        // Tor has given up one that comes so late.
        slots.take(upload(1, 1), AT(100), AT(160));
        slots.expire(AT(160));
        slots.take(upload(1, 1), AT(200), AT(260));
        slots.expire(AT(220));
        slots.free(upload(1, 1));
        assert_eq!(slots.len(), 0);
    }

    #[test]
    fn a_publications_slots_are_kept_and_freed_together() {
        let mut slots = Slots::new();
        for (id, hsdir) in [(1, 0), (1, 0xFF), (2, 0), (2, 7), (3, 0)] {
            slots.take(upload(id, hsdir), AT(0), AT(60));
        }
        slots.keep_publication(PublicationId(2), AT(70));
        slots.free_publication(PublicationId(1));
        assert_eq!(slots.len(), 3);
        slots.expire(AT(60));
        assert_eq!((slots.len(), slots.next_free()), (2, Some(AT(70))));
    }
}
