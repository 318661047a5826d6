//! The problems in a state. Each text names the thing first, with what is wrong; each remedy is one step.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;

use super::problem::{Problem, ProblemId, Severity};
use crate::age::Age;
use crate::engine::{
    BackendState, BackendStatus, DescriptorStatus, Gone, HsdirAnswer, ServiceStatus, UploadState,
};
use crate::names::Names;
use crate::runtime::{ConsensusAge, ServiceReport, State, TorState};

/// The time for which the signer or a tor may be away: a restart takes seconds.
const AWAY: Duration = Duration::from_secs(60);
/// The time after which a set whose backends have all gone counts as down.
const ALL_GONE: Duration = Duration::from_secs(300);
/// The time for which HSDirs may lack a descriptor: relays come and go.
const INCOMPLETE: Duration = Duration::from_secs(300);
/// The remaining time of a delegation from which on it is a problem.
pub(crate) const DELEGATION_ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// The number of uploads to an HSDir that may fail in a row.
const FAILURES: u32 = 3;
/// HSDirs keep a descriptor for its lifetime, which is three hours (rend-spec-v3 2.4).
const WITHOUT_BALANCER: &str = "what was published before stays reachable for up to 3 h";

/// All problems in this state at the time `now`.
pub(super) fn of(state: &State, now: UnixTime) -> impl Iterator<Item = Problem> {
    let tors = state.tors.iter().flat_map(move |tor| of_tor(tor, now));
    let services = state.services().flat_map(move |service| of_service(service, now));
    let services =
        services.chain(state.services().filter_map(move |service| delegation(state, service, now)));
    signer(state, now).into_iter().chain(reload(state, now)).chain(tors).chain(services)
}

fn signer(state: &State, now: UnixTime) -> Option<Problem> {
    let trouble = state.signer.as_ref()?;
    let away = trouble.since.elapsed();
    if away <= AWAY {
        return None;
    }
    // Without a signer nothing was ever published by this process.
    let (severity, until) = if state.tors.is_empty() {
        (Severity::Critical, String::new())
    } else {
        (Severity::Warning, format!("; {WITHOUT_BALANCER}"))
    };
    let text = format!("the signer has been away for {}: {}", Age(away), trouble.problem);
    let remedy = format!("systemctl status onionbalance-signer{until}");
    Some(Problem::new(ProblemId::SignerUnreachable, severity, text, remedy).lasting(Some(away), now))
}

fn reload(state: &State, now: UnixTime) -> Option<Problem> {
    let refusal = state.reload.as_ref()?;
    let text = format!("the last reload was refused: {}", refusal.problem);
    let remedy = "correct the configuration, and reload again:  systemctl reload onionbalance";
    let problem = Problem::new(ProblemId::ReloadRefused, Severity::Warning, text, remedy);
    Some(problem.lasting(Some(refusal.since.elapsed()), now))
}

fn of_tor(tor: &TorState, now: UnixTime) -> impl Iterator<Item = Problem> + use<> {
    let places = tor.places();
    let new = |id, text, remedy: &str| Problem::new(id, Severity::Warning, text, remedy);
    let away = (!tor.is_ready && tor.since > AWAY).then(|| {
        let text = format!("tor at {places} has been away for {}", Age(tor.since));
        let remedy = format!("is it running?  systemctl status tor@default; {WITHOUT_BALANCER}");
        new(ProblemId::TorUnreachable, text, &remedy).lasting(Some(tor.since), now)
    });
    let consensus = match tor.consensus {
        ConsensusAge::Old(age) if tor.is_ready => {
            let text = format!("tor at {places} has had no current consensus for {}", Age(age));
            let remedy = "check its connection to the network, and this machine's clock";
            Some(new(ProblemId::TorConsensusOld, text, remedy).lasting(Some(age), now))
        }
        ConsensusAge::Early(by) if tor.is_ready => {
            let text = format!("this machine's clock is {} behind the consensus of tor at {places}", Age(by));
            Some(new(ProblemId::ClockSkew, text, "set the clock:  timedatectl set-ntp true"))
        }
        ConsensusAge::Current | ConsensusAge::Old(_) | ConsensusAge::Early(_) => None,
    };
    let behind = tor.load.behind_for.map(|time| {
        let (waiting, longest) = (tor.load.waiting(), Age(tor.load.longest_wait));
        let text = format!(
            "tor at {places} has more to do than one tor can: {waiting} requests wait, the longest for {longest}"
        );
        let remedy = "list more tors under `tor:`, or give each fewer services";
        new(ProblemId::TorOverloaded, text, remedy).lasting(Some(time), now)
    });
    let restart = tor.posts.is_restart_due.then(|| {
        let posts = tor.posts.since_start;
        let text =
            format!("tor at {places} has taken {posts} posts since it started, and loses memory with each");
        new(ProblemId::TorRestartDue, text, "restart it when few visitors are there")
    });
    away.into_iter().chain(consensus).chain(behind).chain(restart)
}

