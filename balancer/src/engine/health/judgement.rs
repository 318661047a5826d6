//! The verdict on a backend by the results of its probes.
//!
//! A probe that fails may be the fault of our own tor. So the failures in a row count only with a witness: a
//! probe of another backend that began and succeeded among them, when our tor worked. If nothing works, no
//! backend falls.

use std::time::Duration;

use onionbalance_proto::config::HealthCheck;

/// The results of a backend's probes so far, as far as they matter.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    state: State,
    /// The failures in a row until now; `None` if the last probe succeeded, or before the first result.
    failures: Option<Failures>,
    /// True if there were enough failures in a row to fall by, and neither a success nor other introduction
    /// points since. A loss of tor does not change it: all backends that failed are offered until one succeeds.
    failing: bool,
    /// The successes in a row until now.
    successes: u32,
    /// The number of falls without [`CALM`] between them.
    falls: u32,
    /// The time before which it does not rise.
    held_until: Duration,
    /// The time of the last rise; `None` before the first.
    rose: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// No probe has succeeded, and it has not fallen.
    #[default]
    Unknown,
    Well,
    Unwell {
        since: Duration,
    },
    /// It was unwell since then, and has other introduction points now: the next result decides.
    Doubted {
        since: Duration,
    },
}

/// Failures in a row.
#[derive(Clone, Copy, Debug)]
struct Failures {
    number: u32,
    /// The beginning of the first of these probes.
    began: Duration,
    /// True if there is a witness between that and the beginning of the last of these probes.
    witnessed: bool,
}

/// The news of a result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum News {
    /// It has fallen: it is unwell from now on.
    Fell,
    /// It is well again, after this time.
    Rose(Duration),
    /// It is not well or unwell by that, but something may follow: the first failure after a success, or the
    /// first success of an unwell backend.
    Turned,
    /// Nothing.
    Nothing,
}

/// The time without a fall after which the hold-down begins again with none.
const CALM: Duration = Duration::from_secs(30 * 60);
/// The longest hold-down.
const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

impl Judgement {
    /// The time from which on a success of another backend is a witness for a probe that begins now; `None`:
    /// none is needed. If the first failure is enough to fall by, there is nothing between the first and the
    /// last, so the interval before counts.
    pub(super) fn wants_witness_since(&self, check: &HealthCheck, now: Duration) -> Option<Duration> {
        match self.failures {
            Some(failures) if failures.witnessed => None,
            Some(failures) => Some(failures.began),
            None if check.fall > 1 => None,
            None => Some(now.saturating_sub(check.interval)),
        }
    }

    /// Takes a probe that succeeded.
    pub(super) fn succeeded(&mut self, check: &HealthCheck, now: Duration) -> News {
        (self.failures, self.failing) = (None, false);
        self.successes = self.successes.saturating_add(1);
        match self.state {
            State::Unknown | State::Well => {
                self.state = State::Well;
                News::Nothing
            }
            State::Doubted { since } => self.rise(now, since),
            State::Unwell { since } if self.has_risen(check, now) => self.rise(now, since),
            State::Unwell { .. } if self.successes == 1 => News::Turned,
            State::Unwell { .. } => News::Nothing,
        }
    }

    /// Takes a probe that began at `began` and failed; `witnessed`: another backend's success shows that our
    /// tor worked.
    pub(super) fn failed(
        &mut self,
        check: &HealthCheck,
        began: Duration,
        now: Duration,
        witnessed: bool,
    ) -> News {
        self.successes = 0;
        let before = self.failures.unwrap_or(Failures { number: 0, began, witnessed: false });
        let failures = Failures {
            number: before.number.saturating_add(1),
            witnessed: before.witnessed || witnessed,
            ..before
        };
        self.failures = Some(failures);
        self.failing |= self.has_fallen(check);
        match self.state {
            State::Doubted { since } => {
                self.state = State::Unwell { since };
                News::Fell
            }
            State::Unknown | State::Well if self.has_fallen(check) && failures.witnessed => {
                self.fall(check, now);
                News::Fell
            }
            State::Unknown | State::Well if failures.number == 1 => News::Turned,
            _ => News::Nothing,
        }
    }

    /// Forgets the failures in a row: our tor was lost.
    pub(super) fn forget_failures(&mut self) {
        self.failures = None;
    }

