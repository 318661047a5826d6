//! From the start to the first publication, and the effects of losing tor and of new configurations.

use std::time::Duration;

use super::super::testing::*;
use super::super::*;
use super::slow_tor::{SlowTor, names};

const TWO: &[(&str, &[&str])] = &[("s", &["a", "b"])];

#[test]
fn nothing_happens_before_both_network_and_tor_are_there() {
    let mut script = Script::new(TWO);
    assert!(script.pass(Duration::from_hours(1)).is_empty());
    assert!(script.send(Event::Network(view(TWO, &[(1, 1..9)]))).is_empty());
    assert!(script.pass(Duration::from_hours(1)).is_empty());
    let said = script.send(Event::TorReady);
    for backend in ["a", "b"] {
        let from = asked(&said, backend);
        assert_eq!(from.len(), 2);
        assert_ne!(from[0], from[1]);
    }
}

#[test]
fn network_after_tor_starts_as_well() {
    let mut script = Script::new(TWO);
    assert!(script.send(Event::TorReady).is_empty());
    assert_eq!(asked(&script.send(Event::Network(view(TWO, &[(1, 1..9)]))), "a").len(), 2);
}

#[test]
fn publishes_as_soon_as_all_backends_have_answered() {
    let mut script = Script::new(TWO);
    script.send(Event::Network(view(TWO, &[(1, 1..9), (2, 5..13)])));
    script.send(Event::TorReady);
    script.pass(Duration::from_secs(1));
    assert!(published(&script.copy("a", relay(100), 1, &[3, 1])).is_empty());
    let posts = published(&script.copy("b", relay(101), 1, &[2]));
    assert_eq!(posts.iter().map(|post| post.slot).collect::<Vec<_>>(), [slot(1), slot(2)]);
    assert_eq!(posts[0].points, [1, 2, 3]);
    assert_eq!(posts[0].to, relays(1..9));
    assert_eq!(posts[1].to, relays(5..13));
    assert_eq!(posts[0].floor, None);
}

#[test]
fn publishes_without_a_backend_that_no_hsdir_has() {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 1, &[1]);
    let mut open = asked(&script.said.iter().map(|(_, action)| action.clone()).collect::<Vec<_>>(), "b");
    let mut posts = Vec::new();
    for _ in 0..6 {
        assert!(posts.is_empty());
        let said = script.fetched("b", open.remove(0), FetchOutcome::NotFound);
        open.extend(asked(&said, "b"));
        posts = published(&said);
    }
    assert_eq!(posts.len(), 1);
    assert!(open.is_empty());
    assert_eq!(script.status("s").backends[1].state, BackendState::NotFound);
}

#[test]
fn waits_no_longer_than_settle_for_a_silent_backend() {
    let mut script = Script::started(TWO);
    script.pass(Duration::from_secs(3));
    script.copy("a", relay(100), 1, &[1]);
    script.pass(Duration::from_secs(10));
    let post = script.last();
    assert_eq!(post.at, Duration::from_secs(6));
    script.stored(&post, 7);
    // The second backend's points follow after the debounce.
    script.copy("b", relay(100), 1, &[2]);
    script.pass(Duration::from_secs(3));
    let post = script.last();
    assert_eq!((post.at, post.points), (Duration::from_millis(14_500), vec![1, 2]));
}

#[test]
fn gives_a_backend_the_time_of_a_circuit() {
    let mut script = Script::started(TWO);
    script.pass(Duration::from_secs(1));
    script.copy("a", relay(100), 1, &[1]);
    script.pass(Duration::from_millis(3_900));
    script.copy("b", relay(100), 1, &[2]);
    let post = script.last();
    assert_eq!((post.at, post.points), (Duration::from_millis(4_900), vec![1, 2]));
}

