//! The problems of backends whose probes fail.

use onionbalance_proto::time::UnixTime;

use super::super::problem::{Problem, ProblemId, Severity};
use crate::age::Age;
use crate::engine::{BackendState, BackendStatus, HealthState, ProbeOutcome, ServiceStatus};
use crate::names::Names;

/// The problems with the health of a service's backends.
pub(super) fn of_health(
    service: &ServiceStatus,
    names: &Names,
    now: UnixTime,
) -> impl Iterator<Item = Problem> {
    let backends = service.backends.iter().filter(|of| of.state == BackendState::Live && !of.is_drained());
    let unwell = backends.clone().filter_map(move |backend| unwell(backend, service, names, now));
    all_unwell(service, names, now).into_iter().chain(unwell).chain(unmade(backends, service, names))
}

/// A backend that is unwell; `None` if it is not.
fn unwell(backend: &BackendStatus, service: &ServiceStatus, names: &Names, now: UnixTime) -> Option<Problem> {
    let health = backend.health.as_ref().filter(|health| health.state == HealthState::Unwell)?;
    let (name, time) = (names.backend(&backend.backend), health.unwell_for.unwrap_or_default());
    let why = health.last.as_ref().and_then(|last| match &last.outcome {
        ProbeOutcome::Failed(reason) => Some(format!(": {reason}")),
        ProbeOutcome::Succeeded(_) | ProbeOutcome::Unmade(_) => None,
    });
    let text = format!("{name} has been unwell for {}{}", Age(time), why.unwrap_or_default());
    let remedy = "does its service run on that machine? it gets visitors again when it answers";
    let problem = Problem::new(ProblemId::BackendUnwell, Severity::Warning, text, remedy);
    Some(problem.lasting(Some(time), now).of_service(&service.service).of_backend(&backend.backend))
}

/// A service whose probes all fail; `None` if they do not.
fn all_unwell(service: &ServiceStatus, names: &Names, now: UnixTime) -> Option<Problem> {
    let time = service.unwell_serve_for?;
    let name = names.service(&service.service);
    let text = format!(
        "{name}: the probes of all backends have failed for {}, so that all get visitors, as if there were none",
        Age(time)
    );
    let remedy = "visit one of the backends: if that works, the fault is at this balancer's tor";
    let problem = Problem::new(ProblemId::AllBackendsUnwell, Severity::Warning, text, remedy);
    Some(problem.lasting(Some(time), now).of_service(&service.service))
}

/// Backends that cannot be probed; `None` if all can.
fn unmade<'a>(
    backends: impl Iterator<Item = &'a BackendStatus>,
    service: &ServiceStatus,
    names: &Names,
) -> Option<Problem> {
    let reason = |backend: &'a BackendStatus| match &backend.health.as_ref()?.last.as_ref()?.outcome {
        ProbeOutcome::Unmade(reason) => Some(reason),
        ProbeOutcome::Succeeded(_) | ProbeOutcome::Failed(_) => None,
    };
    let mut reasons = backends.filter_map(reason);
    let first = reasons.next()?;
    let (name, number) = (names.service(&service.service), 1 + reasons.count());
    let text = format!("{name}: {number} of {} backends cannot be probed: {first}", service.backends.len());
    let remedy =
        "does this balancer's tor have a SocksPort? tor-socks-location in the configuration names it";
    Some(Problem::new(ProblemId::ProbesUnmade, Severity::Warning, text, remedy).of_service(&service.service))
}
