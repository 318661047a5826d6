//! Health: a backend that does not answer its probes leaves in time, one that does returns, and nobody is
//! blamed for tor's own trouble.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{Action, BackendId, BackendStatus, HealthNotice, Notice, ServiceId};
use onionbalance_proto::config::HealthCheck;

use super::super::balancer::number_of;
use super::super::network::id::RelayId;
use super::super::onion_version::OnionVersion;
use super::super::probing::service_of;
use super::super::time::Moment;
use super::super::world::World;
use super::Invariant;
use super::alarm::Alarm;
use super::probes::{Checked, Unfair};

/// The longest time that a probe may wait for its turn at tor; more is an excuse.
const TURN: Duration = Duration::from_mins(1);
/// The time after its time-out within which a probe has a result.
const OVERTIME: Duration = Duration::from_secs(5);
/// The time after its time-out at which a probe without a result is given up.
const GIVEN_UP: Duration = Duration::from_secs(35);
/// The longest hold-down of a backend that falls again and again.
const HOLD_DOWN: Duration = Duration::from_mins(10);

/// The longest time from the beginning of a probe to its result.
fn answer(check: &HealthCheck) -> Duration {
    check.timeout + OVERTIME
}

/// The longest time between the beginnings of two probes that have results.
fn step(check: &HealthCheck) -> Duration {
    check.interval.max(answer(check)) + TURN
}

/// The time after which a backend that has failed all the time is unwell, if `witness` has answered all the
/// time: the first failure is known, then the witness's next probe begins and succeeds, and then its own next
/// probe begins and fails; or it has failed often enough after that.
fn fall(check: &HealthCheck, witness: &HealthCheck) -> Duration {
    let witnessed = step(witness) + answer(witness) + step(check);
    witnessed.max(step(check) * u32::from(check.fall)) + answer(check)
}

/// The time after which a backend that has answered all the time is well, whatever was before.
fn rise(check: &HealthCheck) -> Duration {
    HOLD_DOWN + step(check) * (u32::from(check.rise) + 1) + answer(check)
}

impl<V: OnionVersion> World<V> {
    /// Checks a notice of a health check.
    pub(super) fn check_health_notice(&mut self, notice: &HealthNotice) {
        match notice {
            HealthNotice::Unwell { backend, port, .. } => self.backend_falls(backend, service_of(*port)),
            HealthNotice::Well { backend, port, .. } => self.backend_rises(backend, service_of(*port)),
            HealthNotice::AllUnwell { service } => self.all_serve(service, true),
            HealthNotice::SomeWell { service, .. } => self.all_serve(service, false),
        }
    }

    /// Notes that services choose among others. The notice of that comes after the posts of the choice.
    pub fn hear_of_other_offers(&mut self, actions: &[Action<V>]) {
        for action in actions {
            let Action::Notice(
                Notice::Health(HealthNotice::AllUnwell { service } | HealthNotice::SomeWell { service, .. })
                | Notice::DrainEnded { service, .. },
            ) = action
            else {
                continue;
            };
            for backend in &self.services[number_of(&service.0)].backends {
                self.watch.changed[*backend] = self.now;
            }
        }
    }

    fn backend_falls(&mut self, id: &BackendId, service: usize) {
        let backend = number_of(&id.0);
        let unfair = self.watch.health.get_mut(service, backend).and_then(Checked::falls);
        match unfair {
            None => {}
            Some(Unfair::TooFew) => {
                self.fail(Invariant::Health, &id.0, "its probes have not failed often enough".into());
            }
            Some(Unfair::Tor) => {
                self.fail(Invariant::Blame, &id.0, "its probes failed because of tor".into());
            }
        }
        self.offer_changed(service, backend);
        self.plan_prompt_look(service);
    }

    fn backend_rises(&mut self, id: &BackendId, service: usize) {
        let backend = number_of(&id.0);
        if self.watch.health.get_mut(service, backend).is_some_and(|checked| !checked.rises()) {
            self.fail(Invariant::Health, &id.0, "its probes have not succeeded often enough".into());
        }
        self.offer_changed(service, backend);
        self.plan_prompt_look(service);
    }

    fn all_serve(&mut self, id: &ServiceId, all: bool) {
        let service = number_of(&id.0);
        self.watch.health.serve_all(service, all);
        let backends = self.services[service].backends.clone();
        if !all && !backends.iter().any(|backend| self.watch.prompt.is_live(*backend)) {
            self.fail(Invariant::Health, &id.0, "a backend answers that is not even live".into());
        }
        for backend in backends {
            self.offer_changed(service, backend);
        }
        self.plan_prompt_look(service);
    }

