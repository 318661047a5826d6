//! Durations, counted by buckets as a histogram of Prometheus has them.

use std::time::Duration;

/// The upper bounds of the buckets for the signer's answers: a signature takes some milliseconds.
pub const SIGNATURE_BOUNDS: [Duration; 9] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
];
/// The upper bounds of the buckets for probes: three circuits, and the answer of a backend.
pub const PROBE_BOUNDS: [Duration; 7] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(60),
];
/// The upper bounds of the buckets for publications: a circuit takes some seconds.
pub const PUBLICATION_BOUNDS: [Duration; 8] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// The counts of durations by `N` buckets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durations<const N: usize> {
    /// The durations in each bucket, which are longer than the bound of the bucket before.
    pub counts: [u64; N],
    /// The durations that are longer than the last bound.
    pub longer: u64,
    /// The sum of all durations.
    pub sum: Duration,
}

impl<const N: usize> Default for Durations<N> {
    /// No duration.
    fn default() -> Self {
        Self { counts: [0; N], longer: 0, sum: Duration::ZERO }
    }
}

impl<const N: usize> Durations<N> {
    /// Counts a duration.
    pub(super) fn count(&mut self, bounds: &[Duration; N], duration: Duration) {
        let mut buckets = bounds.iter().zip(&mut self.counts);
        let bucket = buckets.find(|(bound, _)| duration <= **bound).map(|(_, count)| count);
        *bucket.unwrap_or(&mut self.longer) += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// Adds the counts of another runtime.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.longer += other.longer;
        self.sum = self.sum.saturating_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_is_not_too_short() {
        let bounds = [Duration::from_secs(1), Duration::from_secs(5)];
        let mut durations = Durations::default();
        for seconds in [0, 1, 2, 5, 6, 7, 8] {
            durations.count(&bounds, Duration::from_secs(seconds));
        }
        let sum = Duration::from_secs(29);
        assert_eq!(durations, Durations { counts: [2, 2], longer: 3, sum });
        let other = durations;
        durations.add(&other);
        assert_eq!(durations, Durations { counts: [4, 4], longer: 6, sum: sum * 2 });
    }
}
