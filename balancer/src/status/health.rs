//! The health of everything as one word with its reasons, for the service manager and the log.

use std::fmt;
use std::time::Duration;

use crate::age::Age;
use crate::engine::{BackendState, BackendStatus, DescriptorStatus, ServiceStatus, UploadState};
use crate::names::Names;
use crate::runtime::{Behind, ConsensusAge, ServiceReport, State, TorState};

/// The time in which a process that has just started may lack something.
const START: Duration = Duration::from_secs(120);
/// The time for which the signer or a tor may be away: a restart takes seconds.
const AWAY: Duration = Duration::from_secs(60);
/// The time after which a set whose backends have all gone counts as down.
const ALL_GONE: Duration = Duration::from_secs(300);
/// The number of uploads to an HSDir that may fail in a row: relays come and go.
const FAILURES: u32 = 3;

/// The health of everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// The signer or a tor has never been there, and is waited for.
    Waiting(String),
    /// The process is in its first minutes, in which something may be missing.
    Starting(Counts),
    /// Nothing has to be done.
    Ok(Counts),
    /// Clients reach every service, but an operator should act; at least one problem.
    Degraded(Vec<String>),
    /// Clients do not reach some service; at least one problem.
    Down(Vec<String>),
}

/// The numbers of services and backends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counts {
    services: usize,
    backends: usize,
    live: usize,
}

impl Health {
    /// The health of this state.
    pub fn of(state: &State) -> Self {
        if let Some(missing) = waiting(state) {
            return Self::Waiting(missing);
        }
        let down: Vec<String> = state.services().filter_map(down).collect();
        let degraded: Vec<String> = degraded(state).collect();
        let counts = Counts::of(state);
        match (down.is_empty(), degraded.is_empty()) {
            (true, true) if state.services().all(|service| is_published(&service.status)) => Self::Ok(counts),
            _ if state.uptime < START => Self::Starting(counts),
            (true, true) => Self::Degraded(vec!["descriptors are being uploaded".to_owned()]),
            (true, false) => Self::Degraded(degraded),
            (false, _) => Self::Down(down),
        }
    }
}

/// The signer or a tor that some service needs and that has never been there; `None` if there is none.
fn waiting(state: &State) -> Option<String> {
    if state.tors.is_empty() {
        let problem = state.signer.as_ref().map_or("no answer yet", |trouble| &trouble.problem);
        return Some(format!("the signer: {problem}"));
    }
    let is_waited_for = |tor: &&TorState| {
        let mut services = tor.services.iter().map(|service| &service.status);
        !tor.is_ready && !tor.services.is_empty() && services.all(is_unpublished)
    };
    let tor = state.tors.iter().find(is_waited_for)?;
    Some(format!("tor at {}", tor.places()))
}

/// The reason for which clients do not reach a service; `None` if they do.
fn down(ServiceReport { status: service, names, .. }: &ServiceReport) -> Option<String> {
    let name = names.service(&service.service);
    if service.backends.is_empty() {
        // The operator has configured the service so.
        return None;
    }
    if let Some(stale) = service.stale_for.filter(|stale| *stale > ALL_GONE) {
        return Some(format!("{name}: all backends have been gone for {}", Age(stale)));
    }
    is_unpublished(service).then(|| format!("{name} is published nowhere"))
}

fn degraded(state: &State) -> impl Iterator<Item = String> {
    let signer = state.signer.iter().filter(|trouble| trouble.since.elapsed() > AWAY);
    let signer = signer.map(|trouble| {
        format!("the signer has been away for {}: {}", Age(trouble.since.elapsed()), trouble.problem)
    });
    let tors = state.tors.iter().filter(|tor| !tor.is_ready && tor.since > AWAY);
    let tors = tors.map(|tor| format!("tor at {} has been away for {}", tor.places(), Age(tor.since)));
    let consensuses = state.tors.iter().filter(|tor| tor.is_ready).filter_map(old_consensus);
    let behind = state.tors.iter().filter(|tor| tor.load.behind_for.is_some());
    let behind = behind.map(|tor| format!("tor at {}: {}", tor.places(), Behind(&tor.load)));
    let restarts = state.tors.iter().filter(|tor| tor.posts.is_restart_due).map(restart_due);
    let backends = state.services().flat_map(|ServiceReport { status, names, .. }| {
        status.backends.iter().filter_map(|backend| missing_backend(backend, names))
    });
    let descriptors = state.services().filter_map(|ServiceReport { status, names, .. }| {
        let fails = status.descriptors.iter().any(is_failing);
        fails.then(|| format!("{}: uploads to some HSDirs fail", names.service(&status.service)))
    });
    signer.chain(tors).chain(consensuses).chain(behind).chain(restarts).chain(backends).chain(descriptors)
}

