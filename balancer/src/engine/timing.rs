//! The engine's timers, and the jitter that keeps many services from acting in step.

use std::time::Duration;

use rand_core::RngCore;

/// The settings of an operator or a test.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The timers, for a period of a day.
    pub timing: Timing,
    /// The number of backends' HSDirs that are asked in a minute, at even distances, for a period of a day
    /// and some hundred backends: each one is a circuit through the operator's guard.
    pub fetches_per_minute: usize,
    /// The number of descriptors that are posted in a minute, at even distances, for a period of a day and
    /// some hundred descriptors, each to several HSDirs: tor leaks memory at every HSPOST.
    pub posts_per_minute: usize,
    /// The number of our own descriptors that are read back in a minute, at even distances, for a period of a
    /// day and some hundred descriptors.
    pub read_backs_per_minute: usize,
    /// The number of probes that are made in a minute, at even distances, for a period of a day: each one is an
    /// introduction and a rendezvous. With more backends than that, each is probed less often.
    pub probes_per_minute: usize,
    /// The most requests that are outstanding at tor at a time, each of which takes a circuit. Tor builds 32
    /// at a time. The others are for requests that the engine has given up and tor has not, for tor's own,
    /// and for other programs that use the same tor.
    pub in_flight: usize,
}

/// The engine's timers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Timing {
    /// The time for which a service waits for its other backends after its first one was found, before it is
    /// first published.
    pub settle: Duration,
    /// The time for which a service waits for each backend after the first request for it, if it was not
    /// published yet: most circuits take one to four seconds.
    pub first_answer: Duration,
    /// The longest time, after `settle`, for which a service waits for backends that were not asked for yet.
    pub first_requests: Duration,
    /// The time for which further changes are gathered before a descriptor is published again.
    pub debounce: Duration,
    /// The time between two looks for a backend.
    pub refresh: Duration,
    /// The time from a look without result to the next one; doubles up to `refresh`.
    pub look_again: Duration,
    /// The time after which a fetch without an answer is given up: tor may never report its end.
    pub fetch_timeout: Duration,
    /// The time after which an upload without an answer is given up: tor never reports a failed circuit.
    pub upload_timeout: Duration,
    /// The age of a descriptor at which its backend counts as gone: tor makes a new one every 60 to 120
    /// minutes, and HSDirs keep one for 180. It does not shrink with the period, because tor's schedule does
    /// not either.
    pub max_age: Duration,
    /// The time for which an HSDir keeps a descriptor. A v3 descriptor names its lifetime, 180 minutes in
    /// tor's. A v2 HSDir keeps one for three days (tor: `REND_CACHE_MAX_AGE`, `REND_CACHE_MAX_SKEW`). It does
    /// not shrink with the period.
    pub hsdir_keeps: Duration,
    /// The time for which the last introduction points stay published when every backend is gone. Tor keeps a
    /// point for at least 18 hours, so they may work all that time if only this balancer cannot see the
    /// backends.
    pub keep_last: Duration,
    /// The least time after which an unchanged descriptor is published again.
    pub republish_from: Duration,
    /// The greatest time after which an unchanged descriptor is published again; HSDirs keep it for 180
    /// minutes.
    pub republish_to: Duration,
    /// The time after which a failed upload is first retried; doubles up to `retry_max`.
    pub retry_first: Duration,
    /// The longest wait between two tries of an upload.
    pub retry_max: Duration,
    /// The longest wait before a publication that the signer or tor did not take is offered again: this needs
    /// no circuit.
    pub offer_max: Duration,
    /// The time within which uploads that are due at other HSDirs of the same descriptor join a retry. It is
    /// not less than the jitter of `retry_max`, which sets uploads apart that failed at the same time.
    pub batch: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            fetches_per_minute: 60,
            posts_per_minute: 30,
            read_backs_per_minute: 60,
            probes_per_minute: 120,
            in_flight: 24,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(3),
            first_answer: Duration::from_secs(5),
            first_requests: Duration::from_secs(30),
            debounce: Duration::from_millis(1500),
            refresh: MINUTE * 10,
            look_again: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(15),
            upload_timeout: Duration::from_secs(75),
            max_age: HOUR * 3,
            hsdir_keeps: HOUR * 3,
            keep_last: HOUR * 18,
            republish_from: HOUR,
            republish_to: HOUR * 2,
            retry_first: Duration::from_secs(2),
            retry_max: MINUTE * 5,
            offer_max: Duration::from_secs(30),
            batch: MINUTE,
        }
    }
}

