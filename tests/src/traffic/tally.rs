//! Visits in figures.

use std::time::Duration;

use super::Visit;

/// The number of visits, of failures, and the times of the others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tally {
    /// The number of all visits.
    pub total: usize,
    /// The number of visits without a page.
    pub failed: usize,
    /// The times of the other visits, the shortest first.
    times: Vec<Duration>,
}

impl Tally {
    /// Counts these visits.
    pub fn of(visits: &[Visit]) -> Self {
        let answered = visits.iter().filter(|visit| visit.answer.is_ok());
        let mut times: Vec<_> = answered.map(|visit| visit.time).collect();
        times.sort();
        Self { total: visits.len(), failed: visits.len() - times.len(), times }
    }

    /// The time within which this percentage of the pages arrived; `None`: there are no pages.
    pub fn percentile(&self, hundredths: usize) -> Option<Duration> {
        let last = (self.times.len() * hundredths).div_ceil(100).checked_sub(1)?;
        self.times.get(last).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn visits(seconds: impl IntoIterator<Item = Option<u64>>) -> Vec<Visit> {
        let visit = |seconds: Option<u64>| Visit {
            begun: Instant::now(),
            time: Duration::from_secs(seconds.unwrap_or(60)),
            answer: seconds.map(|_| "backend".to_owned()).ok_or("no page".to_owned()),
            spoiled: false,
        };
        seconds.into_iter().map(visit).collect()
    }

    #[test]
    fn times_are_those_of_pages_that_came() {
        let tally = Tally::of(&visits((1..=10).rev().map(Some).chain([None])));
        assert_eq!((tally.total, tally.failed), (11, 1));
        let percentile = |hundredths| tally.percentile(hundredths).map(|time| time.as_secs());
        assert_eq!([50, 90, 91, 100].map(percentile), [Some(5), Some(9), Some(10), Some(10)]);
    }

    #[test]
    fn without_pages_there_are_no_times() {
        let tally = Tally::of(&visits([None]));
        assert_eq!((tally.total, tally.failed, tally.percentile(50)), (1, 1, None));
    }
}
