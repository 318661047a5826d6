//! The verdict on the state of everything: one word for its health, and the problems. The service manager,
//! the log, the JSON object and the screen show the same one.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::problem::{Problem, ProblemId, Severity};
use super::problems::{self, is_unpublished};
use crate::engine::{BackendState, BackendStatus, DescriptorStatus, ServiceStatus, UploadState};
use crate::network::Absence;
use crate::plural::count;
use crate::runtime::{State, TorState};

/// The time in which a process that has just started may lack something.
const START: Duration = Duration::from_secs(120);

/// The verdict on the state of everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The health of everything.
    pub health: Health,
    /// The problems, those of greater severity first. While the process is starting, nothing counts as not
    /// published yet.
    pub problems: Vec<Problem>,
    /// The signer or the tor that has never been there and is waited for; `None` if there is none.
    awaited: Option<String>,
    counts: Counts,
}

/// The health of everything, or of a service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Nothing has to be done.
    Ok,
    /// The process is in its first minutes, in which something may be missing.
    Starting,
    /// Visitors get through, but somebody should act.
    Degraded,
    /// Visitors of some service do not get through.
    Down,
}

/// The numbers of services and backends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Counts {
    services: usize,
    backends: usize,
    live: usize,
    drained: usize,
}

impl Verdict {
    /// The verdict on this state at the time `now`.
    pub fn of(state: &State, now: UnixTime) -> Self {
        let mut problems: Vec<Problem> = problems::of(state, now).collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        let is_published = state.services().all(|service| is_published(&service.status));
        let worst = problems.iter().map(|problem| problem.severity).find(|of| *of > Severity::Advice);
        let awaited = awaited(state);
        let health = match worst {
            None if is_published && awaited.is_none() => Health::Ok,
            _ if state.uptime < START => Health::Starting,
            Some(Severity::Critical) => Health::Down,
            _ => Health::Degraded,
        };
        if health == Health::Starting {
            problems.retain(|problem| problem.since.is_some() || !is_of_start(problem.id));
        }
        Self { health, problems, awaited, counts: Counts::of(state) }
    }

    /// The problems that count for the health.
    fn serious(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity > Severity::Advice)
    }

    /// The health of single services.
    pub(super) fn healths(&self) -> ServiceHealths<'_> {
        let mut worst: HashMap<_, Severity> = HashMap::new();
        for problem in self.serious() {
            let known = worst.entry(problem.service.as_deref()).or_insert(problem.severity);
            *known = (*known).max(problem.severity);
        }
        ServiceHealths { is_starting: self.health == Health::Starting, worst }
    }
}

/// True for problems that end by themselves after a start.
fn is_of_start(id: ProblemId) -> bool {
    matches!(
        id,
        ProblemId::NotPublished
            | ProblemId::BackendNotFound
            | ProblemId::DescriptorIncomplete
            | ProblemId::DescriptorRefused
    )
}

/// The health of single services, by one verdict.
pub(super) struct ServiceHealths<'a> {
    is_starting: bool,
    /// The greatest severity of the problems of each address; at `None`, of those of no service in
    /// particular.
    worst: HashMap<Option<&'a str>, Severity>,
}

impl ServiceHealths<'_> {
    /// The health of a service. A problem that concerns no service in particular concerns each.
    pub(super) fn of(&self, service: &ServiceStatus) -> Health {
        let worst = self.worst.get(&None).max(self.worst.get(&Some(&*service.service.0)));
        match worst {
            _ if self.is_starting => Health::Starting,
            None if is_published(service) => Health::Ok,
            Some(Severity::Critical) => Health::Down,
            _ => Health::Degraded,
        }
    }
}

/// The signer or a tor that some service needs and that has never been there; `None` if there is none.
fn awaited(state: &State) -> Option<String> {
    if state.tors.is_empty() {
        let problem = state.signer.as_ref().map_or("no answer yet", |trouble| &trouble.problem);
        return Some(format!("the signer: {problem}"));
    }
    let is_awaited = |tor: &&TorState| {
        let mut services = tor.services.iter().map(|service| &service.status);
        !tor.is_ready && !tor.services.is_empty() && services.all(is_unpublished)
    };
    let tor = state.tors.iter().find(is_awaited)?;
    let progress = match &tor.absence {
        Some(Absence::Starting { percent, step, .. }) => format!(": bootstrapped {percent} %, {step}"),
        Some(Absence::Unreachable(_)) | None => String::new(),
    };
    Some(format!("tor at {}{progress}", tor.places()))
}

