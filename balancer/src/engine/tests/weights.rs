//! Weights of backends, in the life of a service.

use std::time::Duration;

use super::super::testing::*;
use super::super::*;

const THREE: &[(&str, &[&str])] = &[("s", &["a", "b", "c"])];
const SECONDS: Duration = Duration::from_secs(5);

/// The service with these weights.
fn spec(weights: [u8; 3]) -> Vec<ServiceSpec> {
    let weights = THREE[0].1.iter().map(|backend| BackendId::from(*backend)).zip(weights).collect();
    vec![ServiceSpec { weights, distinct: true, ..specs(THREE).remove(0) }]
}

fn script(weights: [u8; 3]) -> Script {
    let mut script = Script::new(THREE);
    script.configure(spec(weights));
    script.send(Event::Network(view(THREE, &[(1, 1..9)])));
    script.send(Event::TorReady);
    script
}

/// Gives the backend three points, from one of its HSDirs.
fn find(script: &mut Script, backend: &str) -> Vec<Action<Key>> {
    let first = match backend {
        "a" => 1,
        "b" => 11,
        _ => 21,
    };
    let mut said = script.copy(backend, relay(100), 10, &[first, first + 1, first + 2]);
    said.extend(settle(script));
    said
}

/// Lets some seconds pass, in which all HSDirs store every descriptor.
fn settle(script: &mut Script) -> Vec<Action<Key>> {
    script.run(SECONDS, |script, action| {
        for post in published(std::slice::from_ref(action)) {
            let revision = script.now.wall.0;
            script.stored(&post, revision);
        }
    })
}

/// Has all HSDirs of the backend say that they have no descriptor, as soon as they are asked.
fn lose(script: &mut Script, backend: &str) -> Vec<Action<Key>> {
    let mut said = Vec::new();
    for _ in 0..3 {
        for hsdir in relays(100..106) {
            said.extend(script.fetched(backend, hsdir, FetchOutcome::NotFound));
        }
        said.extend(settle(script));
    }
    said
}

fn shares(script: &Script) -> Vec<Option<f64>> {
    script.status("s").backends.iter().map(|backend| backend.share).collect()
}

fn has_notice(said: &[Action<Key>], is_it: impl Fn(&Notice) -> bool) -> bool {
    notices(said).iter().any(is_it)
}

#[test]
fn shares_follow_weights_and_a_drained_backend_is_out_at_once() {
    let mut script = script([1, 2, 3]);
    for backend in ["a", "b", "c"] {
        find(&mut script, backend);
    }
    assert_eq!(shares(&script), [Some(1.0 / 6.0), Some(2.0 / 6.0), Some(0.5)]);
    let wished: Vec<_> = script.status("s").backends.iter().map(|backend| backend.wished_share).collect();
    assert_eq!(wished, shares(&script));

    script.configure(spec([0, 2, 2]));
    settle(&mut script);
    assert_eq!(script.last().points, [11, 12, 13, 21, 22, 23]);
    assert_eq!(shares(&script), [Some(0.0), Some(0.5), Some(0.5)]);
    let status = script.status("s");
    assert_eq!(status.backends[0].state, BackendState::Live);
    assert!(status.backends.iter().all(|backend| backend.wished_share.is_none()));

    script.configure(spec([1, 1, 1]));
    settle(&mut script);
    assert_eq!(script.last().points.len(), 9);
}

#[test]
fn a_drained_backend_does_not_begin_a_service_before_the_others_were_looked_for() {
    let mut script = script([0, 1, 1]);
    find(&mut script, "a");
    script.pass(Duration::from_secs(20));
    assert_eq!(script.published().len(), 0);
    find(&mut script, "b");
    script.pass(Duration::from_secs(60));
    assert_eq!(script.last().points, [11, 12, 13]);
}

#[test]
fn drained_backends_serve_while_no_other_one_is_live() {
    let mut script = script([0, 1, 1]);
    for backend in ["a", "b"] {
        find(&mut script, backend);
    }
    let said = lose(&mut script, "c");
    assert!(!has_notice(&said, |notice| matches!(notice, Notice::DrainedServe { .. })));
    assert_eq!(script.last().points, [11, 12, 13]);

    // The last one that is not drained is drained, too.
    let mut said = script.configure(spec([0, 0, 1]));
    said.extend(settle(&mut script));
    assert!(has_notice(&said, |notice| *notice == Notice::DrainedServe { service: "s".into() }));
    let status = script.status("s");
    assert!(status.drained_serve_for.is_some() && status.stale_for.is_none());
    assert_eq!(status.points, 6);
    assert_eq!(shares(&script), [Some(0.5), Some(0.5), Some(0.0)]);

    let said = find(&mut script, "c");
    assert!(has_notice(&said, |notice| matches!(notice, Notice::DrainedRest { .. })));
    assert_eq!(script.status("s").drained_serve_for, None);
    assert_eq!(shares(&script), [Some(0.0), Some(0.0), Some(1.0)]);
}

#[test]
fn the_last_set_of_drained_backends_stays() {
    let mut script = script([0, 0, 0]);
    find(&mut script, "a");
    for backend in ["b", "c"] {
        lose(&mut script, backend);
    }
    assert_eq!(script.last().points, [1, 2, 3]);
    lose(&mut script, "a");
    for post in published(&script.pass(Duration::from_hours(4))) {
        script.stored(&post, 1);
    }
    let status = script.status("s");
    assert_eq!((status.points, status.stale_for.is_some()), (3, true));
}
