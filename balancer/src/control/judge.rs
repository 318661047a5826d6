//! The judgement of a request: the drains that it changes, or the reason for which it changes none. A pure
//! function of the state of all services, of the drains and of the time.

use std::collections::{BTreeMap, BTreeSet};

use onionbalance_proto::config::Name;
use onionbalance_proto::time::UnixTime;

use super::request::{Command, Effect, MAX_DRAIN_SECS, Outcome, Request};
use crate::engine::{BackendId, BackendState, BackendStatus, Drain, Drains, ServiceId, ServiceStatus};
use crate::names::Names;
use crate::runtime::{ServiceReport, State};
use crate::state::{AllDrains, MAX_DRAINS};

/// The most names that a refusal lists.
const MAX_LISTED: usize = 20;

/// The effect of a request that is granted.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Judgement {
    /// The new drains of each service whose drains change.
    pub(super) changes: AllDrains,
    /// The outcome for each service that is meant, in the order of the configuration.
    pub(super) outcomes: Vec<Outcome>,
}

/// The reason for which a request changes nothing.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("onionbalance balances no service yet: `onionbalance status` says what it waits for")]
    NoServices,
    #[error("there is no service {wanted}; the services are: {known}")]
    NoService { wanted: String, known: String },
    #[error("there is no backend {wanted}; there are: {known}")]
    NoBackend { wanted: String, known: String },
    #[error("{wanted} is the name of several backends: {known}; name one by its address, or add --service")]
    Ambiguous { wanted: String, known: String },
    #[error(
        "{backend} is the last live backend of {service}: drained, it would serve until another one is live; --force drains \
         it anyway"
    )]
    Last { backend: String, service: String },
    #[error(
        "no other backend of {service} is live, and {backend} was not looked for yet; --force drains it anyway"
    )]
    NoOther { backend: String, service: String },
    #[error("a drain lasts from 1 s to {} days", MAX_DRAIN_SECS / 86400)]
    Duration,
    #[error(
        "there are {MAX_DRAINS} drains: give backends that are to stay drained `weight: 0`, and enable them"
    )]
    TooMany,
}

/// Judges a request at `now`. `drains` are those in force, of which the runtimes may have to learn yet.
pub(super) fn judge(
    state: &State,
    drains: &AllDrains,
    request: &Request,
    now: UnixTime,
) -> Result<Judgement, Refusal> {
    let until = match request.command {
        Command::Drain { seconds: Some(seconds), .. } if !(1..=MAX_DRAIN_SECS).contains(&seconds) => {
            return Err(Refusal::Duration);
        }
        Command::Drain { seconds, .. } => seconds.map(|seconds| now.plus(seconds)),
        Command::Enable => None,
    };
    let targets = targets(state, drains, request)?;
    let mut judgement = Judgement { changes: AllDrains::new(), outcomes: Vec::new() };
    for target in targets {
        let (effect, new) = match request.command {
            Command::Drain { force, .. } => {
                if !force {
                    target.check_others()?;
                }
                let until_secs = until.map(|until| until.0);
                (Effect::Drained { until: until_secs }, target.with(Some(Drain { until })))
            }
            Command::Enable if target.drains.of(target.id()).is_some() => {
                let stays = target.backend.weight == 0;
                (if stays { Effect::WeightIsZero } else { Effect::Enabled }, target.with(None))
            }
            Command::Enable if target.backend.weight == 0 => (Effect::WeightIsZero, target.drains.clone()),
            Command::Enable => (Effect::NotDrained, target.drains.clone()),
        };
        judgement.outcomes.push(target.outcome(effect, &new));
        if new != target.drains {
            judgement.changes.insert(target.report.status.service.clone(), new);
        }
    }
    let before = |service: &ServiceId| drains.get(service).map_or(0, Drains::len);
    let others: usize = drains.values().map(Drains::len).sum();
    let total = judgement
        .changes
        .iter()
        .fold(others, |total, (service, new)| (total + new.len()).saturating_sub(before(service)));
    if total > MAX_DRAINS.max(others) { Err(Refusal::TooMany) } else { Ok(judgement) }
}

/// A backend of a service that a request means.
struct Target<'a> {
    report: &'a ServiceReport,
    backend: &'a BackendStatus,
    /// The drains of the service.
    drains: Drains,
}

