//! Clocks that are wrong, and clocks that stop while the machine sleeps.

use std::time::Duration;

use super::super::testing::*;
use super::super::*;

const ONE: &[(&str, &[&str])] = &[("s", &["a"])];
const HOUR: u64 = 3600;

/// A started script whose backend was found and whose first publication is stored everywhere.
fn settled() -> Script {
    let mut script = Script::started(ONE);
    script.copy("a", relay(100), 10, &[1]);
    let post = script.last();
    script.stored(&post, 1);
    script
}

/// Lets the machine sleep for this number of seconds; the first event after that is a tick.
fn sleep(script: &mut Script, seconds: u64) -> Vec<Action<Key>> {
    script.now.wall = script.now.wall.plus(seconds);
    script.send(Event::Tick)
}

fn state(script: &Script) -> BackendState {
    script.status("s").backends[0].state
}

#[test]
fn after_a_long_sleep_everything_is_renewed_at_once() {
    let mut script = settled();
    script.pass(Duration::from_mins(2));
    let said = sleep(&mut script, 4 * HOUR);
    let posts = published(&said);
    assert_eq!((posts.len(), posts[0].to.len(), posts[0].kept), (1, 8, None));
    assert!(!asked(&said, "a").is_empty(), "what is there is looked for");
    assert!(script.status("s").descriptors[0].published_ago < Some(Duration::from_secs(1)));
    script.pass(Duration::from_mins(11));
    assert!(matches!(state(&script), BackendState::Gone(Gone::TooOld)), "no HSDir has what was found before");
    script.copy("a", relay(101), 11, &[2]);
    script.pass(Duration::from_secs(3));
    assert_eq!((state(&script), script.last().points), (BackendState::Live, vec![2]));
}

/// One HSDir goes on handing out the copy that all others have dropped.
#[test]
fn after_a_long_sleep_nobody_lives_on_by_the_word_of_one_hsdir() {
    let mut script = settled();
    let made = script.now.wall;
    let points = vec![Key::new(1)];
    let copy = FetchOutcome::Copy(DescriptorCopy { revision: 10, published: made, period: 1, points });
    sleep(&mut script, 4 * HOUR);
    script.run(Duration::from_mins(40), |script, action| {
        let Action::Fetch { backend, from } = action else { return };
        for hsdir in from.iter().copied().map(hsdir_of) {
            let replays = hsdir == relay(103);
            let outcome = if replays { copy.clone() } else { FetchOutcome::NotFound };
            script.fetched(&backend.0, hsdir, outcome);
        }
    });
    assert_eq!(state(&script), BackendState::Gone(Gone::TooOld));
}

/// A v2 HSDir keeps a descriptor for days: a copy of it proves nothing.
#[test]
fn after_a_long_sleep_no_backend_lives_on_by_a_copy_that_hsdirs_keep_for_days() {
    let mut script = Script::of_v2(ONE);
    script.copy("a", relay(100), 10, &[1]);
    let points = vec![Key::new(1)];
    let published = script.now.wall;
    let copy = FetchOutcome::Copy(DescriptorCopy { revision: 10, published, period: 1, points });
    sleep(&mut script, 12 * HOUR);
    script.run(Duration::from_mins(40), |script, action| {
        let Action::Fetch { backend, from } = action else { return };
        for hsdir in from.iter().copied().map(hsdir_of) {
            script.fetched(&backend.0, hsdir, copy.clone());
        }
    });
    assert_eq!(state(&script), BackendState::Gone(Gone::TooOld));
}

#[test]
fn a_short_sleep_only_makes_things_older() {
    let mut script = settled();
    assert!(published(&sleep(&mut script, HOUR / 2)).is_empty());
    assert_eq!(state(&script), BackendState::Live);
    script.copy("a", relay(101), 11, &[1]);
    let before = script.published().len();
    script.run(Duration::from_mins(91), |script, action| {
        if let Action::Fetch { backend, from } = action {
            script.copy(&backend.0, hsdir_of(from[0]), 11, &[1]);
        }
    });
    assert!(script.published().len() > before, "a renewal comes within two hours of the wall clock");
}

