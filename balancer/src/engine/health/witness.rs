//! The witnesses for our tor: the probes of other backends, by which one tells a backend's failure from its
//! own.

use std::time::Duration;

use super::super::id::BackendId;
use super::super::registry::Number;

/// The last results of probes, and the last answer of an HSDir.
#[derive(Default)]
pub(in super::super) struct Witnesses {
    successes: LastOfTwo,
    failures: LastOfTwo,
    answered: Option<Duration>,
}

/// The time after the last probe of any other backend from which on a backend is the only one that is probed.
/// The next probe of another one may be about to fail as well.
const ALONE_AFTER: Duration = Duration::from_secs(10 * 60);

/// The beginnings of the last probes of the two backends whose probes began last, the later first.
#[derive(Default)]
struct LastOfTwo([Option<(Number<BackendId>, Duration)>; 2]);

impl Witnesses {
    /// Notes a probe of this backend, which began at `began` and has `succeeded` or failed.
    pub(super) fn note(&mut self, backend: Number<BackendId>, began: Duration, succeeded: bool) {
        let results = if succeeded { &mut self.successes } else { &mut self.failures };
        results.note(backend, began);
    }

    /// Notes that an HSDir has answered.
    pub(in super::super) fn note_answer(&mut self, now: Duration) {
        self.answered = Some(now);
    }

    /// True if a probe of another backend has begun since `since` and succeeded. If no other backend was
    /// probed since then, nor for some time before, the answer of an HSDir has to do.
    pub(super) fn are_there(&self, backend: Number<BackendId>, since: Duration) -> bool {
        let before = since.saturating_sub(ALONE_AFTER);
        let is_alone =
            !self.successes.has_other(backend, before) && !self.failures.has_other(backend, before);
        self.successes.has_other(backend, since) || is_alone && self.answered.is_some_and(|at| at >= since)
    }

    /// Forgets all: our tor was lost.
    pub(in super::super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl LastOfTwo {
    fn note(&mut self, backend: Number<BackendId>, began: Duration) {
        let [first, second] = &mut self.0;
        if first.is_some_and(|(other, _)| other != backend) && second.is_none_or(|(_, at)| at < began) {
            *second = Some((backend, began));
        } else if first.is_none_or(|(_, at)| at < began) {
            *first = Some((backend, began));
        }
        if second.map(|(_, at)| at) > first.map(|(_, at)| at) {
            std::mem::swap(first, second);
        }
    }

    /// True if a probe of another backend began at `since` or later.
    fn has_other(&self, backend: Number<BackendId>, since: Duration) -> bool {
        self.0.iter().flatten().any(|(other, began)| *other != backend && *began >= since)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::registry::Registry;
    use super::*;

    fn numbers() -> Vec<Number<BackendId>> {
        let mut registry = Registry::new();
        ["a", "b", "c"].iter().map(|name| registry.get_or_insert(BackendId::from(*name), || ())).collect()
    }

    proptest! {
        #[test]
        fn two_are_enough_to_know_of_others(probes in proptest::collection::vec((0..3_usize, 0..50_u64), 0..40)) {
            let numbers = numbers();
            let mut last = LastOfTwo::default();
            let mut all: Vec<(usize, Duration)> = Vec::new();
            for (backend, began) in probes {
                let began = Duration::from_secs(began);
                last.note(numbers[backend], began);
                all.push((backend, began));
                for (of, since) in (0..3).flat_map(|of| (0..50).map(move |since| (of, Duration::from_secs(since)))) {
                    let wanted = all.iter().any(|(other, began)| *other != of && *began >= since);
                    prop_assert_eq!(last.has_other(numbers[of], since), wanted);
                }
            }
        }
    }

    #[test]
    fn the_answer_of_an_hsdir_counts_if_no_other_backend_is_probed() {
        let (numbers, second) = (numbers(), Duration::from_secs(1));
        let mut witnesses = Witnesses::default();
        witnesses.note(numbers[0], second * 5, false);
        assert!(!witnesses.are_there(numbers[0], second * 5));
        witnesses.note_answer(second * 6);
        assert!(witnesses.are_there(numbers[0], second * 5));
        witnesses.note(numbers[1], second * 6, false);
        assert!(!witnesses.are_there(numbers[0], second * 5));
        witnesses.note(numbers[1], second * 7, true);
        assert!(witnesses.are_there(numbers[0], second * 5) && !witnesses.are_there(numbers[1], second * 5));
        // Another one that failed shortly before may fail again: HSDirs do not show that our tor works.
        witnesses.note_answer(second * 90);
        witnesses.note(numbers[1], second * 70, false);
        assert!(!witnesses.are_there(numbers[0], second * 80));
        witnesses.note_answer(second * 2000);
        assert!(witnesses.are_there(numbers[0], second * 1900));
    }
}
