//! Times of tasks that are compared.
#![expect(clippy::indexing_slicing, reason = "something was timed at least once")]
#![allow(
    clippy::disallowed_methods,
    reason = "it measures real time; the lint is on in the balancer's benchmarks only"
)]

use std::fmt;
use std::time::{Duration, Instant};

/// The times of one task, the shortest first; never empty.
pub(crate) struct Times(Vec<Duration>);

/// Does the tasks in turn, each of them `repeats` times in a row, for this number of rounds: other work of
/// the machine affects all of them alike.
pub(crate) fn in_turn<const N: usize>(
    rounds: usize,
    repeats: usize,
    mut things: [&mut dyn FnMut(); N],
) -> [Times; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (thing, times) in things.iter_mut().zip(&mut times) {
            for _ in 0..repeats {
                let begun = Instant::now();
                thing();
                times.push(begun.elapsed());
            }
        }
    }
    times.map(Times::of)
}

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The ratio to `other`, by the medians and, less affected by other work of the machine, by the shortest
    /// times.
    pub(crate) fn ratio(&self, other: &Self) -> String {
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
        let (median, least) = (ratio(self.median(), other.median()), ratio(self.least(), other.least()));
        format!("{median:.2} of medians, {least:.2} of least")
    }

    fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    fn least(&self) -> Duration {
        self.0[0]
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "median {:.2?}, least {:.2?} of {}", self.median(), self.least(), self.0.len())
    }
}