impl Settings {
    /// These settings for periods of this length. If it is shorter than a day, the timers shrink, and the
    /// budgets grow by as much: a network that does a day's work in minutes is a test.
    #[must_use]
    pub fn for_period(&self, period: Duration) -> Self {
        let periods_a_day = DAY.as_secs().checked_div(period.as_secs()).unwrap_or(1).max(1);
        let grown = |per_minute: usize| {
            per_minute.saturating_mul(usize::try_from(periods_a_day).unwrap_or(usize::MAX))
        };
        Self {
            timing: self.timing.for_period(period),
            fetches_per_minute: grown(self.fetches_per_minute),
            posts_per_minute: grown(self.posts_per_minute),
            read_backs_per_minute: grown(self.read_backs_per_minute),
            probes_per_minute: grown(self.probes_per_minute),
            in_flight: self.in_flight,
        }
    }

    /// These settings for this demand. The budgets grow with it: every backend may be asked for at two HSDirs
    /// at each look, and everything may be published and read back within a quarter of an hour. Otherwise
    /// renewals would come after HSDirs forget. The limit of tor itself is `in_flight`, which does not grow.
    #[must_use]
    pub fn for_load(self, demand: Demand) -> Self {
        let per_minute = |requests: usize, time: Duration| {
            let per_minute = (requests as u128 * 60_000).div_ceil(time.as_millis().max(1));
            usize::try_from(per_minute).unwrap_or(usize::MAX)
        };
        let fetches = per_minute(demand.backends.saturating_mul(2), self.timing.refresh);
        let posts = per_minute(demand.posts, self.timing.republish_from / 4);
        let read_backs = per_minute(demand.read_backs, self.timing.republish_from / 4);
        Self {
            fetches_per_minute: self.fetches_per_minute.max(fetches),
            posts_per_minute: self.posts_per_minute.max(posts),
            read_backs_per_minute: self.read_backs_per_minute.max(read_backs),
            ..self
        }
    }
}

/// The amount of work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// The number of backends that are looked for.
    pub backends: usize,
    /// The number of posts that publish all services everywhere.
    pub posts: usize,
    /// The number of read-backs that prove it.
    pub read_backs: usize,
    /// True if backends have health checks.
    pub has_probes: bool,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Timing {
    /// The timers for version 2, whose tor makes a new descriptor every hour (`RendPostPeriod`).
    #[must_use]
    pub fn v2() -> Self {
        Self {
            // A descriptor has the hour in which it was made. That of a live backend is never more than 2
            // hours old, and is seen at the next look.
            max_age: MINUTE * 135,
            hsdir_keeps: DAY * 3,
            ..Self::default()
        }
    }

    /// These timers for periods of this length. If it is shorter than a day, they shrink so that as much
    /// happens in a period as in a day. If it is longer, they stay.
    #[must_use]
    pub fn for_period(&self, period: Duration) -> Self {
        Self {
            refresh: self.refresh.min(period / 24),
            look_again: self.look_again.min(period / 48),
            keep_last: self.keep_last.min(period / 4 * 3),
            republish_from: self.republish_from.min(period / 24),
            republish_to: self.republish_to.min(period / 12),
            retry_max: self.retry_max.min(period / 48),
            offer_max: self.offer_max.min(period / 48),
            batch: self.batch.min(period / 240),
            ..self.clone()
        }
    }
}

/// A random time between `low` and `high`.
pub(super) fn between(rng: &mut impl RngCore, low: Duration, high: Duration) -> Duration {
    let fraction = f64::from(rng.next_u32()) / f64::from(u32::MAX);
    low + high.saturating_sub(low).mul_f64(fraction)
}

/// `wait`, plus or minus a tenth at most.
pub(super) fn jittered(rng: &mut impl RngCore, wait: Duration) -> Duration {
    between(rng, wait.mul_f64(0.9), wait.mul_f64(1.1))
}