fn of_service(report: &ServiceReport, now: UnixTime) -> impl Iterator<Item = Problem> {
    let ServiceReport { status, names, .. } = report;
    let backends = status.backends.iter();
    let missing = backends.clone().filter_map(move |backend| missing_backend(backend, status, names, now));
    let invalid = backends.filter_map(move |backend| invalid_backend(backend, status, names));
    down(status, names, now).into_iter().chain(missing).chain(invalid).chain(incomplete(status, names, now))
}

/// The end of the delegation of a service; `None` if it is not near, or if the signer has the key.
fn delegation(state: &State, report: &ServiceReport, now: UnixTime) -> Option<Problem> {
    let service = &report.status.service;
    let end = *state.delegations.get(service)?;
    let (name, at) = (report.names.service(service), end.rfc3339());
    let left = Duration::from_secs(end.since(now));
    let problem = if left.is_zero() {
        let text = format!("{name}: the delegation ended at {at}, and nothing can be signed");
        let remedy = format!("install the next one, and restart the signer; {WITHOUT_BALANCER}");
        Problem::new(ProblemId::DelegationEnded, Severity::Critical, text, remedy)
    } else if left < DELEGATION_ENDS_SOON {
        let text = format!("{name}: the delegation ends in {}, at {at}", Age(left));
        let remedy = "make the next one where the key is:  onionbalance-key delegate";
        Problem::new(ProblemId::DelegationEnding, Severity::Warning, text, remedy)
    } else {
        return None;
    };
    Some(problem.of_service(service))
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
pub(super) fn is_unpublished(service: &ServiceStatus) -> bool {
    service.descriptors.iter().all(|descriptor| descriptor.revision.is_none())
}

fn missing_backend(
    backend: &BackendStatus,
    service: &ServiceStatus,
    names: &Names,
    now: UnixTime,
) -> Option<Problem> {
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

/// The HSDirs that have lacked a descriptor of a service for long; `None` if there are none.
fn incomplete(service: &ServiceStatus, names: &Names, now: UnixTime) -> Option<Problem> {
    let fails = |state| matches!(state, UploadState::Pending { failures } if failures >= FAILURES);
    let is_failing = |descriptor: &&DescriptorStatus| {
        descriptor.revision.is_some()
            && (descriptor.incomplete_for.is_some_and(|time| time > INCOMPLETE)
                || descriptor.hsdirs.iter().any(|hsdir| fails(hsdir.state)))
    };
    let failing: Vec<_> = service.descriptors.iter().filter(is_failing).collect();
    let hsdirs = || failing.iter().flat_map(|descriptor| &descriptor.hsdirs);
    let lacking = hsdirs().filter(|hsdir| lacks(hsdir.state)).count();
    if lacking == 0 {
        return None;
    }
    let name = names.service(&service.service);
    let text = format!("{name}: {lacking} of {} HSDirs lack its descriptor", hsdirs().count());
    let remedy = "none is needed while most have it: uploads go on; the log says how they fail";
    let longest = failing.iter().filter_map(|descriptor| descriptor.incomplete_for).max();
    let problem = Problem::new(ProblemId::DescriptorIncomplete, Severity::Warning, text, remedy);
    Some(problem.lasting(longest, now).of_service(&service.service))
}

/// True if an HSDir lacks the present set, and could have it.
fn lacks(state: UploadState) -> bool {
    !matches!(state, UploadState::Stored | UploadState::Unknown)
}