fn old_consensus(tor: &TorState) -> Option<String> {
    match tor.consensus {
        ConsensusAge::Current => None,
        ConsensusAge::Old(age) => {
            Some(format!("tor at {} has had no current consensus for {}", tor.places(), Age(age)))
        }
        ConsensusAge::Early(by) => {
            let by = Age(by);
            Some(format!("this machine's clock is {by} behind the consensus of tor at {}", tor.places()))
        }
    }
}

fn restart_due(tor: &TorState) -> String {
    let posts = tor.posts.since_start;
    format!(
        "tor at {} has taken {posts} posts since it started, and loses memory with each: restart it",
        tor.places()
    )
}

fn missing_backend(backend: &BackendStatus, names: &Names) -> Option<String> {
    let name = names.backend(&backend.backend);
    match backend.state {
        BackendState::Live => None,
        BackendState::Gone(_) => Some(format!("{name} is gone")),
        BackendState::Unknown | BackendState::NotFound => Some(format!("{name} has not been found")),
    }
}

fn is_failing(descriptor: &DescriptorStatus) -> bool {
    let fails = |state| matches!(state, UploadState::Pending { failures } if failures >= FAILURES);
    descriptor.hsdirs.iter().any(|hsdir| fails(hsdir.state))
}

/// True if each descriptor is at one HSDir at least, or there is nothing to publish.
fn is_published(service: &ServiceStatus) -> bool {
    let stored = |descriptor: &DescriptorStatus| {
        descriptor.hsdirs.iter().any(|hsdir| hsdir.state == UploadState::Stored)
    };
    service.backends.is_empty() || !service.descriptors.is_empty() && service.descriptors.iter().all(stored)
}

/// True if no HSDir has ever acknowledged a descriptor.
fn is_unpublished(service: &ServiceStatus) -> bool {
    service.descriptors.iter().all(|descriptor| descriptor.revision.is_none())
}

impl Counts {
    fn of(state: &State) -> Self {
        let backends = || state.services().flat_map(|service| &service.status.backends);
        Self {
            services: state.services().count(),
            backends: backends().count(),
            live: backends().filter(|backend| backend.state == BackendState::Live).count(),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { services, backends, live } = self;
        let noun = if *services == 1 { "service" } else { "services" };
        write!(f, "{services} {noun}, {live} of {backends} backends live")
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(missing) => write!(f, "waiting for {missing}"),
            Self::Starting(counts) => write!(f, "starting: {counts}"),
            Self::Ok(counts) => write!(f, "ok: {counts}"),
            Self::Degraded(problems) => write!(f, "degraded: {}", summary(problems)),
            Self::Down(problems) => write!(f, "down: {}", summary(problems)),
        }
    }
}

