//! The memory of probes: what their results say about each backend, and what the engine has said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use onionbalance::engine::{ProbeId, ProbeOutcome, ServiceSpec};
use onionbalance_proto::config::HealthCheck;

use super::super::balancer::number_of;
use super::super::probing::service_of;
use super::super::time::Moment;

/// The health checks of the engine's configuration, and their results.
pub struct Probes {
    /// Those of each backend of a service.
    checked: BTreeMap<(usize, usize), Checked>,
    /// The services all of whose backends are offered, because the probes of all fail.
    serve_all: BTreeSet<usize>,
    /// The last event after which no probe waited for its turn at tor.
    idle: Moment,
    /// The last event after which one had waited for long.
    pub crowded: Moment,
}

/// The check of a backend in a service.
pub struct Checked {
    /// The check.
    pub check: Arc<HealthCheck>,
    /// The time since which the engine has had it.
    pub since: Moment,
    /// The last probe, and its beginning; `None` before the first, or if tor was lost since.
    pub last: Option<(ProbeId, Moment)>,
    /// The most failures in a row that the engine can have counted.
    pub failures: u32,
    /// The most successes in a row that it can have counted.
    pub successes: u32,
    /// The beginning of the first probe of the present run of failures without a gap; `None` if there is no
    /// such run.
    pub failing_since: Option<Moment>,
    /// The same for successes.
    pub answering_since: Option<Moment>,
    /// The beginning of the trouble of tor that caused all failures in a row; `None` if it did not.
    by_tor: Option<Moment>,
    /// True if the probe of another backend had begun and failed shortly before the first failure in a row, or
    /// until the beginning of the second of these probes. The answer of an HSDir is no witness then.
    others_failed: bool,
    /// The beginning of the last probe that failed.
    failed: Option<Moment>,
    verdict: Verdict,
}

/// The verdict on a backend by the engine's notices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// It is offered.
    Good,
    /// It is unwell: it is not offered, unless all are.
    Out,
    /// It was unwell and has other introduction points: it is offered until the next result.
    Doubted,
    /// It was unwell and was found again, with the same introduction points or others.
    Unsure,
}

/// The time after the failure of another backend's probe in which its next result is awaited.
const RECENTLY: Duration = Duration::from_mins(9);

impl Checked {
    fn new(check: Arc<HealthCheck>, now: Moment) -> Self {
        Self {
            check,
            since: now,
            last: None,
            failures: 0,
            successes: 0,
            failing_since: None,
            answering_since: None,
            by_tor: None,
            others_failed: false,
            failed: None,
            verdict: Verdict::Good,
        }
    }

    /// Notes a gap between the results.
    fn interrupt(&mut self) {
        (self.failing_since, self.answering_since) = (None, None);
    }

    /// Notes that there may be other introduction points; there are if `sure`.
    fn points_changed(&mut self, sure: bool) {
        self.failing_since = None;
        if sure {
            self.failures = 0;
        }
        // If the engine has forgotten the failures, others may have failed before its first one.
        self.by_tor = None;
        if self.verdict != Verdict::Good {
            self.verdict = if sure { Verdict::Doubted } else { Verdict::Unsure };
        }
    }

    fn is_doubted(&self) -> bool {
        matches!(self.verdict, Verdict::Doubted | Verdict::Unsure)
    }

    /// Notes that it is unwell. Returns the fault of that, if there is one: too few failures, or only those
    /// of tor.
    pub fn falls(&mut self) -> Option<Unfair> {
        let by_results = self.failures >= u32::from(self.check.fall);
        // With a single failure to fall by, the witness comes before it: tor's trouble may begin in between.
        let is_blamed = self.by_tor.is_some() && self.others_failed && self.check.fall > 1;
        let unfair = match () {
            () if self.is_doubted() && self.failures > 0 => None,
            () if !by_results => Some(Unfair::TooFew),
            () if is_blamed => Some(Unfair::Tor),
            () => None,
        };
        self.verdict = Verdict::Out;
        unfair
    }

    /// Notes that it is well. Returns false if there were too few successes.
    pub fn rises(&mut self) -> bool {
        let enough = if self.is_doubted() { 1 } else { u32::from(self.check.rise) };
        self.verdict = Verdict::Good;
        self.successes >= enough
    }
}

/// The reason for which a backend should not be unwell.
pub enum Unfair {
    /// Too few of its probes have failed in a row.
    TooFew,
    /// All of them have failed because of our own tor.
    Tor,
}

/// The state before the first configuration.
impl Default for Probes {
    fn default() -> Self {
        let (checked, serve_all) = Default::default();
        Self { checked, serve_all, idle: Moment::ZERO, crowded: Moment::ZERO }
    }
}

