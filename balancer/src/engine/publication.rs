//! The descriptor of each publication, for as long as an answer may come.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::id::{DescriptorSlot, PublicationId, ServiceId};
use super::registry::Number;

/// The publications that wait for the signer, and those that tor accepted in the last minutes.
pub(super) struct Publications {
    next: u64,
    known: BTreeMap<PublicationId, Publication>,
    /// The publications that tor accepted, with the time of that, the earliest first.
    posted: VecDeque<(Duration, PublicationId)>,
}

/// The descriptor and the revision of a publication.
#[derive(Clone, Copy)]
pub(super) struct Publication {
    pub(super) service: Number<ServiceId>,
    pub(super) slot: DescriptorSlot,
    /// The revision from the signer; `None` until tor has accepted the publication.
    pub(super) revision: Option<u64>,
}

impl Publications {
    pub(super) fn new() -> Self {
        Self { next: 0, known: BTreeMap::new(), posted: VecDeque::new() }
    }

    /// The name of the next publication.
    pub(super) fn next_id(&self) -> PublicationId {
        PublicationId(self.next)
    }

    /// Adds a publication under [`Publications::next_id`].
    pub(super) fn issue(&mut self, service: Number<ServiceId>, slot: DescriptorSlot) {
        let id = self.next_id();
        self.next += 1;
        self.known.insert(id, Publication { service, slot, revision: None });
    }

    /// Publication `id`; `None` if it is forgotten, because no answer can come any more.
    pub(super) fn get(&self, id: PublicationId) -> Option<Publication> {
        self.known.get(&id).copied()
    }

    /// Notes that tor accepted publication `id`. Forgets those that it accepted [`REMEMBERED`] ago.
    pub(super) fn posted(&mut self, now: Duration, id: PublicationId, revision: u64) -> Option<Publication> {
        while let Some((_, old)) = self.posted.front().filter(|(posted, _)| *posted + REMEMBERED <= now) {
            self.known.remove(old);
            self.posted.pop_front();
        }
        let publication = self.known.get_mut(&id)?;
        if publication.revision.replace(revision).is_none() {
            self.posted.push_back((now, id));
        }
        Some(*publication)
    }

    /// Moves all times on by time that has passed unnoticed. Tor may still answer: it slept as well, or only
    /// the wall clock was set forward.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        for (posted, _) in &mut self.posted {
            *posted = posted.saturating_add(slept);
        }
    }

    /// Removes publication `id`, of which nothing was posted.
    pub(super) fn not_posted(&mut self, id: PublicationId) -> Option<Publication> {
        self.known.remove(&id)
    }

    /// Forgets all publications; their names are not used again.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.posted.clear();
    }
}

/// The time for which a publication is remembered after tor accepted it: longer than any time-out. A later
/// answer is of no use.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::super::registry::Registry;
    use super::*;

    #[test]
    fn an_answer_may_come_after_the_clock_was_set_forward() {
        let service = Registry::new().get_or_insert(ServiceId::from("s"), || ());
        let slot = DescriptorSlot { period: 1, replica: 0 };
        let mut publications = Publications::new();
        let first = publications.next_id();
        publications.issue(service, slot);
        publications.posted(Duration::ZERO, first, 1);
        let day = Duration::from_secs(86_400);
        publications.wake_up(day);
        let second = publications.next_id();
        publications.issue(service, slot);
        publications.posted(day + REMEMBERED / 2, second, 2);
        assert!(publications.get(first).is_some());
        let third = publications.next_id();
        publications.issue(service, slot);
        publications.posted(day + REMEMBERED, third, 3);
        assert!(publications.get(first).is_none() && publications.get(second).is_some());
    }
}
