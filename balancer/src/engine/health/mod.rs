//! The health of backends by probes of their own services.
//!
//! Health is a fact beside liveness: a backend's points are offered if its descriptor is young enough *and*
//! it is not unwell. A success keeps nobody alive, because points come from descriptors only. The probes
//! themselves are made elsewhere: [`Action::Probe`](super::Action::Probe) asks for one, and
//! [`Event::Probed`](super::Event::Probed) brings its result.
//!
//! A backend has one health for each check, which all services with this check share.

mod judgement;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::HealthCheck;
use rand_core::RngCore;

use self::judgement::Judgement;
pub(super) use self::judgement::News;
pub(super) use self::witness::Witnesses;
use super::event::ProbeOutcome;
use super::id::{BackendId, ProbeId};
use super::registry::Number;
use super::status::{Health, HealthState, LastProbe};
use super::timing;

/// The checks of one backend.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Checked>);

/// The state of one check of a backend.
#[derive(Debug)]
struct Checked {
    check: Arc<HealthCheck>,
    judgement: Judgement,
    turn: Turn,
    last: Option<Last>,
}

/// The step of a check.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The next probe is due at this time.
    Resting(Duration),
    /// The next probe waits in the line before tor.
    InLine,
    /// A probe is being made.
    Probing {
        id: ProbeId,
        began: Duration,
        /// The time at which it is given up.
        until: Duration,
        /// True if there is a witness for our tor, should it fail.
        is_witnessed: bool,
    },
}

/// The last result of a check.
#[derive(Debug)]
struct Last {
    at: Duration,
    outcome: ProbeOutcome,
}

/// The time after a probe's own time-out at which it is given up: whoever makes it answers by then.
const GRACE: Duration = Duration::from_secs(30);

impl Checks {
    /// Takes the checks of a configuration, each once. The state of those that stay is kept.
    pub(super) fn set(&mut self, checks: Vec<Arc<HealthCheck>>) {
        self.0.retain(|checked| checks.contains(&checked.check));
        for check in checks {
            if !self.0.iter().any(|checked| checked.check == check) {
                self.0.push(Checked::new(check));
            }
        }
    }

    /// Puts the checks in line whose time has come. Returns their number.
    pub(super) fn line_up(&mut self, now: Duration) -> usize {
        let mut number = 0;
        for checked in &mut self.0 {
            if matches!(checked.turn, Turn::Resting(due) if due <= now) {
                checked.turn = Turn::InLine;
                number += 1;
            }
        }
        number
    }

    /// Begins the probe of a check that is in line, and returns this check; `None` if there is none.
    pub(super) fn begin(
        &mut self,
        backend: Number<BackendId>,
        id: ProbeId,
        now: Duration,
        witnesses: &Witnesses,
    ) -> Option<Arc<HealthCheck>> {
        let checked = self.0.iter_mut().find(|checked| matches!(checked.turn, Turn::InLine))?;
        let since = checked.judgement.wants_witness_since(&checked.check, now);
        let is_witnessed = since.is_some_and(|since| witnesses.are_there(backend, since));
        let until = now + checked.check.timeout + GRACE;
        checked.turn = Turn::Probing { id, began: now, until, is_witnessed };
        Some(checked.check.clone())
    }

    /// Takes the check that was in line back: its backend is not live.
    pub(super) fn leave_line(&mut self, now: Duration) {
        for checked in &mut self.0 {
            if matches!(checked.turn, Turn::InLine) {
                checked.turn = Turn::Resting(now);
            }
        }
    }

    /// Takes the result of a probe. `None` if it is not awaited.
    pub(super) fn answered(
        &mut self,
        backend: Number<BackendId>,
        id: ProbeId,
        outcome: ProbeOutcome,
        now: Duration,
        rng: &mut impl RngCore,
        witnesses: &mut Witnesses,
    ) -> Option<Answered> {
        let checked = self.0.iter_mut().find(|checked| checked.is_probed_by(id))?;
        let before = checked.offer();
        let news = checked.answered(backend, outcome, now, rng, witnesses);
        let changed = checked.offer() != before;
        Some(Answered { news, changed, check: checked.check.clone() })
    }

    /// Gives up the probes that were not answered in time: nothing is known about these.
    pub(super) fn give_up(&mut self, now: Duration) {
        for checked in &mut self.0 {
            if matches!(checked.turn, Turn::Probing { until, .. } if until <= now) {
                checked.turn = Turn::Resting(now);
            }
        }
    }