impl Probes {
    /// Takes the checks of a configuration; those that stay keep their results.
    pub fn configure(&mut self, specs: &[ServiceSpec], now: Moment) {
        let mut before = std::mem::take(&mut self.checked);
        let mut services = BTreeSet::new();
        for spec in specs {
            let service = number_of(&spec.id.0);
            services.insert(service);
            for (backend, check) in &spec.checks {
                let key = (service, number_of(&backend.0));
                let known = before.remove(&key).filter(|known| known.check == *check);
                self.checked.insert(key, known.unwrap_or_else(|| Checked::new(check.clone(), now)));
            }
        }
        self.serve_all.retain(|service| services.contains(service));
    }

    /// Notes the number of probes that wait for their turn at tor.
    pub fn wait(&mut self, waiting: usize, now: Moment, patience: Duration) {
        if waiting == 0 {
            self.idle = now;
        } else if now.since(self.idle) > patience {
            self.crowded = now;
        }
    }

    /// Notes the beginning of a probe.
    pub fn begins(&mut self, backend: usize, check: &HealthCheck, id: ProbeId, now: Moment) {
        let key = (service_of(check.port), backend);
        let since = self.checked.get(&key).and_then(|checked| checked.failing_since);
        let have_others_failed = since.is_some_and(|since| {
            let mut others = self.checked.iter().filter(|((_, other), _)| *other != backend);
            others.any(|(_, other)| other.failed.is_some_and(|failed| failed.after(RECENTLY) >= since))
        });
        let Some(checked) = self.checked.get_mut(&key) else { return };
        checked.last = Some((id, now));
        if checked.failures == 1 {
            checked.others_failed = have_others_failed;
        }
    }

    /// Notes that the result of a backend's last probe will not come in time.
    pub fn is_left_open(&mut self, backend: usize, check: &HealthCheck) {
        if let Some(checked) = self.checked.get_mut(&(service_of(check.port), backend)) {
            checked.interrupt();
        }
    }

    /// Notes a result, with the beginning of tor's trouble if that caused the failure. True if a run of equal
    /// results begins with it.
    pub fn answered(
        &mut self,
        (backend, check, id): (usize, &HealthCheck, ProbeId),
        outcome: &ProbeOutcome,
        by_tor: Option<Moment>,
    ) -> bool {
        let Some(checked) = self.checked.get_mut(&(service_of(check.port), backend)) else { return false };
        let Some((_, began)) = checked.last.filter(|(last, _)| *last == id) else { return false };
        match outcome {
            ProbeOutcome::Succeeded(_) => {
                checked.failures = 0;
                checked.successes += 1;
                checked.failing_since = None;
                checked.answering_since.replace(checked.answering_since.unwrap_or(began)).is_none()
            }
            ProbeOutcome::Failed(_) => {
                checked.by_tor = by_tor.filter(|_| checked.failures == 0 || checked.by_tor == by_tor);
                checked.others_failed &= checked.failures > 0;
                checked.failures += 1;
                checked.successes = 0;
                checked.failed = Some(began);
                checked.answering_since = None;
                checked.failing_since.replace(checked.failing_since.unwrap_or(began)).is_none()
            }
            ProbeOutcome::Unmade(_) => {
                checked.interrupt();
                false
            }
        }
    }

    /// Notes that tor is lost: failures may have been its own.
    pub fn tor_lost(&mut self) {
        for checked in self.checked.values_mut() {
            (checked.last, checked.failures, checked.failing_since) = (None, 0, None);
            checked.failed = None;
        }
    }

    /// Notes that a backend was found, or has changed (`sure`): it may have, or has, other introduction
    /// points.
    pub fn points_changed(&mut self, backend: usize, sure: bool) {
        for (_, checked) in self.checked.iter_mut().filter(|((_, of), _)| *of == backend) {
            checked.points_changed(sure);
        }
    }

    /// Notes that all backends of a service are offered because the probes of all fail, or not any more.
    pub fn serve_all(&mut self, service: usize, all: bool) {
        if all {
            self.serve_all.insert(service);
        } else {
            self.serve_all.remove(&service);
        }
    }

    /// The checks of a service's backends.
    pub fn of_service(&self, service: usize) -> impl Iterator<Item = (usize, &Checked)> {
        self.checked.range((service, 0)..(service + 1, 0)).map(|((_, backend), checked)| (*backend, checked))
    }

    /// The checks of all services.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Checked)> {
        self.checked.iter().map(|((_, backend), checked)| (*backend, checked))
    }

    /// The check of a backend in a service; `None` if it has none.
    pub fn get(&self, service: usize, backend: usize) -> Option<&Checked> {
        self.checked.get(&(service, backend))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, service: usize, backend: usize) -> Option<&mut Checked> {
        self.checked.get_mut(&(service, backend))
    }

    /// True if a backend is not offered to a service, by the engine's notices.
    pub fn is_out(&self, service: usize, backend: usize) -> bool {
        !self.serve_all.contains(&service)
            && self.get(service, backend).is_some_and(|checked| checked.verdict == Verdict::Out)
    }

    /// True if the notices do not tell which backends are offered to a service.
    pub fn is_unsure(&self, service: usize) -> bool {
        self.of_service(service).any(|(_, checked)| checked.verdict == Verdict::Unsure)
    }
}