/// The wait after the `failures`-th failure in a row, counted from 1: it doubles from `first` up to `max`,
/// with jitter.
pub(super) fn backoff(rng: &mut impl RngCore, first: Duration, max: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    jittered(rng, first.saturating_mul(1 << doublings).min(max))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Dice;
    use super::*;

    #[test]
    fn a_days_timers_are_the_default_and_longer_periods_keep_them() {
        let timing = Timing::default();
        assert_eq!(timing.for_period(DAY), timing);
        assert_eq!(timing.for_period(DAY * 10), timing);
    }

    #[test]
    fn timers_shrink_with_the_period() {
        let timing = Timing::default().for_period(Duration::from_mins(8));
        assert_eq!(timing.refresh, Duration::from_secs(20));
        assert_eq!(timing.republish_from, Duration::from_secs(20));
        assert_eq!(timing.republish_to, Duration::from_secs(40));
        assert_eq!(timing.retry_max, Duration::from_secs(10));
        assert_eq!(timing.keep_last, Duration::from_mins(6));
        assert_eq!(timing.max_age, Timing::default().max_age);
    }

    #[test]
    fn budgets_grow_as_periods_shrink() {
        let settings = Settings::default();
        assert_eq!(settings.for_period(DAY), settings);
        assert_eq!(settings.for_period(DAY * 10), settings);
        let short = settings.for_period(Duration::from_mins(6));
        assert_eq!((short.fetches_per_minute, short.posts_per_minute), (60 * 240, 30 * 240));
        assert_eq!((short.read_backs_per_minute, short.in_flight), (60 * 240, settings.in_flight));
        assert_eq!(short.timing, settings.timing.for_period(Duration::from_mins(6)));
        assert_eq!(settings.for_period(Duration::ZERO).posts_per_minute, settings.posts_per_minute);
    }

    #[test]
    fn budgets_grow_with_what_there_is_to_do() {
        let settings = Settings::default();
        let small = Demand { backends: 300, posts: 450, read_backs: 900, ..Demand::default() };
        assert_eq!(settings.clone().for_load(small), settings);
        let large = settings.clone().for_load(Demand {
            backends: 10_001,
            posts: 20_000,
            read_backs: 12_000,
            ..Demand::default()
        });
        assert_eq!((large.posts_per_minute, large.fetches_per_minute), (1334, 2001));
        assert_eq!((large.read_backs_per_minute, large.in_flight), (800, settings.in_flight));
        assert_eq!(large.timing, settings.timing);
        let short = settings.for_period(Duration::from_mins(6));
        assert_eq!(short.clone().for_load(small), short);
        let instant = Timing { refresh: Duration::ZERO, ..Timing::default() };
        let one = Demand { backends: 1, posts: 1, read_backs: 1, ..Demand::default() };
        let most = Settings { timing: instant, ..Settings::default() }.for_load(one);
        assert_eq!(most.fetches_per_minute, 120_000);
    }

    proptest! {
        #[test]
        fn random_times_stay_in_their_bounds(seed: u64, low in 0..10_000_000_u64, span in 0..10_000_000_u64) {
            let (low, high) = (Duration::from_millis(low), Duration::from_millis(low + span));
            let mut dice = Dice(seed);
            let wait = between(&mut dice, low, high);
            prop_assert!(wait >= low && wait <= high);
            // Bounds in the wrong order count as one bound.
            prop_assert_eq!(between(&mut dice, high, low), high);
            let wait = jittered(&mut dice, high);
            prop_assert!(wait >= high.mul_f64(0.9) && wait <= high.mul_f64(1.1));
        }

        #[test]
        fn a_wait_doubles_with_each_failure_up_to_its_end(
            seed: u64,
            first in 1..100_000_u64,
            max in 1..100_000_000_u64,
            failures: u32,
        ) {
            let (first, max) = (Duration::from_millis(first), Duration::from_millis(max));
            let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|times| first.checked_mul(times));
            let exact = doubled.unwrap_or(max).min(max);
            let wait = backoff(&mut Dice(seed), first, max, failures);
            prop_assert!(wait >= exact.mul_f64(0.9) && wait <= exact.mul_f64(1.1), "{wait:?} {exact:?}");
        }
    }
}
