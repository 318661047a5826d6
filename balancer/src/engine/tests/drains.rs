//! Drains by command, in the life of a service.

use std::time::Duration;

use super::super::testing::*;
use super::super::*;

const TWO: &[(&str, &[&str])] = &[("s", &["a", "b"])];
const HOUR: u64 = 3600;

/// A service whose backends have both been found, and which is published.
fn published_service() -> Script {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 10, &[1, 2, 3]);
    script.copy("b", relay(100), 10, &[11, 12, 13]);
    live(&mut script, Duration::from_secs(10));
    assert_eq!(script.last().points, [1, 2, 3, 11, 12, 13]);
    script
}

/// Lets this much time pass, in which HSDirs store every descriptor and have both backends' ones.
fn live(script: &mut Script, time: Duration) -> Vec<Notice> {
    let said = script.run(time, |script, action| match action {
        Action::Publish { .. } => {
            for post in published(std::slice::from_ref(action)) {
                let revision = script.now.wall.0;
                script.stored(&post, revision);
            }
        }
        Action::Fetch { backend, from } => {
            let points: &[u32] = if &*backend.0 == "a" { &[1, 2, 3] } else { &[11, 12, 13] };
            for source in from {
                script.copy(&backend.0, hsdir_of(*source), script.now.wall.0, points);
            }
        }
        _ => {}
    });
    notices(&said).into_iter().filter(is_about_drain).collect()
}

fn is_about_drain(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::BackendDrained { .. } | Notice::BackendEnabled { .. } | Notice::DrainEnded { .. }
    )
}

fn drain(script: &mut Script, drains: &[(&str, Option<UnixTime>)]) -> Vec<Notice> {
    let drains =
        drains.iter().map(|(backend, until)| (BackendId::from(*backend), Drain { until: *until })).collect();
    let begin = script.send(Event::Drains { service: "s".into(), drains });
    for post in published(&begin) {
        let revision = script.now.wall.0;
        script.stored(&post, revision);
    }
    let begin = notices(&begin).into_iter().filter(is_about_drain);
    begin.chain(live(script, Duration::from_secs(5))).collect()
}

fn drained(backend: &str, until: Option<UnixTime>) -> Notice {
    Notice::BackendDrained { service: "s".into(), backend: backend.into(), until }
}

fn ended(backend: &str) -> Notice {
    Notice::DrainEnded { service: "s".into(), backend: backend.into() }
}

#[test]
fn a_drained_backend_is_out_in_seconds_and_back_when_enabled() {
    let mut script = published_service();
    assert_eq!(drain(&mut script, &[("a", None)]), [drained("a", None)]);
    assert_eq!(script.last().points, [11, 12, 13]);
    let status = &script.status("s").backends[0];
    assert!(status.is_drained() && status.weight == 1 && status.state == BackendState::Live);

    // The same once more is no news.
    let before = script.published().len();
    assert_eq!(drain(&mut script, &[("a", None)]), []);
    assert_eq!(script.published().len(), before);

    let enabled = Notice::BackendEnabled { service: "s".into(), backend: "a".into() };
    assert_eq!(drain(&mut script, &[]), [enabled]);
    assert_eq!(script.last().points, [1, 2, 3, 11, 12, 13]);
    assert!(!script.status("s").backends[0].is_drained());
}

#[test]
fn a_drain_ends_by_itself_once() {
    let mut script = published_service();
    let until = script.now.wall.plus(2 * HOUR);
    assert_eq!(drain(&mut script, &[("a", Some(until))]), [drained("a", Some(until))]);
    assert_eq!(live(&mut script, Duration::from_secs(2 * HOUR - 10)), []);
    assert_eq!(script.last().points, [11, 12, 13]);
    assert_eq!(live(&mut script, Duration::from_secs(10)), [ended("a")]);
    assert_eq!(script.last().points, [1, 2, 3, 11, 12, 13]);
}

#[test]
fn a_later_end_replaces_an_earlier_one() {
    let mut script = published_service();
    let [early, late] = [HOUR, 3 * HOUR].map(|seconds| script.now.wall.plus(seconds));
    drain(&mut script, &[("a", Some(early))]);
    assert_eq!(drain(&mut script, &[("a", Some(late))]), [drained("a", Some(late))]);
    assert_eq!(live(&mut script, Duration::from_secs(2 * HOUR)), []);
    assert_eq!(live(&mut script, Duration::from_secs(HOUR)), [ended("a")]);
}

#[test]
fn a_clock_that_is_set_back_prolongs_a_drain_and_one_that_is_set_forward_ends_it() {
    let mut script = published_service();
    let until = script.now.wall.plus(HOUR);
    drain(&mut script, &[("a", Some(until))]);
    script.now.wall = script.now.wall.minus(HOUR);
    assert_eq!(live(&mut script, Duration::from_secs(HOUR)), []);
    // Back to the right time, which the engine does not take for sleep.
    script.now.wall = script.now.wall.plus(HOUR);
    assert_eq!(live(&mut script, Duration::from_secs(61)), [ended("a")]);

    let until = script.now.wall.plus(30 * HOUR);
    drain(&mut script, &[("a", Some(until))]);
    script.now.wall = until;
    assert_eq!(live(&mut script, Duration::from_secs(61)), [ended("a")]);
}

#[test]
fn a_reload_and_a_restart_keep_the_drains_of_what_is_listed() {
    let mut script = published_service();
    let until = script.now.wall.plus(30);
    let drains: Drains = [("a".into(), Drain { until: Some(until) })].into_iter().collect();
    let spec = |backends: &'static [&'static str]| {
        vec![ServiceSpec { drains: drains.clone(), ..specs(&[("s", backends)]).remove(0) }]
    };
    let said = script.configure(spec(&["a", "b"]));
    assert!(notices(&said).contains(&drained("a", Some(until))));
    live(&mut script, Duration::from_secs(5));
    assert_eq!(script.last().points, [11, 12, 13]);
    let said = notices(&script.configure(spec(&["b"])));
    assert!(!said.iter().any(|notice| matches!(notice, Notice::BackendEnabled { .. })), "{said:?}");

    // An engine that begins has not read the clock: the drain ends in time all the same.
    let configuration = configuration(spec(&["a", "b"]), Settings::default());
    let mut script = Script { engine: Engine::new(configuration, Dice(1)), now: script.now, said: vec![] };
    script.now.elapsed = Duration::ZERO;
    script.send(Event::Network(view(TWO, &[(1, 1..9)])));
    script.send(Event::TorReady);
    script.copy("a", relay(100), 10, &[1, 2, 3]);
    script.copy("b", relay(100), 10, &[11, 12, 13]);
    live(&mut script, Duration::from_secs(10));
    assert_eq!(script.last().points, [11, 12, 13]);
    assert_eq!(live(&mut script, Duration::from_secs(20)), [ended("a")]);
    assert_eq!(script.last().points, [1, 2, 3, 11, 12, 13]);
}

#[test]
fn a_service_whose_backends_are_all_drained_is_not_emptied() {
    let mut script = published_service();
    drain(&mut script, &[("a", None), ("b", None)]);
    let status = script.status("s");
    assert!(status.drained_serve_for.is_some() && status.points == 6, "{status:?}");
    drain(&mut script, &[("a", None)]);
    assert_eq!(script.last().points, [11, 12, 13]);
    assert_eq!(script.status("s").drained_serve_for, None);
}