#[test]
fn a_clock_that_is_set_forward_causes_no_storm() {
    let names: Vec<String> = (0..300).map(|number| format!("s{number:03}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["a"][..])).collect();
    let mut script = Script::started(&services);
    script.copy("a", relay(100), 1, &[1]);
    let mut answered = 0;
    while let Some(first) = script.published().get(answered) {
        script.stored(first, 1);
        answered += 1;
    }
    let respond = |script: &mut Script, action: &Action<Key>| {
        if let Action::Publish { id, posts, .. } = action {
            script.send(Event::Posted { id: *id, revision: 1 });
            script.uploaded(*id, &posts[0].to, &UploadOutcome::Stored);
        }
    };
    script.run(Duration::from_mins(20), respond);
    let mut minutes = Vec::new();
    for minute in 0..60 {
        // The clock goes forward, and back again.
        let wall = script.now.wall;
        script.now.wall = if minute % 2 == 0 { wall.plus(24 * HOUR) } else { wall.minus(24 * HOUR) };
        let before = script.published().len();
        script.send(Event::Tick);
        script.run(Duration::from_mins(1), respond);
        minutes.push(script.published().len() - before);
    }
    assert!(minutes.iter().all(|posts| *posts <= 60), "{minutes:?}");
    let all: usize = minutes.iter().sum();
    assert!((300..=600).contains(&all), "each is renewed once: {all} in {minutes:?}");
}

#[test]
fn the_last_set_is_not_given_up_for_a_clock_that_was_set_forward() {
    let mut script = settled();
    script.pass(Duration::from_hours(4));
    assert!(script.status("s").stale_for.is_some());
    sleep(&mut script, 48 * HOUR);
    assert_eq!(script.status("s").points, 1);
    // The clock is set back, and the backend's state is as before.
    script.now.wall = script.now.wall.minus(48 * HOUR);
    script.copy("a", relay(100), 11, &[1]);
    assert_eq!(state(&script), BackendState::Live);
}

/// The clock was set back by a day, and version-2 HSDirs hold what was published then.
#[test]
fn a_copy_that_is_too_old_brings_no_earlier_points_into_the_last_set() {
    let mut script = settled();
    script.pass(Duration::from_hours(4));
    assert_eq!(state(&script), BackendState::Gone(Gone::TooOld));
    script.now.wall = script.now.wall.minus(24 * HOUR);
    let mut network = view(ONE, &[(1, 1..9)]);
    network.backends.values_mut().for_each(|backend| backend.period = 0);
    script.send(Event::Network(network));
    let published = script.now.wall.minus(5 * HOUR);
    let copy = DescriptorCopy { revision: 9, published, period: 0, points: vec![Key::new(2)] };
    script.fetched("a", relay(100), FetchOutcome::Copy(copy));
    script.pass(Duration::from_hours(3));
    assert_eq!(script.last().points, [1]);
}

/// A backend's clock is 8 hours ahead, and is then set right. HSDirs drop its earlier descriptor after three
/// hours.
#[test]
fn a_revision_binds_no_longer_than_an_hsdir_can_hold_it() {
    let mut script = Script::started(ONE);
    let ahead = |script: &Script, revision, points: &[u32]| {
        let published = script.now.wall.plus(8 * HOUR);
        let points = points.iter().copied().map(Key::new).collect();
        FetchOutcome::Copy(DescriptorCopy { revision, published, period: 1, points })
    };
    let outcome = ahead(&script, 1000, &[1]);
    script.fetched("a", relay(100), outcome);
    script.pass(Duration::from_hours(3));
    script.copy("a", relay(101), 500, &[2]);
    script.pass(Duration::from_secs(3));
    assert_eq!(script.last().points, [1], "some HSDir may still have it");
    script.pass(Duration::from_mins(20));
    script.copy("a", relay(101), 500, &[2]);
    script.pass(Duration::from_secs(3));
    assert_eq!(script.last().points, [2]);
}

/// An HSDir that lags behind does not end the effect of a revision.
#[test]
fn a_revision_binds_on_when_the_clock_is_set_forward() {
    let mut script = settled();
    sleep(&mut script, 24 * HOUR);
    script.copy("a", relay(101), 9, &[2]);
    script.pass(Duration::from_secs(3));
    assert_eq!(script.last().points, [1]);
}

#[test]
fn what_an_earlier_run_saw_binds_as_long() {
    for (seen_before, points) in [(HOUR, None), (5 * HOUR, Some(vec![2]))] {
        let mut script = Script::new(ONE);
        let wall = script.now.wall;
        let newest = Newest {
            period: 1,
            revision: 1000,
            published: wall.plus(4 * HOUR),
            seen: wall.minus(seen_before),
        };
        script.engine.remember(&[("a".into(), newest)].into());
        script.send(Event::Network(view(ONE, &[(1, 1..9)])));
        script.send(Event::TorReady);
        script.copy("a", relay(101), 500, &[2]);
        script.pass(Duration::from_secs(5));
        assert_eq!(script.published().pop().map(|post| post.points), points);
    }
}

/// A new engine that remembers the newest descriptors of `earlier`, after `later` of true time. The clock is
/// right: `ahead` is the number of seconds by which it was ahead before, or behind if that is negative.
fn restarted(earlier: &Script, later: Duration, ahead: i64) -> Script {
    let mut script = Script::new(ONE);
    script.now.wall = UnixTime(earlier.now.wall.0.saturating_add_signed(-ahead)).plus(later.as_secs());
    script.engine.remember(&earlier.engine.newest());
    script.send(Event::Network(view(ONE, &[(1, 1..9)])));
    script.send(Event::TorReady);
    script
}

/// The points that an HSDir which lags behind brings back.
fn brought_back(script: &mut Script) -> Option<Vec<u32>> {
    script.copy("a", relay(101), 9, &[2]);
    script.pass(Duration::from_secs(5));
    script.published().pop().map(|post| post.points)
}

#[test]
fn what_was_seen_by_a_wrong_clock_binds_after_a_restart_by_the_right_one() {
    const DAY: i64 = 24 * 3600;
    for ahead in [-DAY, DAY] {
        let mut before = Script::new(ONE);
        before.now.wall = UnixTime(before.now.wall.0.saturating_add_signed(ahead));
        before.send(Event::Network(view(ONE, &[(1, 1..9)])));
        before.send(Event::TorReady);
        before.copy("a", relay(100), 10, &[1]);
        let mut script = restarted(&before, Duration::from_mins(10), ahead);
        assert_eq!(brought_back(&mut script), None, "{ahead}");
        script.pass(Duration::from_hours(3));
        assert_eq!(brought_back(&mut script), None, "{ahead}");
        script.pass(Duration::from_mins(20));
        assert_eq!(brought_back(&mut script), Some(vec![2]), "{ahead}: no HSDir holds the other any more");
    }
}

/// The clock is a day behind, also after a restart, and is then set right. That looks like a sleep of a day.
#[test]
fn a_clock_that_is_set_right_does_not_end_what_an_earlier_run_saw() {
    let mut before = Script::new(ONE);
    before.now.wall = before.now.wall.minus(24 * HOUR);
    before.send(Event::Network(view(ONE, &[(1, 1..9)])));
    before.send(Event::TorReady);
    before.copy("a", relay(100), 10, &[1]);
    let mut script = restarted(&before, Duration::from_mins(10), 0);
    script.now.wall = script.now.wall.plus(24 * HOUR);
    script.pass(Duration::from_mins(2));
    assert_eq!(brought_back(&mut script), None);
}

/// A version-2 HSDir keeps descriptors for days. By a clock that is a day behind, such a copy comes from the
/// future; the consensus shows its age.
#[test]
fn the_consensus_ages_a_copy_that_a_late_clock_calls_new() {
    let mut script = Script::of_v2(ONE);
    let mut network = view_v2(ONE, &[1]);
    network.valid_after = script.now.wall.plus(24 * HOUR);
    script.send(Event::Network(network));
    let published = script.now.wall.plus(12 * HOUR);
    let copy = DescriptorCopy { revision: 9, published, period: 1, points: vec![Key::new(2)] };
    script.fetched("a", relay(100), FetchOutcome::Copy(copy.clone()));
    script.pass(Duration::from_secs(5));
    assert!(!matches!(state(&script), BackendState::Live), "it is twelve hours old");
    let young = DescriptorCopy { published: script.now.wall.plus(24 * HOUR), revision: 10, ..copy };
    script.fetched("a", relay(100), FetchOutcome::Copy(young));
    assert_eq!(state(&script), BackendState::Live);
}

#[test]
fn what_is_kept_for_a_restart_changes_once_an_hour() {
    let mut script = settled();
    let newest = script.engine.newest_of(&"a".into()).unwrap();
    assert_eq!(newest.seen.0 % HOUR, 0);
    assert!(newest.seen >= script.now.wall && newest.seen.since(script.now.wall) < HOUR);
    script.pass(Duration::from_secs(1));
    script.copy("a", relay(101), 10, &[1]);
    assert_eq!(script.engine.newest_of(&"a".into()), Some(newest));
    script.pass(Duration::from_hours(1));
    script.copy("a", relay(101), 10, &[1]);
    assert_eq!(script.engine.newest_of(&"a".into()).unwrap().seen, newest.seen.plus(HOUR));
}