#[test]
fn waits_for_backends_in_line_but_not_for_long() {
    let settings = Settings { in_flight: 3, ..Settings::default() };
    let services: &[(&str, &[&str])] = &[("s", &["a", "b", "c", "d", "e"])];
    let mut script = Script::with(services, settings);
    script.send(Event::Network(view(services, &[(1, 1..9)])));
    script.send(Event::TorReady);
    // Tor has room for three, of which only the first is answered.
    script.pass(Duration::from_secs(1));
    script.copy("a", relay(100), 1, &[1]);
    script.pass(Duration::from_secs(32));
    assert!(script.published().is_empty());
    script.pass(Duration::from_secs(31));
    let post = script.last();
    assert_eq!((post.points, post.at), (vec![1], Duration::from_secs(60)));
}

#[test]
fn a_start_takes_no_longer_than_the_circuits_that_it_needs() {
    let backends = names(10_000);
    let services: Vec<String> = (0..1000).map(|number| format!("s{number:03}")).collect();
    let lists: Vec<Vec<&str>> =
        backends.chunks(10).map(|chunk| chunk.iter().map(String::as_str).collect()).collect();
    let services: Vec<(&str, &[&str])> =
        services.iter().zip(&lists).map(|(name, list)| (name.as_str(), &list[..])).collect();
    let (tors, second) = (24, Duration::from_secs(1));
    let settings = Settings { in_flight: 24 * tors, ..Settings::default() };
    let mut script = Script::with(&services, settings);
    script.send(Event::Network(view(&services, &[(1, 1..9), (2, 11..19)])));
    script.send(Event::TorReady);
    // 26,000 circuits of 2.5 s on the average, 576 at a time, and the answers of the last.
    SlowTor::several(tors, second..=second * 4).run(&mut script, second * 125);
    let is_stored = |hsdir: &HsdirStatus| hsdir.state == UploadState::Stored;
    for status in script.engine.status(script.now) {
        assert_eq!(status.points, 10, "{}", status.service);
        assert!(status.descriptors.iter().all(|descriptor| descriptor.hsdirs.iter().all(is_stored)));
    }
    // Few services are published before their last backend is found, and then twice.
    let posts = script.published().len();
    assert!((2000..2100).contains(&posts), "{posts} posts");
}

#[test]
fn says_once_that_there_is_nothing_to_publish() {
    let mut script = Script::started(&[("s", &["a"])]);
    let mut silent = script.pass(Duration::from_hours(2));
    silent.retain(|action| matches!(action, Action::Notice(_) | Action::Publish { .. }));
    assert_eq!(
        notices(&silent),
        [Notice::BackendNotFound { backend: "a".into() }, Notice::NothingToPublish { service: "s".into() }]
    );
    assert_eq!(silent.len(), 2);
    // The backend comes up at last.
    let said = script.copy("a", relay(100), 1, &[1]);
    assert_eq!(published(&said).len(), 1);
    let [Notice::BackendFound { points: 1, after: Some(after), .. }] = notices(&said)[..] else {
        panic!("{said:?}")
    };
    assert!(after > Duration::from_mins(119) && after <= Duration::from_hours(2), "{after:?}");
}

#[test]
fn a_shared_backend_is_fetched_once_and_serves_both() {
    let mut script = Script::started(&[("s", &["a"]), ("t", &["a"])]);
    assert_eq!(script.said.len(), 1);
    assert_eq!(published(&script.copy("a", relay(100), 1, &[1])).len(), 2);
}

#[test]
fn tor_coming_back_fetches_all_and_posts_what_is_not_acknowledged() {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 1, &[1]);
    script.copy("b", relay(100), 1, &[2]);
    let post = script.last();
    script.send(Event::Posted { id: post.id, revision: 5 });
    script.uploaded(post.id, &relays(1..4), &UploadOutcome::Stored);
    assert!(script.send(Event::TorLost).is_empty());
    assert!(script.pass(Duration::from_mins(30)).is_empty());
    // Requests that were in flight are void.
    script.uploaded(post.id, &relays(4..5), &UploadOutcome::Stored);
    let said = script.send(Event::TorReady);
    assert_eq!(asked(&said, "a").len() + asked(&said, "b").len(), 2);
    let posts = published(&said);
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].to, relays(4..9));
}