/// The first problem in full, with the number of all.
fn summary(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        [only] => only.clone(),
        [first, ..] => format!("{} problems, the first: {first}", problems.len()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::engine::Gone;
    use crate::signer::Trouble;
    use crate::status::testing::{BEHIND, backend, descriptor, report, service, state_of};

    const LONG: Duration = Duration::from_secs(3600);

    fn state(uptime: Duration, is_ready: bool, services: Vec<ServiceStatus>) -> State {
        let mut state = state_of(services.into_iter().map(named).collect());
        state.uptime = uptime;
        (state.tors[0].is_ready, state.tors[0].since) = (is_ready, uptime);
        state
    }

    fn named(service: ServiceStatus) -> ServiceReport {
        report(service, Some("shop"), &[("b", "web2")])
    }

    fn shop(backends: Vec<BackendStatus>) -> ServiceStatus {
        ServiceStatus { descriptors: vec![descriptor(7, 0, Some(60))], backends, ..service("shop.onion") }
    }

    fn gone(name: &str) -> BackendStatus {
        BackendStatus { state: BackendState::Gone(Gone::TooOld), ..backend(name, Some(1)) }
    }

    fn said(state: &State) -> String {
        Health::of(state).to_string()
    }

    #[test]
    fn all_is_well() {
        let state = state(LONG, true, vec![shop(vec![backend("a", Some(1)), backend("b", Some(1))])]);
        assert_eq!(said(&state), "ok: 1 service, 2 of 2 backends live");
    }

    #[test]
    fn what_has_never_been_there_is_waited_for() {
        let trouble = Trouble { since: Instant::now(), problem: "the signer is not ready: no key".into() };
        let mut state = state(LONG, false, vec![ServiceStatus { descriptors: vec![], ..shop(vec![]) }]);
        assert_eq!(said(&state), "waiting for tor at unix:/run/tor/control");
        state.tors.clear();
        assert_eq!(said(&state), "waiting for the signer: no answer yet");
        state.signer = Some(trouble);
        assert_eq!(said(&state), "waiting for the signer: the signer is not ready: no key");
    }

    #[test]
    fn a_backend_that_is_gone_degrades_and_all_of_them_are_down() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1)), gone("b")])]);
        assert_eq!(said(&state), "degraded: web2 is gone");
        let stale_for = Some(ALL_GONE + Duration::from_secs(60));
        state.tors[0].services = vec![named(ServiceStatus { stale_for, ..shop(vec![gone("a"), gone("b")]) })];
        assert_eq!(said(&state), "down: shop: all backends have been gone for 6 min");
    }

    #[test]
    fn the_first_minutes_are_a_start() {
        let unpublished = ServiceStatus { descriptors: vec![], ..shop(vec![backend("a", Some(1))]) };
        assert_eq!(
            said(&state(AWAY, true, vec![unpublished.clone()])),
            "starting: 1 service, 1 of 1 backends live"
        );
        assert_eq!(said(&state(LONG, true, vec![unpublished])), "down: shop is published nowhere");
    }

    #[test]
    fn a_tor_that_goes_is_told_of_after_a_minute() {
        let mut state = state(LONG, false, vec![shop(vec![backend("a", Some(1)), gone("b")])]);
        let told = "degraded: 2 problems, the first: tor at unix:/run/tor/control has been away for 1 h";
        assert_eq!(said(&state), told);
        state.tors[0].since = AWAY;
        assert_eq!(said(&state), "degraded: web2 is gone");
    }

    #[test]
    fn a_tor_without_a_current_consensus_is_told_of() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1))])]);
        for (consensus, told) in [
            (
                ConsensusAge::Old(LONG * 3),
                "degraded: tor at unix:/run/tor/control has had no current consensus for 3 h",
            ),
            (
                ConsensusAge::Early(LONG * 5),
                "degraded: this machine's clock is 5 h behind the consensus of tor at unix:/run/tor/control",
            ),
            (ConsensusAge::Current, "ok: 1 service, 1 of 1 backends live"),
        ] {
            state.tors[0].consensus = consensus;
            assert_eq!(said(&state), told);
        }
    }

    #[test]
    fn a_tor_that_is_due_for_a_restart_is_told_of() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1))])]);
        state.tors[0].posts.is_restart_due = true;
        let told = "degraded: tor at unix:/run/tor/control has taken 30 posts since it started, and loses memory with each: \
                    restart it";
        assert_eq!(said(&state), told);
    }

    #[test]
    fn a_tor_that_is_behind_is_told_of_with_the_remedy() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1))])]);
        state.tors[0].load = BEHIND;
        let told = said(&state);
        assert!(
            told.starts_with("degraded: tor at unix:/run/tor/control: more to do than one tor can: "),
            "{told}"
        );
        assert!(told.ends_with("; use more tors, or fewer services per tor"), "{told}");
    }
}
