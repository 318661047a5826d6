//! The problems of services and their backends.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;

use super::super::problem::{Problem, ProblemId, Severity};
use super::ALL_GONE;
use super::health::of_health;
use super::weights::of_weights;
use crate::age::Age;
use crate::engine::{
    BackendState, BackendStatus, DescriptorStatus, Gone, HsdirAnswer, HsdirStatus, ServiceStatus,
    UploadProblem, UploadState,
};
use crate::names::Names;
use crate::runtime::ServiceReport;

/// The time for which HSDirs may lack a descriptor: relays come and go.
const INCOMPLETE: Duration = Duration::from_secs(300);
/// The number of uploads to an HSDir that may fail in a row.
const FAILURES: u32 = 3;
/// The time for which another publisher of a service is reported after it was last seen. HSDirs keep a
/// version-3 descriptor for its lifetime, which is three hours (rend-spec-v3 2.4).
const OTHER_SEEN: Duration = Duration::from_secs(3 * 3600);

/// The problems of a service and of its backends.
pub(super) fn of_service(report: &ServiceReport, now: UnixTime) -> impl Iterator<Item = Problem> {
    let ServiceReport { status, names, .. } = report;
    let backends = status.backends.iter();
    let missing = backends.clone().filter_map(move |backend| missing_backend(backend, status, names, now));
    let invalid = backends.filter_map(move |backend| invalid_backend(backend, status, names));
    let hsdirs = lacking(status, names, now).into_iter().chain(other_publisher(status, names));
    let of_service = down(status, names, now).into_iter().chain(missing).chain(invalid).chain(hsdirs);
    of_service.chain(of_health(status, names, now)).chain(of_weights(status, names, now))
}

/// The reason for which clients do not reach a service; `None` if they do, or if it has no backends: the
/// operator has configured it so.
fn down(service: &ServiceStatus, names: &Names, now: UnixTime) -> Option<Problem> {
    if service.backends.is_empty() {
        return None;
    }
    let name = names.service(&service.service);
    let problem = if let Some(stale) = service.stale_for.filter(|stale| *stale > ALL_GONE) {
        let text = format!("{name}: all backends have been gone for {}", Age(stale));
        let remedy = "start the tor of one of its backends";
        Problem::new(ProblemId::AllBackendsGone, Severity::Critical, text, remedy).lasting(Some(stale), now)
    } else if is_unpublished(service) {
        let text = format!("{name} is published nowhere");
        let remedy = "the other problems and the log say why";
        Problem::new(ProblemId::NotPublished, Severity::Critical, text, remedy)
    } else {
        return None;
    };
    Some(problem.of_service(&service.service))
}

/// True if no HSDir has ever acknowledged a descriptor.
pub(in super::super) fn is_unpublished(service: &ServiceStatus) -> bool {
    service.descriptors.iter().all(|descriptor| descriptor.revision.is_none())
}

/// A backend that is missing; `None` if it is live, or drained: a drained one may be switched off.
fn missing_backend(
    backend: &BackendStatus,
    service: &ServiceStatus,
    names: &Names,
    now: UnixTime,
) -> Option<Problem> {
    if backend.is_drained() {
        return None;
    }
    let name = names.backend(&backend.backend);
    let missing = backend.missing_for.map(|time| format!(" for {}", Age(time))).unwrap_or_default();
    let (id, text) = match backend.state {
        BackendState::Live => return None,
        BackendState::Gone(why) => {
            let why = match why {
                Gone::TooOld => "its last descriptor is too old",
                Gone::NotFound => "no HSDir has its descriptor any more",
            };
            (ProblemId::BackendGone, format!("{name} has been gone{missing}: {why}"))
        }
        BackendState::Unknown | BackendState::NotFound => {
            let asked = match backend.sources.iter().filter(|source| source.answer.is_some()).count() {
                0 => "no HSDir has answered yet".to_owned(),
                asked => format!("{asked} of {} HSDirs were asked, and none has it", backend.sources.len()),
            };
            (ProblemId::BackendNotFound, format!("{name} has not been found{missing}: {asked}"))
        }
    };
    let remedy = "is tor running on that machine?  systemctl status tor@default";
    let problem = Problem::new(id, Severity::Warning, text, remedy);
    let problem = problem.lasting(backend.missing_for, now);
    Some(problem.of_service(&service.service).of_backend(&backend.backend))
}

