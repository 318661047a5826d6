//! Health checks of backends, in the life of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::testing::*;
use super::super::*;

const THREE: &[(&str, &[&str])] = &[("s", &["a", "b", "c"])];
const SECOND: Duration = Duration::from_secs(1);

/// The service, all of whose backends have a check.
fn spec() -> ServiceSpec {
    let checks = THREE[0].1.iter().map(|name| (BackendId::from(*name), check(80))).collect();
    ServiceSpec { checks, ..specs(THREE).remove(0) }
}

/// An engine whose backends are found, and the backends of the world outside that do not answer.
struct Site {
    script: Script,
    dead: BTreeSet<&'static str>,
    /// The introduction points of each backend.
    points: BTreeMap<&'static str, Vec<u32>>,
    revision: u64,
    /// The probes so far, each with its time.
    probes: Vec<(Duration, BackendId)>,
    outcome: fn(bool) -> ProbeOutcome,
}

fn outcome(answers: bool) -> ProbeOutcome {
    if answers {
        ProbeOutcome::Succeeded(SECOND)
    } else {
        ProbeOutcome::Failed("it refused the connection".into())
    }
}

impl Site {
    fn new(spec: ServiceSpec) -> Self {
        let mut script = Script::new(THREE);
        script.configure(vec![spec]);
        script.send(Event::Network(view(THREE, &[(1, 1..9)])));
        script.send(Event::TorReady);
        let points = [("a", vec![1]), ("b", vec![11]), ("c", vec![21])].into();
        let mut site =
            Self { script, dead: BTreeSet::new(), points, revision: 10, probes: Vec::new(), outcome };
        site.pass(SECOND * 30);
        site
    }

    /// Lets this much time pass; everything works but the dead backends. Returns the notices.
    fn pass(&mut self, time: Duration) -> Vec<Notice> {
        let Self { script, dead, points, revision, probes, outcome } = self;
        let said = script.run(time, |script, action| match action {
            Action::Fetch { backend, from } => {
                for source in from {
                    script.copy(&backend.0, hsdir_of(*source), *revision, &points[&*backend.0]);
                }
            }
            Action::Publish { .. } => {
                for post in published(std::slice::from_ref(action)) {
                    let revision = script.now.wall.0;
                    script.stored(&post, revision);
                }
            }
            Action::Probe { id, backend, .. } => {
                probes.push((script.now.elapsed, backend.clone()));
                let outcome = outcome(!dead.contains(&*backend.0));
                script.send(Event::Probed { id: *id, backend: backend.clone(), outcome });
            }
            Action::ReadBack { .. } | Action::Notice(_) => {}
        });
        notices(&said)
    }

    /// The backend's tor was restarted: it has this point now.
    fn restart(&mut self, backend: &'static str, point: u32) {
        self.points.insert(backend, vec![point]);
        self.revision += 1;
    }

    fn listed(&self) -> Vec<u32> {
        self.script.last().points
    }

    fn health(&self, backend: usize) -> HealthState {
        self.script.status("s").backends[backend].health.as_ref().unwrap().state
    }

    fn probes_of(&self, backend: &str) -> Vec<Duration> {
        self.probes.iter().filter(|(_, of)| *of == backend.into()).map(|(at, _)| *at).collect()
    }
}

fn is_unwell(notice: &Notice) -> bool {
    matches!(notice, Notice::Health(HealthNotice::Unwell { .. }))
}

#[test]
fn each_backend_is_probed_at_its_interval() {
    let mut site = Site::new(spec());
    site.pass(SECOND * 600);
    for backend in ["a", "b", "c"] {
        let times = site.probes_of(backend);
        assert!((61..=72).contains(&times.len()), "{}", times.len());
        let distances = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        assert!(distances.clone().all(|distance| distance >= SECOND * 9 && distance <= SECOND * 11));
    }
    assert_eq!(site.health(0), HealthState::Well);
}

#[test]
fn a_backend_that_does_not_answer_leaves_and_returns() {
    let mut site = Site::new(spec());
    assert_eq!(site.listed(), [1, 11, 21]);
    site.dead.insert("b");
    let said = site.pass(SECOND * 32);
    assert_eq!(said.iter().filter(|notice| is_unwell(notice)).count(), 1);
    assert_eq!((site.listed(), site.health(1)), (vec![1, 21], HealthState::Unwell));
    let status = site.script.status("s");
    assert_eq!(status.backends[1].state, BackendState::Live);
    assert_eq!(status.backends[1].share, Some(0.0));
    site.pass(SECOND * 300);
    assert_eq!(site.listed(), [1, 21]);
    site.dead.clear();
    let said = site.pass(SECOND * 25);
    assert!(said.iter().any(|notice| matches!(notice, Notice::Health(HealthNotice::Well { .. }))));
    assert_eq!((site.listed(), site.health(1)), (vec![1, 11, 21], HealthState::Well));
}