    /// The next time at which a probe is due, while the backend `is_live`, or has to be given up; `None` if
    /// there is none.
    pub(super) fn deadline(&self, is_live: bool) -> Option<Duration> {
        let ends = self.0.iter().filter_map(|checked| match checked.turn {
            Turn::Resting(due) => is_live.then_some(due),
            Turn::InLine => None,
            Turn::Probing { until, .. } => Some(until),
        });
        ends.min()
    }

    /// Notes that tor is lost: its probes will not be answered, and failures may have been its own.
    pub(super) fn tor_lost(&mut self, now: Duration) {
        for checked in &mut self.0 {
            checked.judgement.forget_failures();
            if !matches!(checked.turn, Turn::Resting(_)) {
                checked.turn = Turn::Resting(now);
            }
        }
    }

    /// Notes time that has passed unnoticed: tor did nothing in it either.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        for checked in &mut self.0 {
            if let Turn::Probing { until, .. } = &mut checked.turn {
                *until = until.saturating_add(slept);
            }
        }
    }

    /// Notes that the backend has other introduction points. It is probed at once if it was unwell.
    pub(super) fn points_changed(&mut self, now: Duration) {
        for checked in &mut self.0 {
            if checked.judgement.points_changed() && matches!(checked.turn, Turn::Resting(_)) {
                checked.turn = Turn::Resting(now);
            }
        }
    }

    /// True if the backend is unwell by this check.
    pub(super) fn is_unwell(&self, check: &HealthCheck) -> bool {
        self.find(check).is_some_and(|checked| checked.judgement.is_unwell())
    }

    /// True if the backend has failed often enough by this check to be unwell. Our tor may be at fault.
    pub(super) fn is_failing(&self, check: &HealthCheck) -> bool {
        self.find(check).is_some_and(|checked| checked.judgement.is_failing())
    }

    /// The state of this check; `None` if the backend does not have it.
    pub(super) fn status(&self, check: &HealthCheck, now: Duration) -> Option<Health> {
        self.find(check).map(|checked| checked.status(now))
    }

    fn find(&self, check: &HealthCheck) -> Option<&Checked> {
        self.0
            .iter()
            .find(|checked| std::ptr::eq(&raw const *checked.check, check) || *checked.check == *check)
    }
}

/// The news of an awaited result.
pub(super) struct Answered {
    pub(super) news: News,
    /// True if services should choose again.
    pub(super) changed: bool,
    pub(super) check: Arc<HealthCheck>,
}

impl Checked {
    /// A check whose first probe is due at once.
    fn new(check: Arc<HealthCheck>) -> Self {
        Self { check, judgement: Judgement::default(), turn: Turn::Resting(Duration::ZERO), last: None }
    }

    /// The facts by which services offer the backend or not.
    fn offer(&self) -> (bool, bool) {
        (self.judgement.is_unwell(), self.judgement.is_failing())
    }

    fn is_probed_by(&self, probe: ProbeId) -> bool {
        matches!(self.turn, Turn::Probing { id, .. } if id == probe)
    }

    fn answered(
        &mut self,
        backend: Number<BackendId>,
        outcome: ProbeOutcome,
        now: Duration,
        rng: &mut impl RngCore,
        witnesses: &mut Witnesses,
    ) -> News {
        let Turn::Probing { began, is_witnessed, .. } = self.turn else { return News::Nothing };
        let (check, judgement) = (&self.check, &mut self.judgement);
        let news = match outcome {
            ProbeOutcome::Succeeded(_) => {
                witnesses.note(backend, began, true);
                judgement.succeeded(check, now)
            }
            ProbeOutcome::Failed(_) => {
                witnesses.note(backend, began, false);
                judgement.failed(check, began, now, is_witnessed)
            }
            ProbeOutcome::Unmade(_) => News::Nothing,
        };
        // Never later than the interval, and not in step with the probes of other backends.
        let next = began + timing::between(rng, self.check.interval.mul_f64(0.9), self.check.interval);
        self.turn = Turn::Resting(next.max(now));
        self.last = Some(Last { at: now, outcome });
        news
    }

    fn status(&self, now: Duration) -> Health {
        let state = match () {
            () if self.judgement.is_unwell() => HealthState::Unwell,
            () if self.judgement.failures() > 0 => HealthState::Failing,
            () if self.judgement.is_well() => HealthState::Well,
            () => HealthState::Unknown,
        };
        let ago = |at: Duration| now.saturating_sub(at);
        Health {
            state,
            unwell_for: self.judgement.unwell_since().map(ago),
            failures: self.judgement.failures(),
            successes: self.judgement.successes(),
            last: self
                .last
                .as_ref()
                .map(|last| LastProbe { ago: ago(last.at), outcome: last.outcome.clone() }),
        }
    }
}