fn invalid_backend(backend: &BackendStatus, service: &ServiceStatus, names: &Names) -> Option<Problem> {
    let is_invalid = |answer: &Option<HsdirAnswer>| *answer == Some(HsdirAnswer::Invalid);
    let invalid = backend.sources.iter().filter(|source| is_invalid(&source.answer)).count();
    if invalid == 0 {
        return None;
    }
    let name = names.backend(&backend.backend);
    let text =
        format!("{name}: {invalid} of {} HSDirs gave a descriptor that is not valid", backend.sources.len());
    let remedy = "the log says what is wrong with it; is its tor current?";
    let problem = Problem::new(ProblemId::BackendInvalid, Severity::Warning, text, remedy);
    Some(problem.of_service(&service.service).of_backend(&backend.backend))
}

/// The HSDirs that have lacked a descriptor of a service for long: those that refuse it, and the others.
fn lacking(service: &ServiceStatus, names: &Names, now: UnixTime) -> Vec<Problem> {
    let fails = |state| matches!(state, UploadState::Pending { failures } if failures >= FAILURES);
    let is_failing = |descriptor: &&DescriptorStatus| {
        descriptor.revision.is_some()
            && (descriptor.incomplete_for.is_some_and(|time| time > INCOMPLETE)
                || descriptor.hsdirs.iter().any(|hsdir| fails(hsdir.state)))
    };
    let failing: Vec<_> = service.descriptors.iter().filter(is_failing).collect();
    let hsdirs = || failing.iter().flat_map(|descriptor| &descriptor.hsdirs);
    let longest = failing.iter().filter_map(|descriptor| descriptor.incomplete_for).max();
    let (name, all) = (names.service(&service.service), hsdirs().count());
    let problem = |id, number: usize, verb: &str, remedy: &str| {
        let text = format!("{name}: {number} of {all} HSDirs {verb} its descriptor");
        let problem = Problem::new(id, Severity::Warning, text, remedy).lasting(longest, now);
        (number > 0).then(|| problem.of_service(&service.service))
    };
    let is_refused = |hsdir: &&HsdirStatus| hsdir.problem == Some(UploadProblem::Refused);
    let refusing = hsdirs().filter(|hsdir| lacks(hsdir.state)).filter(is_refused).count();
    let others = hsdirs().filter(|hsdir| lacks(hsdir.state)).count() - refusing;
    let remedy = "the log has their reasons; mostly they hold a higher revision, which the next one exceeds";
    let of_refusing = problem(ProblemId::DescriptorRefused, refusing, "refuse", remedy);
    let remedy = "none is needed while most have it: uploads go on; the log says how they fail";
    of_refusing.into_iter().chain(problem(ProblemId::DescriptorIncomplete, others, "lack", remedy)).collect()
}

/// True if an HSDir lacks the present set, and could have it.
fn lacks(state: UploadState) -> bool {
    !matches!(state, UploadState::Stored | UploadState::Unknown)
}

/// Another publisher of a service; `None` if none was seen lately.
fn other_publisher(service: &ServiceStatus, names: &Names) -> Option<Problem> {
    let ago = service.descriptors.iter().filter_map(|descriptor| descriptor.other_ago).min()?;
    let name = names.service(&service.service);
    let text =
        format!("{name}: {} ago an HSDir had a descriptor that this balancer did not publish", Age(ago));
    let remedy = "does another balancer, or a tor with the key, publish it? stop all but one";
    let problem = Problem::new(ProblemId::OtherPublisher, Severity::Warning, text, remedy);
    (ago <= OTHER_SEEN).then(|| problem.of_service(&service.service))
}