/// True if each descriptor is at one HSDir at least, or there is nothing to publish.
fn is_published(service: &ServiceStatus) -> bool {
    let is_stored = |descriptor: &DescriptorStatus| {
        descriptor.hsdirs.iter().any(|hsdir| hsdir.state == UploadState::Stored)
    };
    service.backends.is_empty()
        || !service.descriptors.is_empty() && service.descriptors.iter().all(is_stored)
}

impl Counts {
    fn of(state: &State) -> Self {
        let backends = || state.services().flat_map(|service| &service.status.backends);
        let is_live =
            |of: &&BackendStatus| of.state == BackendState::Live && !of.is_drained() && !of.is_unwell();
        Self {
            services: state.services().count(),
            backends: backends().count(),
            live: backends().filter(is_live).count(),
            drained: backends().filter(|backend| backend.is_drained()).count(),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { services, backends, live, drained } = self;
        write!(f, "{}, {live} of {backends} backends live", count(*services, "service"))?;
        if *drained > 0 { write!(f, ", {drained} drained") } else { Ok(()) }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Starting => "starting",
            Self::Degraded => "degraded",
            Self::Down => "down",
        })
    }
}

/// One line: the health, then the first problem in full with the number of all, or the numbers of services
/// and backends if there is none.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { health, awaited, counts, .. } = self;
        let mut serious = self.serious();
        let (first, more) = (serious.next(), serious.count());
        match (awaited, health, first) {
            (Some(awaited), ..) => write!(f, "waiting for {awaited}"),
            (None, Health::Ok | Health::Starting, _) => write!(f, "{health}: {counts}"),
            (None, _, None) => write!(f, "{health}: descriptors are being uploaded"),
            (None, _, Some(only)) if more == 0 => write!(f, "{health}: {}", only.text),
            (None, _, Some(first)) => {
                write!(f, "{health}: {} problems, the first: {}", more + 1, first.text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::engine::{self, Gone, HsdirStatus};
    use crate::runtime::{ConsensusAge, RefusedReload, ServiceReport};
    use crate::signer::Trouble;
    use crate::status::Moment;
    use crate::status::testing::{
        BEHIND, backend, descriptor, report, service, state_of, unmade, unwell, well,
    };

    const AWAY: Duration = Duration::from_secs(60);
    const ALL_GONE: Duration = Duration::from_secs(300);
    const NOW: UnixTime = UnixTime(1_795_336_111);
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
        Verdict::of(state, NOW).to_string()
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
        assert_eq!(said(&state), "degraded: web2 has been gone: its last descriptor is too old");
        let stale_for = Some(ALL_GONE + Duration::from_secs(60));
        state.tors[0].services = vec![named(ServiceStatus { stale_for, ..shop(vec![gone("a"), gone("b")]) })];
        assert_eq!(said(&state), "down: 3 problems, the first: shop: all backends have been gone for 6 min");
    }

    #[test]
    fn drained_backends_are_well_unless_they_serve() {
        let drained = BackendStatus { weight: 0, ..gone("a") };
        let mut well = shop(vec![drained, backend("b", Some(1))]);
        let all_well = "ok: 1 service, 1 of 2 backends live, 1 drained";
        assert_eq!(said(&state(LONG, true, vec![well.clone()])), all_well);
        well.drained_serve_for = Some(AWAY);
        assert_eq!(
            said(&state(LONG, true, vec![well])),
            "degraded: shop: drained backends get all visitors, because no other one is live"
        );
    }

    #[test]
    fn unwell_backends_degrade_and_those_that_cannot_be_probed() {
        let with = |name, health| BackendStatus { health: Some(health), ..backend(name, Some(1)) };
        let unwell = || with("b", unwell("no answer in time"));
        let mut shop = shop(vec![unwell(), with("a", well())]);
        assert_eq!(
            said(&state(LONG, true, vec![shop.clone()])),
            "degraded: web2 has been unwell for 12 min: no answer in time"
        );
        shop.backends[0].weight = 0;
        let drained = "ok: 1 service, 1 of 2 backends live, 1 drained";
        assert_eq!(said(&state(LONG, true, vec![shop.clone()])), drained);
        shop.backends = vec![
            unwell(),
            with("a", engine::Health { last: Some(unmade("tor has no SocksPort")), ..well() }),
        ];
        let verdict = Verdict::of(&state(LONG, true, vec![shop.clone()]), NOW);
        assert_eq!(verdict.problems[1].text, "shop: 1 of 2 backends cannot be probed: tor has no SocksPort");
        shop.unwell_serve_for = Some(AWAY);
        let told = said(&state(LONG, true, vec![shop]));
        assert!(told.contains("shop: the probes of all backends have failed for "), "{told}");
    }

    #[test]
    fn a_share_far_from_its_weight_is_told_of() {
        let share = |name, share, wished| BackendStatus {
            share: Some(share),
            wished_share: Some(wished),
            ..backend(name, Some(1))
        };
        let near = vec![share("a", 0.20, 0.16), share("b", 0.80, 0.84)];
        assert!(said(&state(LONG, true, vec![shop(near)])).starts_with("ok: "));
        let far = vec![share("a", 0.2, 0.1), share("b", 0.45, 0.6), share("c", 0.35, 0.3)];
        assert_eq!(
            said(&state(LONG, true, vec![shop(far)])),
            "degraded: shop: web2 gets 45 % of the visitors; its weight asks for 60 %"
        );
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
        assert_eq!(said(&state), "degraded: web2 has been gone: its last descriptor is too old");
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
        let told = "degraded: tor at unix:/run/tor/control has taken 30 posts since it started, and loses memory with each";
        assert_eq!(said(&state), told);
    }

    #[test]
    fn a_tor_that_is_behind_is_told_of_with_the_remedy() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1))])]);
        state.tors[0].load = BEHIND;
        let told = "degraded: tor at unix:/run/tor/control has more to do than one tor can: 6912 requests wait, the longest for 20 \
                    min";
        assert_eq!(said(&state), told);
    }

    #[test]
    fn a_reload_that_was_refused_is_told_of() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1))])]);
        let problem = "config.yaml:3: unknown key".to_owned();
        state.reload = Some(RefusedReload { since: Instant::now(), problem });
        assert_eq!(said(&state), "degraded: the last reload was refused: config.yaml:3: unknown key");
    }

    #[test]
    fn the_end_of_a_delegation_is_told_of_a_week_before() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1))])]);
        let service = state.tors[0].services[0].status.service.clone();
        let day = 24 * 3600;
        for (end, told) in [
            (NOW.plus(8 * day), "ok: 1 service, 1 of 1 backends live".to_owned()),
            (
                NOW.plus(3 * day),
                format!("degraded: shop: the delegation ends in 3 d, at {}", NOW.plus(3 * day).rfc3339()),
            ),
            (
                NOW,
                format!("down: shop: the delegation ended at {}, and nothing can be signed", NOW.rfc3339()),
            ),
        ] {
            state.delegations = [(service.clone(), end)].into();
            assert_eq!(said(&state), told);
        }
        state.delegations = [("another.onion".into(), NOW)].into();
        assert_eq!(said(&state), "ok: 1 service, 1 of 1 backends live");
    }

    #[test]
    fn a_problem_of_one_service_leaves_the_others_well() {
        let well = ServiceStatus { service: "forum.onion".into(), ..shop(vec![backend("a", Some(1))]) };
        let services = vec![shop(vec![backend("a", Some(1)), gone("b")]), well];
        let mut state = state(LONG, true, services.clone());
        let healths = |state: &State| {
            let verdict = Verdict::of(state, NOW);
            {
                let healths = verdict.healths();
                services.iter().map(|service| healths.of(service)).collect::<Vec<_>>()
            }
        };
        assert_eq!(healths(&state), [Health::Degraded, Health::Ok]);
        (state.tors[0].is_ready, state.tors[0].since) = (false, LONG);
        assert_eq!(healths(&state), [Health::Degraded, Health::Degraded]);
    }

    #[test]
    fn an_hsdir_that_lacks_a_descriptor_for_long_is_told_of() {
        let mut state = state(LONG, true, vec![shop(vec![backend("a", Some(1))])]);
        let descriptor = &mut state.tors[0].services[0].status.descriptors[0];
        let stored = descriptor.hsdirs[0].clone();
        descriptor.hsdirs.push(HsdirStatus { state: UploadState::Uploading, ..stored });
        assert_eq!(said(&state), "ok: 1 service, 1 of 1 backends live");
        state.tors[0].services[0].status.descriptors[0].incomplete_for = Some(LONG);
        let verdict = Verdict::of(&state, NOW);
        assert_eq!(verdict.to_string(), "degraded: shop: 1 of 2 HSDirs lack its descriptor");
        assert_eq!(verdict.problems[0].since, Some(Moment(NOW.minus(3600))));
    }
}
