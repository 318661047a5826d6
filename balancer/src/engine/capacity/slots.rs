//! The requests that are outstanding at tor, each of which takes a slot for its circuit.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;

use super::super::id::{BackendId, DescriptorSlot, ProbeId, PublicationId, ServiceId, Source};
use super::super::registry::Number;

/// A request to tor: one that concerns one HSDir, or a circuit of a probe.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(in super::super) enum Request {
    /// The upload of a descriptor.
    Upload(PublicationId, Fingerprint),
    /// The fetch of a backend's descriptor.
    Look(Number<BackendId>, Source),
    /// The fetch of one of our own descriptors.
    ReadBack(Number<ServiceId>, DescriptorSlot, Fingerprint),
    /// A circuit of a probe, which has several.
    Probe(ProbeId),
}

/// The line from which a request comes, in the order in which the lines are served.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum Kind {
    Post,
    Look,
    ReadBack,
    Probe,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Post, Self::Look, Self::ReadBack, Self::Probe];
}

impl Request {
    fn kind(&self) -> Kind {
        match self {
            Self::Upload(..) => Kind::Post,
            Self::Look(..) => Kind::Look,
            Self::ReadBack(..) => Kind::ReadBack,
            Self::Probe(_) => Kind::Probe,
        }
    }

    fn is_upload_of(&self, publication: PublicationId) -> bool {
        matches!(self, Self::Upload(id, _) if *id == publication)
    }
}

/// The time for which a request may still be answered after its slot has become free: tor gives it up after
/// two minutes (`SocksTimeout`).
const ANSWERED_LATE: Duration = Duration::from_secs(60);

/// The slots that are taken. They are so few that a search among all of them costs less than an order would.
pub(super) struct Slots {
    /// The slots in the order in which their requests were made.
    held: Vec<Slot>,
    /// Requests whose slots have become free without an answer, until tor gives them up, too. If one of them
    /// is answered late, the answer must not free the slot of the same request made again.
    given_up: Vec<Slot>,
    /// No slot's time is over before this.
    next_end: Duration,
}

struct Slot {
    /// The request; the same one may be outstanding several times.
    request: Request,
    /// The time until which it keeps its slot without an answer, or may be answered late.
    until: Duration,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { held: Vec::new(), given_up: Vec::new(), next_end: Duration::MAX }
    }

    /// The number of slots that are taken.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The number of slots that requests of this kind have taken.
    pub(super) fn held_by(&self, kind: Kind) -> usize {
        self.held.iter().filter(|slot| slot.request.kind() == kind).count()
    }

    /// Takes a slot for a request; it becomes free at `until` at the latest.
    pub(super) fn take(&mut self, request: Request, until: Duration) {
        self.held.push(Slot { request, until });
        self.next_end = self.next_end.min(until);
    }

    /// Frees the slot of a request that was answered: the earliest one if it was made several times.
    pub(super) fn free(&mut self, request: Request) {
        let first = |slots: &[Slot]| slots.iter().position(|slot| slot.request == request);
        if let Some(late) = first(&self.given_up) {
            self.given_up.remove(late);
        } else if let Some(answered) = first(&self.held) {
            self.held.remove(answered);
        }
    }

    /// Frees the slots of a publication that was not posted.
    pub(super) fn free_publication(&mut self, id: PublicationId) {
        for slots in [&mut self.held, &mut self.given_up] {
            slots.retain(|slot| !slot.request.is_upload_of(id));
        }
    }

    /// Has the uploads of a publication keep their slots until `until`.
    pub(super) fn keep_publication(&mut self, id: PublicationId, until: Duration) {
        for slot in self.held.iter_mut().filter(|slot| slot.request.is_upload_of(id)) {
            slot.until = until;
            self.next_end = self.next_end.min(until);
        }
    }

    /// Frees the slots whose time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        if now < self.next_end {
            return;
        }
        self.given_up.retain(|slot| slot.until > now);
        while let Some(index) = self.held.iter().position(|slot| slot.until <= now) {
            let given_up = self.held.remove(index);
            self.given_up.push(Slot { until: now + ANSWERED_LATE, ..given_up });
        }
        let ends = self.held.iter().chain(&self.given_up).map(|slot| slot.until);
        self.next_end = ends.min().unwrap_or(Duration::MAX);
    }

    /// Moves all times on by time that has passed unnoticed. Tor may still answer: it slept as well, or only
    /// the wall clock was set forward.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        for slot in self.held.iter_mut().chain(&mut self.given_up) {
            slot.until = slot.until.saturating_add(slept);
        }
    }

    /// The latest time at which the next slot becomes free; `None` if none is taken.
    pub(super) fn next_free(&self) -> Option<Duration> {
        self.held.iter().map(|slot| slot.until).min()
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
        slots.take(upload(1, 1), AT(60));
        slots.take(upload(1, 2), AT(60));
        slots.take(upload(2, 1), AT(65));
        assert_eq!((slots.len(), slots.held_by(Kind::Post), slots.held_by(Kind::Look)), (3, 3, 0));
        slots.free(upload(1, 1));
        // No request holds this slot any more.
        slots.free(upload(1, 1));
        assert_eq!((slots.len(), slots.next_free()), (2, Some(AT(60))));
        slots.expire(AT(60));
        assert_eq!((slots.len(), slots.next_free()), (1, Some(AT(65))));
    }

    #[test]
    fn a_request_that_is_made_again_takes_another_slot() {
        let mut slots = Slots::new();
        slots.take(upload(1, 1), AT(60));
        slots.take(upload(1, 1), AT(90));
        assert_eq!(slots.len(), 2);
        slots.free(upload(1, 1));
        assert_eq!((slots.len(), slots.next_free()), (1, Some(AT(90))));
    }

    #[test]
    fn a_late_answer_frees_no_slot_of_the_same_request_made_again() {
        let mut slots = Slots::new();
        slots.take(upload(1, 1), AT(60));
        slots.take(upload(1, 1), AT(80));
        slots.expire(AT(60));
        slots.free(upload(1, 1));
        assert_eq!(slots.len(), 1);
        slots.free(upload(1, 1));
        assert_eq!(slots.len(), 0);
        // Tor has given up a request that is answered so late.
        slots.take(upload(1, 1), AT(160));
        slots.expire(AT(160));
        slots.take(upload(1, 1), AT(260));
        slots.expire(AT(220));
        slots.free(upload(1, 1));
        assert_eq!(slots.len(), 0);
    }

    #[test]
    fn a_late_answer_frees_no_other_slot_even_after_the_clock_was_set_forward() {
        let mut slots = Slots::new();
        slots.take(upload(1, 1), AT(60));
        slots.expire(AT(60));
        slots.wake_up(AT(86_400));
        slots.take(upload(1, 1), AT(86_460 + 60));
        slots.expire(AT(86_460));
        // This is the answer to the first request.
        slots.free(upload(1, 1));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn a_publications_slots_are_kept_and_freed_together() {
        let mut slots = Slots::new();
        for (id, hsdir) in [(1, 0), (1, 0xFF), (2, 0), (2, 7), (3, 0)] {
            slots.take(upload(id, hsdir), AT(60));
        }
        slots.keep_publication(PublicationId(2), AT(70));
        slots.free_publication(PublicationId(1));
        assert_eq!(slots.len(), 3);
        slots.expire(AT(60));
        assert_eq!((slots.len(), slots.next_free()), (2, Some(AT(70))));
    }
}