#[test]
fn a_new_configuration_keeps_what_is_known_of_the_rest() {
    let mut script = Script::started(&[("s", &["a"]), ("t", &["b"])]);
    for backend in ["a", "b"] {
        script.copy(backend, relay(100), 1, &[if backend == "a" { 1 } else { 2 }]);
        let post = script.last();
        script.stored(&post, 1);
    }
    let services: &[(&str, &[&str])] = &[("s", &["a", "c"]), ("u", &["a"])];
    let said = script.configure(specs(services));
    assert!(said.is_empty(), "{said:?}");
    let said = script.send(Event::Network(view(services, &[(1, 1..9)])));
    assert_eq!(asked(&said, "c").len(), 2);
    assert!(asked(&said, "a").is_empty());
    // Everything that the new service needs is known.
    assert_eq!(published(&said).len(), 1);
    assert_eq!(script.last().points, [1]);
    script.copy("c", relay(100), 1, &[3]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [1, 3]);
    assert_eq!(script.engine.status(script.now).len(), 2);
}

#[test]
fn the_status_has_the_order_of_the_configuration() {
    let mut script = Script::started(TWO);
    script.configure(specs(&[("s", &["c", "a", "b", "a"])]));
    let listed = script.status("s").backends.into_iter().map(|backend| backend.backend);
    assert_eq!(listed.collect::<Vec<_>>(), ["c", "a", "b"].map(BackendId::from));
}

#[test]
fn points_of_a_removed_backend_go_even_if_none_is_left() {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 1, &[1]);
    script.copy("b", relay(100), 1, &[2]);
    let post = script.last();
    script.stored(&post, 1);
    let said = script.configure(specs(&[("s", &["b"])]));
    assert_eq!(published(&said)[0].points, [2]);
    let said = script.configure(specs(&[("s", &["c"])]));
    assert!(published(&said).is_empty());
    assert_eq!(script.status("s").points, 0);
    assert!(published(&script.pass(Duration::from_hours(5))).is_empty());
}

/// An engine that begins after an earlier one, which had found revision 10 of backend `a`.
fn restarted() -> Script {
    let mut before = Script::started(TWO);
    before.copy("a", relay(100), 10, &[1]);
    let newest = before.engine.newest();
    assert_eq!(newest.keys().collect::<Vec<_>>(), [&"a".into()]);
    let mut script = Script::new(TWO);
    script.engine.remember(&newest);
    assert_eq!(script.engine.newest(), newest);
    script.send(Event::Network(view(TWO, &[(1, 1..9)])));
    script.send(Event::TorReady);
    script
}

#[test]
fn what_was_seen_before_a_restart_is_not_replaced_by_an_older_copy() {
    let mut script = restarted();
    let rest = asked(&script.copy("a", relay(100), 9, &[7]), "a");
    assert!(!rest.is_empty(), "somebody else may have the newest");
    script.copy("b", relay(100), 1, &[2]);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.last().points, [2]);
    script.copy("a", relay(101), 10, &[1]);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.last().points, [1, 2]);
    assert_eq!(script.engine.newest()[&"a".into()].revision, 10);
}

#[test]
fn what_was_seen_before_a_restart_means_nothing_in_another_period() {
    let mut script = restarted();
    let mut next = view(TWO, &[(1, 1..9)]);
    next.backends.insert("a".into(), BackendView { period: 2, sources: sources(100..106) });
    script.send(Event::Network(next));
    let copy =
        DescriptorCopy { revision: 3, published: script.now.wall, period: 2, points: vec![Key::new(5)] };
    script.fetched("a", relay(100), FetchOutcome::Copy(copy));
    script.copy("b", relay(100), 1, &[2]);
    assert_eq!(script.last().points, [2, 5]);
}
