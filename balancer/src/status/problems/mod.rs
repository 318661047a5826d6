//! The problems in a state. Each text names the thing first, with what is wrong; each remedy is one step.

mod health;
mod service;
mod tor;
mod weights;

use std::time::Duration;

use onionbalance_proto::time::UnixTime;

pub(super) use self::service::is_unpublished;
use self::service::of_service;
use self::tor::of_tor;
use super::problem::{Problem, ProblemId, Severity};
use crate::age::Age;
use crate::confinement::Lacking;
use crate::runtime::{ServiceReport, State};

/// The time for which the signer or a tor may be away: a restart takes seconds.
const AWAY: Duration = Duration::from_secs(60);
/// The time after which a set whose backends have all gone counts as down.
const ALL_GONE: Duration = Duration::from_secs(300);
/// The remaining time of a delegation from which on it is a problem.
pub(crate) const DELEGATION_ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// HSDirs keep a descriptor for its lifetime, which is three hours (rend-spec-v3 2.4).
const WITHOUT_BALANCER: &str = "what was published before stays reachable for up to 3 h";

/// All problems in this state at the time `now`.
pub(super) fn of(state: &State, now: UnixTime) -> impl Iterator<Item = Problem> {
    let tors = state.tors.iter().flat_map(move |tor| of_tor(tor, now));
    let services = state.services().flat_map(move |service| of_service(service, now));
    let services =
        services.chain(state.services().filter_map(move |service| delegation(state, service, now)));
    let process = signer(state, now).into_iter().chain(reload(state, now)).chain(lacking(state.lacking));
    process.chain(tors).chain(services)
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

/// The restrictions that the process lacks.
fn lacking(lacking: Lacking) -> impl Iterator<Item = Problem> {
    let advice = |id, text: &str, remedy: &str| Problem::new(id, Severity::Advice, text.to_owned(), remedy);
    let user = lacking.user.then(|| {
        let remedy = "set `user` in the configuration to drop root, and restart";
        advice(ProblemId::RunsAsRoot, "the balancer runs as root", remedy)
    });
    let landlock = lacking.landlock.then(|| {
        let text = "the kernel has no landlock: the balancer keeps all files that its user can reach";
        advice(ProblemId::NotConfined, text, "boot the kernel with landlock among lsm=")
    });
    user.into_iter().chain(landlock)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{HsdirStatus, ServiceStatus, UploadProblem, UploadState};
    use crate::network::Absence;
    use crate::status::Verdict;
    use crate::status::testing::{backend, descriptor, report, service, state_of};

    const NOW: UnixTime = UnixTime(1_795_336_111);
    const LONG: Duration = Duration::from_secs(3600);

    fn state() -> State {
        let status = ServiceStatus {
            descriptors: vec![descriptor(7, 0, Some(60))],
            backends: vec![backend("a.onion", Some(1))],
            ..service("front.onion")
        };
        state_of(vec![report(status, Some("shop"), &[])])
    }

    /// The ids and texts of all problems in a state, and its health.
    fn problems(state: &State) -> (String, Vec<(ProblemId, String)>) {
        let verdict = Verdict::of(state, NOW);
        let problems = verdict.problems.into_iter().map(|problem| (problem.id, problem.text));
        (verdict.health.to_string(), problems.collect())
    }

    fn one(id: ProblemId, text: &str) -> Vec<(ProblemId, String)> {
        vec![(id, text.to_owned())]
    }

    #[test]
    fn a_tor_that_is_not_ready_is_told_from_one_that_is_not_reached() {
        let mut state = state();
        (state.tors[0].is_ready, state.tors[0].since) = (false, LONG);
        for (absence, id, text) in [
            (None, ProblemId::TorUnreachable, "tor at unix:/run/tor/control has been away for 1 h"),
            (
                Some(Absence::Unreachable("permission denied".to_owned())),
                ProblemId::TorUnreachable,
                "tor at unix:/run/tor/control has been away for 1 h: permission denied",
            ),
            (
                Some(Absence::Starting { version: "0.4.9.11".into(), percent: 45, step: "Loading".into() }),
                ProblemId::TorBootstrapping,
                "tor at unix:/run/tor/control has not been ready for 1 h: bootstrapped 45 %, Loading",
            ),
        ] {
            state.tors[0].absence = absence;
            assert_eq!(problems(&state), ("degraded".to_owned(), one(id, text)));
        }
    }

    #[test]
    fn refusals_are_told_from_other_failures() {
        let mut state = state();
        let descriptor = &mut state.tors[0].services[0].status.descriptors[0];
        let stored = descriptor.hsdirs[0].clone();
        let refused = HsdirStatus {
            state: UploadState::Pending { failures: 3 },
            problem: Some(UploadProblem::Refused),
            ..stored.clone()
        };
        let silent = HsdirStatus { problem: Some(UploadProblem::Silent), ..refused.clone() };
        descriptor.hsdirs = vec![stored.clone(), refused.clone(), silent.clone()];
        let lack = (ProblemId::DescriptorIncomplete, "shop: 1 of 3 HSDirs lack its descriptor".to_owned());
        let refuse = (ProblemId::DescriptorRefused, "shop: 1 of 3 HSDirs refuse its descriptor".to_owned());
        assert_eq!(problems(&state).1, [refuse, lack]);
        state.tors[0].services[0].status.descriptors[0].hsdirs = vec![stored, refused];
        let text = "shop: 1 of 2 HSDirs refuse its descriptor";
        assert_eq!(problems(&state).1, one(ProblemId::DescriptorRefused, text));
    }

    #[test]
    fn another_publisher_is_a_problem_for_three_hours() {
        let mut state = state();
        let seen = |state: &mut State, ago: Duration| {
            state.tors[0].services[0].status.descriptors[0].other_ago = Some(ago);
            problems(state)
        };
        let text = "shop: 1 h ago an HSDir had a descriptor that this balancer did not publish";
        let found = (String::from("degraded"), one(ProblemId::OtherPublisher, text));
        assert_eq!(seen(&mut state, LONG), found);
        assert_eq!(seen(&mut state, 4 * LONG), ("ok".to_owned(), vec![]));
    }

    #[test]
    fn advice_leaves_the_health_as_it_is() {
        let mut state = state();
        state.lacking = Lacking { landlock: true, user: true };
        let (health, told) = problems(&state);
        let ids: Vec<_> = told.iter().map(|(id, _)| *id).collect();
        assert_eq!((health.as_str(), ids), ("ok", vec![ProblemId::RunsAsRoot, ProblemId::NotConfined]));
        assert_eq!(Verdict::of(&state, NOW).to_string(), "ok: 1 service, 1 of 1 backends live");
    }

    #[test]
    fn a_process_that_is_starting_lacks_nothing_yet_and_shows_what_will_stay() {
        let mut state = state();
        state.uptime = Duration::from_secs(10);
        state.tors[0].services[0].status.descriptors[0].revision = None;
        state.delegations = [("front.onion".into(), NOW)].into();
        let (health, told) = problems(&state);
        assert_eq!((health.as_str(), told.len(), told[0].0), ("starting", 1, ProblemId::DelegationEnded));
    }
}
