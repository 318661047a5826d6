//! The bound on the caches of all services together: the services that were asked last keep theirs.

use std::collections::VecDeque;

/// The most services that have a cache. A retry, or a change of another backend, follows within minutes, in
/// which no more services are signed for: of a thousand services each is renewed about once an hour.
const MOST: usize = 100;

/// The services that have a cache, by their index; the one that was asked last is the last.
#[derive(Default)]
pub(super) struct Caches(VecDeque<usize>);

impl Caches {
    /// Notes that the service with this index was asked, and has a cache. Returns the index of a service
    /// that has to drop its cache; `None` if there are not too many.
    pub(super) fn used(&mut self, index: usize) -> Option<usize> {
        self.0.retain(|known| *known != index);
        self.0.push_back(index);
        if self.0.len() > MOST { self.0.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_that_was_asked_longest_ago_drops_its_cache() {
        let mut caches = Caches::default();
        for index in (0..MOST).chain([0, 0]) {
            assert_eq!(caches.used(index), None);
        }
        assert_eq!(caches.used(MOST), Some(1));
        assert_eq!((caches.used(1), caches.used(MOST), caches.used(2)), (Some(2), None, Some(3)));
    }
}