#[test]
fn a_single_failure_does_not_count() {
    let mut site = Site::new(spec());
    for _ in 0..20 {
        site.dead.insert("b");
        let before = site.probes_of("b").len();
        while site.probes_of("b").len() == before {
            site.pass(SECOND);
        }
        site.dead.clear();
        assert!(!site.pass(SECOND * 15).iter().any(is_unwell));
        assert_eq!(site.listed(), [1, 11, 21]);
    }
}

#[test]
fn nobody_falls_if_everything_fails_at_once() {
    let mut site = Site::new(spec());
    site.dead = ["a", "b", "c"].into();
    let said = site.pass(SECOND * 600);
    assert!(!said.iter().any(is_unwell));
    assert!(said.iter().any(|notice| matches!(notice, Notice::Health(HealthNotice::AllUnwell { .. }))));
    assert_eq!(site.listed(), [1, 11, 21]);
    assert!(site.script.status("s").unwell_serve_for.is_some());
    // Our tor was at fault: all answer again, and nobody is blamed.
    site.dead.clear();
    let said = site.pass(SECOND * 60);
    assert!(!said.iter().any(is_unwell));
    assert!(said.iter().any(|notice| matches!(notice, Notice::Health(HealthNotice::SomeWell { .. }))));
    assert_eq!(site.script.status("s").unwell_serve_for, None);
}

#[test]
fn all_are_offered_if_they_fall_one_after_the_other() {
    let mut site = Site::new(spec());
    for (dead, listed) in [("a", vec![11, 21]), ("b", vec![21]), ("c", vec![1, 11, 21])] {
        site.dead.insert(dead);
        site.pass(SECOND * 60);
        assert_eq!(site.listed(), listed);
    }
    site.dead.remove("b");
    site.pass(SECOND * 60);
    assert_eq!(site.listed(), [11]);
}

#[test]
fn a_restarted_backend_is_offered_until_its_next_probe() {
    let mut site = Site::new(spec());
    site.dead.insert("b");
    site.pass(SECOND * 60);
    assert_eq!(site.listed(), [1, 21]);
    site.dead.clear();
    site.restart("b", 12);
    site.pass(SECOND * 15);
    assert_eq!((site.listed(), site.health(1)), (vec![1, 12, 21], HealthState::Well));
}

#[test]
fn other_points_of_a_backend_that_is_still_dead_do_not_stay() {
    let mut site = Site::new(spec());
    site.dead.insert("b");
    site.pass(SECOND * 60);
    site.restart("b", 12);
    let said = site.pass(Duration::from_mins(15));
    assert!(said.iter().any(is_unwell));
    assert_eq!((site.listed(), site.health(1)), (vec![1, 21], HealthState::Unwell));
}

#[test]
fn a_probe_that_could_not_be_made_says_nothing() {
    let mut site = Site::new(spec());
    site.outcome = |_| ProbeOutcome::Unmade("tor has no SocksPort".into());
    site.dead.insert("b");
    let said = site.pass(Duration::from_mins(10));
    assert!(said.is_empty(), "{said:?}");
    assert_eq!((site.listed(), site.health(1)), (vec![1, 11, 21], HealthState::Well));
}

#[test]
fn a_success_keeps_nobody_alive() {
    let mut site = Site::new(spec());
    let said = site.script.run(Duration::from_hours(4), |script, action| {
        if let Action::Probe { id, backend, .. } = action {
            script.send(Event::Probed { id: *id, backend: backend.clone(), outcome: outcome(true) });
        }
    });
    assert!(notices(&said).iter().any(|notice| matches!(notice, Notice::BackendGone { .. })));
    // Nothing is probed that is gone.
    let said = site.script.pass(Duration::from_mins(10));
    assert!(!said.iter().any(|action| matches!(action, Action::Probe { .. })));
}

#[test]
fn a_backend_without_a_check_is_not_probed() {
    let mut with = spec();
    with.checks.remove(&BackendId::from("b"));
    let mut site = Site::new(with);
    site.dead.insert("b");
    site.pass(Duration::from_mins(10));
    assert!(site.probes_of("b").is_empty() && !site.probes_of("a").is_empty());
    assert_eq!(site.script.status("s").backends[1].health, None);
    assert_eq!(site.listed(), [1, 11, 21]);
}

#[test]
fn the_only_probed_backend_falls_while_hsdirs_answer() {
    let mut with = spec();
    with.checks.retain(|backend, _| *backend == "b".into());
    let mut site = Site::new(with);
    site.dead.insert("b");
    site.pass(Duration::from_mins(12));
    assert_eq!(site.listed(), [1, 21]);
}