    /// Notes that a service may choose others.
    fn offer_changed(&mut self, service: usize, backend: usize) {
        self.watch.changed[backend] = self.now;
        self.watch.prompt.offer_changed(backend, self.now);
        self.touch(service);
    }

    /// Checks that each backend that is live is probed at its interval.
    pub(super) fn check_probed(&mut self) {
        if !self.is_free() {
            return;
        }
        let free = self.undisturbed.max(self.watch.health.crowded).max(self.clock_stepped);
        let is_late = |(backend, checked): &(usize, &Checked)| {
            let last = checked.last.map_or(checked.since, |(_, began)| began);
            let from = last.max(free).max(self.watch.changed[*backend]);
            let most = checked.check.interval.max(checked.check.timeout + GIVEN_UP) + TURN;
            self.watch.prompt.is_live(*backend) && self.now.since(from) > most
        };
        let late = self.watch.health.all().find(is_late);
        if let Some((backend, checked)) = late {
            let expected = format!("it was last probed at {:?}", checked.last);
            let of = self.backends[backend].id.0.clone();
            self.fail(Invariant::Health, &of, expected);
        }
    }

    /// True if a backend has no check in a service, or if its probes have succeeded for so long that it is
    /// offered.
    pub(super) fn is_surely_well(&self, service: usize, backend: usize, alarm: &mut Alarm) -> bool {
        let Some(checked) = self.watch.health.get(service, backend) else { return true };
        let well_from = self.well_from(backend, checked);
        well_from.is_some_and(|from| alarm.passed(from.after(self.promises.posted)))
    }

    /// The time from which on a backend is well by its results; `None` if its last one is not a success.
    fn well_from(&self, backend: usize, checked: &Checked) -> Option<Moment> {
        let from = checked.answering_since?.max(self.watch.health.crowded).max(self.undisturbed);
        self.watch.prompt.is_live(backend).then(|| from.after(rise(&checked.check)))
    }

    /// Checks that no backend is listed whose probes have failed for long while those of another one of the
    /// service have succeeded.
    pub(super) fn check_health(&mut self, number: usize, listed: &[(RelayId, Rc<[V]>)], alarm: &mut Alarm) {
        let service = &self.services[number];
        let free = self.undisturbed.max(service.undisturbed).max(self.watch.health.crowded);
        let free = free.max(service.configured.unwrap_or(Moment::NEVER));
        let mut unwell = self.watch.health.of_service(number).filter_map(|(backend, checked)| {
            let since = checked.failing_since?.max(free);
            let witnesses = service.serving().filter(|witness| **witness != backend);
            let left_by = witnesses.filter_map(|witness| {
                let other = self.watch.health.get(number, *witness)?;
                let well_from = self.well_from(*witness, other)?.max(self.watch.changed[*witness]);
                let known = since.max(well_from).after(fall(&checked.check, &other.check));
                Some(known.after(self.timing.debounce + self.promises.posted))
            });
            let left_by = left_by.min()?;
            (alarm.passed(left_by)).then_some((backend, checked.failing_since))
        });
        let is_of = |backend: usize| {
            let mut points = listed.iter().flat_map(|(_, points)| points.iter());
            points.any(|point| self.fates[point.id() as usize].backend == backend)
        };
        let found = unwell.find(|(backend, _)| is_of(*backend));
        drop(unwell);
        if let Some((backend, since)) = found {
            let (of, backend) = (service.id.0.clone(), &self.backends[backend].id);
            let expected = format!("{backend} is listed, and its probes have failed since {since:?}");
            self.fail(Invariant::Health, &of, expected);
        }
    }

    /// The fault in the numbers of results that the engine says.
    pub(super) fn wrong_health(&self, owner: usize, backend: &BackendStatus) -> Option<String> {
        let health = backend.health.as_ref()?;
        let Some(known) = self.watch.health.get(owner, number_of(&backend.backend.0)) else {
            return Some(format!("{} has a health, and no check", backend.backend));
        };
        let is_wrong = health.failures > known.failures || health.successes > known.successes;
        is_wrong.then(|| {
            let (failures, successes) = (known.failures, known.successes);
            format!("{} has had {failures} failures, {successes} successes: {health:?}", backend.backend)
        })
    }

    /// Notes the number of probes that wait.
    pub(super) fn note_waiting_probes(&mut self, waiting: usize) {
        self.watch.health.wait(waiting, self.now, TURN / 2);
    }
}