    /// Notes that the backend has other introduction points. True if it was unwell, so that it is offered
    /// again until its next result.
    pub(super) fn points_changed(&mut self) -> bool {
        (self.failures, self.failing) = (None, false);
        let State::Unwell { since } = self.state else { return false };
        self.state = State::Doubted { since };
        true
    }

    /// True if a result has shown that it does not work, and none has shown the contrary.
    pub(super) fn is_unwell(&self) -> bool {
        matches!(self.state, State::Unwell { .. })
    }

    /// True if it works as far as is known: a probe has succeeded, and it has not fallen since.
    pub(super) fn is_well(&self) -> bool {
        self.state == State::Well
    }

    /// True if it has failed often enough to be unwell, with a witness or without.
    pub(super) fn is_failing(&self) -> bool {
        self.is_unwell() || self.failing
    }

    /// The time since which it is unwell; `None` if it is not.
    pub(super) fn unwell_since(&self) -> Option<Duration> {
        match self.state {
            State::Unwell { since } => Some(since),
            _ => None,
        }
    }

    /// The number of failures in a row until now.
    pub(super) fn failures(&self) -> u32 {
        self.failures.map_or(0, |failures| failures.number)
    }

    /// The number of successes in a row until now.
    pub(super) fn successes(&self) -> u32 {
        self.successes
    }

    fn has_fallen(&self, check: &HealthCheck) -> bool {
        self.failures() >= u32::from(check.fall)
    }

    fn has_risen(&self, check: &HealthCheck, now: Duration) -> bool {
        self.successes >= u32::from(check.rise) && self.held_until <= now
    }

    fn fall(&mut self, check: &HealthCheck, now: Duration) {
        let is_calm = self.rose.is_some_and(|rose| rose.saturating_add(CALM) <= now);
        self.falls = if is_calm { 1 } else { self.falls.saturating_add(1) };
        self.held_until = now.saturating_add(hold_down(check.interval, self.falls));
        self.state = State::Unwell { since: now };
    }

    fn rise(&mut self, now: Duration, since: Duration) -> News {
        self.state = State::Well;
        self.rose = Some(now);
        News::Rose(now.saturating_sub(since))
    }
}