#[test]
fn a_reload_without_checks_offers_all_again() {
    let mut site = Site::new(spec());
    site.dead.insert("b");
    site.pass(SECOND * 60);
    // The same checks keep their state.
    site.script.configure(vec![spec()]);
    site.pass(SECOND);
    assert_eq!((site.listed(), site.health(1)), (vec![1, 21], HealthState::Unwell));
    site.script.configure(specs(THREE));
    let probes = site.probes.len();
    site.pass(SECOND * 60);
    assert_eq!((site.listed(), site.probes.len()), (vec![1, 11, 21], probes));
}

#[test]
fn a_lost_tor_ends_probes_and_forgives_failures() {
    let mut site = Site::new(spec());
    site.dead.insert("b");
    let before = site.probes_of("b").len();
    while site.probes_of("b").len() == before {
        site.pass(SECOND);
    }
    assert_eq!(site.health(1), HealthState::Failing);
    site.script.send(Event::TorLost);
    assert_eq!(site.health(1), HealthState::Well);
    let probes = site.probes.len();
    site.pass(SECOND * 60);
    assert_eq!(site.probes.len(), probes);
    site.script.send(Event::TorReady);
    site.pass(SECOND * 60);
    assert_eq!((site.listed(), site.health(1)), (vec![1, 21], HealthState::Unwell));
}

#[test]
fn the_serving_of_all_ends_by_the_first_success_after_a_loss_of_tor() {
    let mut site = Site::new(spec());
    site.dead.insert("a");
    site.pass(SECOND * 60);
    assert_eq!(site.listed(), [11, 21]);
    // Now our tor is at fault.
    site.dead = ["a", "b", "c"].into();
    site.pass(SECOND * 60);
    assert_eq!(site.listed(), [1, 11, 21]);
    let said = site.script.send(Event::TorLost);
    assert!(notices(&said).is_empty());
    site.script.send(Event::TorReady);
    site.dead = ["a"].into();
    let said = site.pass(SECOND * 60);
    assert!(said.iter().any(|notice| matches!(notice, Notice::Health(HealthNotice::SomeWell { .. }))));
    assert_eq!(site.listed(), [11, 21]);
}

#[test]
fn nobody_is_said_to_answer_that_is_gone() {
    let mut site = Site::new(spec());
    site.dead = ["a", "b", "c"].into();
    site.pass(SECOND * 60);
    assert!(site.script.status("s").unwell_serve_for.is_some());
    // From now on HSDirs do not answer either.
    let said = site.script.run(Duration::from_hours(4), |script, action| {
        if let Action::Probe { id, backend, .. } = action {
            script.send(Event::Probed { id: *id, backend: backend.clone(), outcome: outcome(false) });
        }
    });
    let said = notices(&said);
    assert!(said.iter().any(|notice| matches!(notice, Notice::KeepingLastSet { .. })));
    assert!(!said.iter().any(|notice| matches!(notice, Notice::Health(HealthNotice::SomeWell { .. }))));
}

#[test]
fn probes_leave_at_their_pace_and_few_at_a_time() {
    let names: Vec<String> = (0..300).map(|number| format!("b{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let services: &[(&str, &[&str])] = &[("s", &names)];
    let checks = names.iter().map(|name| (BackendId::from(*name), check(80))).collect();
    let mut script = Script::new(services);
    script.configure(vec![ServiceSpec { checks, ..specs(services).remove(0) }]);
    script.send(Event::Network(view(services, &[(1, 1..9)])));
    script.send(Event::TorReady);
    let mut probes = BTreeMap::new();
    script.run(Duration::from_mins(10), |script, action| match action {
        Action::Fetch { backend, from } => {
            let number = backend.0.trim_start_matches('b').parse().unwrap();
            script.copy(&backend.0, hsdir_of(from[0]), 10, &[number]);
        }
        Action::Probe { id, backend, .. } => {
            *probes.entry(backend.clone()).or_insert(0) += 1;
            // Every tenth one hangs.
            if !backend.0.ends_with('0') {
                script.send(Event::Probed { id: *id, backend: backend.clone(), outcome: outcome(true) });
            }
        }
        _ => {}
    });
    assert_eq!(probes.len(), 300);
    let all: usize = probes.values().sum();
    assert!(all <= 120 * 11, "{all}");
    let (least, most) = (probes.values().min().unwrap(), probes.values().max().unwrap());
    assert!(most - least <= 1, "{least} to {most}");
    assert!(script.engine.load(script.now).longest_wait < SECOND * 60);
}