/// The backends that a request means, in the order of the configuration.
fn targets<'a>(state: &'a State, drains: &AllDrains, request: &Request) -> Result<Vec<Target<'a>>, Refusal> {
    // While a service moves from one tor to another, both may have it.
    let services: BTreeMap<&ServiceId, &ServiceReport> =
        state.services().map(|report| (&report.status.service, report)).collect();
    let mut services: Vec<&ServiceReport> = services.into_values().collect();
    services.sort_by_key(|report| report.names.place(&report.status.service));
    if services.is_empty() {
        return Err(Refusal::NoServices);
    }
    if let Some(wanted) = &request.service {
        let known = listed(services.iter().map(|report| service_name(report)));
        services.retain(|report| {
            let service = &report.status.service;
            is_meant(wanted, report.names.of_service(service).map(Name::as_str), &service.0)
        });
        if services.is_empty() {
            return Err(Refusal::NoService { wanted: wanted.clone(), known });
        }
    }
    let wanted = &request.backend;
    let backends =
        || services.iter().flat_map(|report| report.status.backends.iter().map(move |of| (*report, of)));
    let target = |(report, backend): (&'a ServiceReport, &'a BackendStatus)| {
        let name = report.names.of_backend(&backend.backend).map(Name::as_str);
        let drains = || drains.get(&report.status.service).cloned().unwrap_or_default();
        is_meant(wanted, name, &backend.backend.0).then(|| Target { report, backend, drains: drains() })
    };
    let targets: Vec<_> = backends().filter_map(target).collect();
    let ids: BTreeSet<&BackendId> = targets.iter().map(Target::id).collect();
    match ids.len() {
        0 => {
            let known = listed(backends().map(|(report, of)| report.names.backend(&of.backend).to_owned()));
            Err(Refusal::NoBackend { wanted: wanted.clone(), known })
        }
        1 => Ok(targets),
        _ => {
            let known =
                targets.iter().map(|target| format!("{} of {}", target.id(), service_name(target.report)));
            Err(Refusal::Ambiguous { wanted: wanted.clone(), known: listed(known) })
        }
    }
}

impl Target<'_> {
    fn id(&self) -> &BackendId {
        &self.backend.backend
    }

    /// The drains of the service with this one for the backend; `None`: without one.
    fn with(&self, drain: Option<Drain>) -> Drains {
        let mut drains = self.drains.clone();
        match drain {
            Some(drain) => drains.insert(self.id().clone(), drain),
            None => drains.remove(self.id()),
        }
        drains
    }

    /// Checks that another backend serves, unless this one does not serve anyway.
    fn check_others(&self) -> Result<(), Refusal> {
        let status = &self.report.status;
        if is_drained(self.backend, &self.drains)
            || serving(status, &self.with(Some(Drain { until: None }))) > 0
        {
            return Ok(());
        }
        let names = &self.report.names;
        let (backend, service) = (names.backend(self.id()).to_owned(), service_name(self.report));
        match self.backend.state {
            BackendState::Live if is_out(self.backend, status) => Ok(()),
            BackendState::Live => Err(Refusal::Last { backend, service }),
            BackendState::Unknown => Err(Refusal::NoOther { backend, service }),
            BackendState::NotFound | BackendState::Gone(_) => Ok(()),
        }
    }

    fn outcome(&self, effect: Effect, drains: &Drains) -> Outcome {
        let names: &Names = &self.report.names;
        let name = names.of_backend(self.id()).map_or(&*self.id().0, Name::as_str);
        Outcome {
            service: service_name(self.report),
            backend: name.to_owned(),
            effect,
            serving: serving(&self.report.status, drains),
            backends: self.report.status.backends.len(),
        }
    }
}

/// The number of backends that are live and well, and not drained.
fn serving(status: &ServiceStatus, drains: &Drains) -> usize {
    let serves = |of: &&BackendStatus| {
        of.state == BackendState::Live && !is_out(of, status) && !is_drained(of, drains)
    };
    status.backends.iter().filter(serves).count()
}

/// True if a backend gets no visitors because it is unwell. If all are, they serve.
fn is_out(backend: &BackendStatus, service: &ServiceStatus) -> bool {
    backend.is_unwell() && service.unwell_serve_for.is_none()
}

fn is_drained(backend: &BackendStatus, drains: &Drains) -> bool {
    backend.weight == 0 || drains.of(&backend.backend).is_some()
}

/// True if an operator's word is this name, or this address with or without `.onion`.
fn is_meant(wanted: &str, name: Option<&str>, address: &str) -> bool {
    name == Some(wanted) || wanted == address || address.strip_suffix(".onion") == Some(wanted)
}

/// The name of a service, else its address.
fn service_name(report: &ServiceReport) -> String {
    report.names.service(&report.status.service).to_owned()
}

/// The first names of a list, with the number of further ones.
fn listed(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    let first = all.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(MAX_LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