/// The least time for which a backend stays unwell after this number of falls: none after the first, then it
/// doubles from twice the interval.
fn hold_down(interval: Duration, falls: u32) -> Duration {
    match falls {
        0 | 1 => Duration::ZERO,
        _ => interval.saturating_mul(1 << (falls - 1).min(16)).min(LONGEST_HOLD),
    }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::config::ProbeKind;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn check(fall: u8, rise: u8) -> HealthCheck {
        let (interval, timeout) = (SECOND * 10, SECOND * 5);
        HealthCheck { port: 80, kind: ProbeKind::Connect, interval, timeout, fall, rise }
    }

    /// A backend that has fallen at this time.
    fn fallen(at: Duration) -> Judgement {
        let mut judgement = Judgement::default();
        let check = check(2, 2);
        assert_eq!(judgement.failed(&check, at, at, false), News::Turned);
        assert_eq!(judgement.failed(&check, at, at, true), News::Fell);
        judgement
    }

    #[test]
    fn it_falls_by_failures_in_a_row() {
        let (check, mut judgement) = (check(2, 2), Judgement::default());
        for second in 0..5 {
            let now = SECOND * second;
            assert_eq!(judgement.failed(&check, now, now, true), News::Turned);
            assert_eq!(judgement.succeeded(&check, now), News::Nothing);
        }
        assert!(judgement.is_well());
        let mut judgement = fallen(SECOND * 9);
        assert!(judgement.is_unwell());
        assert_eq!(judgement.succeeded(&check, SECOND * 10), News::Turned);
        assert_eq!(judgement.failed(&check, SECOND * 11, SECOND * 11, true), News::Nothing);
        assert_eq!(judgement.succeeded(&check, SECOND * 12), News::Turned);
        assert_eq!(judgement.succeeded(&check, SECOND * 13), News::Rose(SECOND * 4));
    }

    #[test]
    fn it_does_not_fall_without_a_witness() {
        let (check, mut judgement) = (check(2, 2), Judgement::default());
        for second in 0..100 {
            let now = SECOND * second;
            assert_ne!(judgement.failed(&check, now, now, false), News::Fell);
            assert_eq!(judgement.is_failing(), second > 0);
        }
        assert_eq!(judgement.failed(&check, SECOND * 100, SECOND * 101, true), News::Fell);
    }

    #[test]
    fn the_witness_is_wanted_between_the_first_failure_and_the_last() {
        let (check, mut judgement) = (check(2, 2), Judgement::default());
        assert_eq!(judgement.wants_witness_since(&check, SECOND * 10), None);
        judgement.failed(&check, SECOND * 10, SECOND * 15, false);
        assert_eq!(judgement.wants_witness_since(&check, SECOND * 20), Some(SECOND * 10));
        judgement.failed(&check, SECOND * 20, SECOND * 25, true);
        assert_eq!(judgement.wants_witness_since(&check, SECOND * 30), None);
        let (once, mut judgement) = (self::check(1, 1), Judgement::default());
        assert_eq!(judgement.wants_witness_since(&once, SECOND * 30), Some(SECOND * 20));
        judgement.failed(&once, SECOND * 30, SECOND * 35, false);
        assert_eq!(judgement.wants_witness_since(&once, SECOND * 300), Some(SECOND * 30));
    }

    #[test]
    fn one_that_falls_again_and_again_is_held_down_for_longer() {
        let check = check(2, 2);
        let mut judgement = fallen(SECOND * 100);
        let mut now = SECOND * 100;
        let mut held = Vec::new();
        for _ in 0..9 {
            let fell = now;
            loop {
                now += SECOND;
                if matches!(judgement.succeeded(&check, now), News::Rose(_)) {
                    break;
                }
            }
            held.push(now.saturating_sub(fell).as_secs());
            judgement.failed(&check, now, now, true);
            assert_eq!(judgement.failed(&check, now, now, true), News::Fell);
        }
        assert_eq!(held, [2, 20, 40, 80, 160, 320, 600, 600, 600]);
    }

    #[test]
    fn the_hold_down_is_forgotten_after_a_calm_time() {
        let check = check(2, 2);
        let mut judgement = fallen(SECOND * 100);
        let mut now = SECOND * 100;
        for _ in 0..3 {
            judgement.succeeded(&check, now);
            assert!(matches!(judgement.succeeded(&check, now), News::Rose(_)));
            now += CALM;
            judgement.failed(&check, now, now, true);
            assert_eq!(judgement.failed(&check, now, now, true), News::Fell);
        }
    }

    #[test]
    fn other_points_are_offered_until_the_next_result() {
        let check = check(2, 2);
        let mut judgement = fallen(SECOND * 100);
        assert!(judgement.points_changed() && !judgement.is_unwell() && !judgement.is_failing());
        assert_eq!(judgement.failed(&check, SECOND * 101, SECOND * 102, false), News::Fell);
        assert!(judgement.points_changed());
        assert_eq!(judgement.succeeded(&check, SECOND * 110), News::Rose(SECOND * 10));
        assert!(!judgement.points_changed() && judgement.is_well());
    }

    proptest! {
        #[test]
        fn a_verdict_never_comes_without_its_reason(
            results in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..200),
            fall in 1..5_u8,
            rise in 1..5_u8,
        ) {
            let (check, mut judgement) = (check(fall, rise), Judgement::default());
            let (mut failures, mut successes, mut seen) = (0_u8, 0_u8, false);
            for (second, (is_success, witnessed)) in (0_u32..).zip(results) {
                let now = SECOND * second * 10;
                let was_unwell = judgement.is_unwell();
                if is_success {
                    (failures, successes, seen) = (0, successes.saturating_add(1), false);
                    let rose = matches!(judgement.succeeded(&check, now), News::Rose(_));
                    prop_assert_eq!(rose, was_unwell && !judgement.is_unwell());
                    prop_assert!(!rose || successes >= rise);
                } else {
                    (failures, successes, seen) = (failures.saturating_add(1), 0, seen || witnessed);
                    let fell = judgement.failed(&check, now, now, witnessed) == News::Fell;
                    prop_assert_eq!(fell, !was_unwell && failures >= fall && seen);
                    prop_assert_eq!(judgement.is_unwell(), was_unwell || fell);
                }
            }
        }
    }
}
