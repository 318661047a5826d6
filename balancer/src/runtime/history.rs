//! The last notices of a runtime, for the status. They are kept in memory only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::notice::Words;

/// A notice, and its time.
#[derive(Clone, Debug)]
pub struct Happening {
    /// The time of the notice.
    pub at: Instant,
    /// The notice.
    pub words: Words,
}

/// The last notices, the earliest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Arc<Happening>>);

impl History {
    /// Adds a notice. If there are [`MOST`], an earlier one is dropped: the earliest routine one, or else the
    /// earliest. A balancer of many services publishes some hundred descriptors an hour.
    pub(super) fn add(&mut self, at: Instant, words: Words) {
        let Self(happenings) = self;
        happenings.retain(|happening| at.duration_since(happening.at) <= KEPT);
        if happenings.len() >= MOST {
            let routine = happenings.iter().position(|happening| happening.words.is_routine());
            happenings.remove(routine.unwrap_or(0));
        }
        happenings.push_back(Arc::new(Happening { at, words }));
    }

    /// The notices of the last day, the latest first.
    pub(super) fn last(&self, now: Instant) -> Vec<Arc<Happening>> {
        let is_recent = |happening: &&Arc<Happening>| now.duration_since(happening.at) <= KEPT;
        self.0.iter().rev().take_while(is_recent).cloned().collect()
    }
}

/// The most notices that are kept.
pub(crate) const MOST: usize = 500;
/// The time for which a notice is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{DescriptorSlot, Notice};
    use crate::names::Names;

    fn published() -> Words {
        let (slot, after) = (DescriptorSlot { period: 7, replica: 0 }, Duration::ZERO);
        let notice = Notice::DescriptorComplete { service: "s".into(), slot, hsdirs: 8, after };
        Words::of(&notice, &Names::default())
    }

    fn gone() -> Words {
        Words::of(&Notice::BackendNotFound { backend: "b".into() }, &Names::default())
    }

    #[test]
    fn a_flood_of_routine_does_not_push_out_a_warning() {
        let (mut history, start) = (History::default(), Instant::now());
        history.add(start, gone());
        for second in 1..=1000 {
            history.add(start + Duration::from_secs(second), published());
        }
        let last = history.last(start + Duration::from_secs(1000));
        assert_eq!((last.len(), last.last().unwrap().words.id), (MOST, "BACKEND_NOT_FOUND"));
        for second in 1001..=2000 {
            history.add(start + Duration::from_secs(second), gone());
        }
        let last = history.last(start + Duration::from_secs(2000));
        assert_eq!(last.len(), MOST);
        assert!(last.iter().all(|happening| happening.words.id == "BACKEND_NOT_FOUND"));
        assert_eq!(last[0].at, start + Duration::from_secs(2000));
    }

    #[test]
    fn a_day_is_kept() {
        let (mut history, start) = (History::default(), Instant::now());
        history.add(start, gone());
        assert_eq!(history.last(start + KEPT).len(), 1);
        assert_eq!(history.last(start + KEPT + Duration::from_secs(1)).len(), 0);
        history.add(start + KEPT + Duration::from_secs(1), gone());
        assert_eq!(history.0.len(), 1);
    }
}
