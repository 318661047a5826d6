//! Looking for backends: how they are found, doubted and given up.

use std::collections::BTreeSet;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::super::testing::*;
use super::super::*;

const ONE: &[(&str, &[&str])] = &[("s", &["a"])];

/// A started script whose backend was found at once and whose first publication is stored everywhere.
pub(super) fn found() -> Script {
    let mut script = Script::started(ONE);
    for hsdir in asked(&all(&script), "a") {
        script.copy("a", hsdir, 10, &[1, 2]);
    }
    let post = script.last();
    script.stored(&post, 1);
    script
}

/// A started script whose backend is fetched as a client does it: tor chooses the HSDir.
pub(super) fn through_tor() -> Script {
    let mut script = Script::new(ONE);
    let mut view = view(ONE, &[(1, 1..9)]);
    view.backends.insert("a".into(), BackendView { period: 1, sources: vec![Source::Any] });
    script.send(Event::Network(view));
    script.send(Event::TorReady);
    script
}

pub(super) fn all(script: &Script) -> Vec<Action<Key>> {
    script.said.iter().map(|(_, action)| action.clone()).collect()
}

fn state(script: &Script) -> BackendState {
    script.status("s").backends[0].state
}

/// Lets time pass, in which every fetch of backend `a` gets this answer. Returns the engine's actions.
fn answer_all(script: &mut Script, time: Duration, outcome: &FetchOutcome<Key>) -> Vec<Action<Key>> {
    script.run(time, |script, action| match action {
        Action::Fetch { backend, from } if *backend == "a".into() => {
            for hsdir in from {
                script.fetched(&backend.0, hsdir_of(*hsdir), outcome.clone());
            }
        }
        _ => {}
    })
}

/// Lets time pass until the engine asks about the backend. Returns the HSDirs that it asks.
fn next_look(script: &mut Script) -> Vec<Fingerprint> {
    loop {
        let deadline = script.engine.next_deadline().expect("nothing will happen any more");
        let from = asked(&script.pass(deadline.saturating_sub(script.now.elapsed)), "a");
        if !from.is_empty() {
            return from;
        }
    }
}

#[test]
fn looks_again_at_one_hsdir_in_turn_every_refresh() {
    let mut script = found();
    let same = script.fresh(10, &[1, 2]);
    let before = script.said.len();
    answer_all(&mut script, Duration::from_hours(2), &same);
    let looks: Vec<_> = script.said[before..]
        .iter()
        .filter_map(|(at, action)| match action {
            Action::Fetch { from, .. } => Some((*at, from.clone())),
            _ => None,
        })
        .collect();
    assert!((11..=13).contains(&looks.len()), "{}", looks.len());
    assert!(looks.iter().all(|(_, from)| from.len() == 1));
    let turn: BTreeSet<_> = looks[..6].iter().map(|(_, from)| from[0]).collect();
    assert_eq!(turn.len(), 6, "every HSDir has its turn");
    for pair in looks.windows(2) {
        let apart = pair[1].0.saturating_sub(pair[0].0);
        assert!(apart >= Duration::from_mins(9) && apart <= Duration::from_mins(11), "{apart:?}");
    }
}

#[test]
fn a_silent_hsdir_is_given_up_after_15_seconds_and_another_asked() {
    let mut script = Script::started(ONE);
    let first = asked(&all(&script), "a");
    assert!(asked(&script.pass(Duration::from_millis(14_999)), "a").is_empty());
    let others = asked(&script.pass(Duration::from_millis(1)), "a");
    assert_eq!(others.len(), 2, "one for each");
    assert!(first.iter().all(|hsdir| !others.contains(hsdir)));
    // The copy is late, but verified, so it counts.
    assert_eq!(published(&script.copy("a", first[0], 1, &[1])).len(), 1);
}

#[test]
fn an_older_copy_a_denial_and_a_lie_make_it_ask_everyone() {
    for outcome in [None, Some(FetchOutcome::NotFound), Some(FetchOutcome::Invalid("not signed".into()))] {
        let mut script = found();
        let look = next_look(&mut script);
        let outcome = outcome.unwrap_or_else(|| script.fresh(9, &[7]));
        let mut rest = asked(&script.fetched("a", look[0], outcome), "a");
        rest.push(look[0]);
        rest.sort();
        assert_eq!(rest, relays(100..106));
        assert_eq!(state(&script), BackendState::Live);
    }
}

#[test]
fn one_hsdirs_denial_means_nothing_and_all_hsdirs_denials_mean_gone() {
    let mut script = found();
    let look = next_look(&mut script);
    let rest = asked(&script.fetched("a", look[0], FetchOutcome::NotFound), "a");
    for hsdir in &rest[..4] {
        script.fetched("a", *hsdir, FetchOutcome::NotFound);
    }
    assert_eq!(state(&script), BackendState::Live);
    let said = script.fetched("a", rest[4], FetchOutcome::NotFound);
    assert_eq!(state(&script), BackendState::Gone(Gone::NotFound));
    assert_eq!(notices(&said), [Notice::BackendGone { backend: "a".into(), why: Gone::NotFound }]);
    // The same descriptor appears again: the HSDirs were at fault.
    let after = Duration::from_mins(12);
    script.now.elapsed += after;
    let said = script.copy("a", look[0], 10, &[1, 2]);
    assert_eq!(state(&script), BackendState::Live);
    assert_eq!(notices(&said), [Notice::BackendBack { backend: "a".into(), points: 2, after }]);
}

#[test]
fn a_failure_among_denials_keeps_it() {
    let mut script = found();
    let look = next_look(&mut script);
    let rest = asked(&script.fetched("a", look[0], FetchOutcome::NotFound), "a");
    script.fetched("a", rest[0], FetchOutcome::Failed);
    for hsdir in &rest[1..] {
        script.fetched("a", *hsdir, FetchOutcome::NotFound);
    }
    assert_eq!(state(&script), BackendState::Live);
    // The next look comes sooner than usual.
    let before = script.now.elapsed;
    assert_eq!(next_look(&mut script).len(), 1);
    assert!(script.now.elapsed <= before + Duration::from_secs(33));
}

#[test]
fn a_lie_is_told_once_until_the_hsdir_mends_its_ways() {
    let mut script = found();
    let lie = FetchOutcome::Invalid("not signed".into());
    let told = |actions: &[Action<Key>]| {
        let told = notices(actions);
        let count = |wanted: fn(&Notice) -> bool| told.iter().filter(|notice| wanted(notice)).count();
        (
            count(|notice| matches!(notice, Notice::BackendInvalid { .. })),
            count(|notice| matches!(notice, Notice::BackendValid { .. })),
        )
    };
    let said = answer_all(&mut script, Duration::from_hours(1), &lie);
    assert_eq!(told(&said), (6, 0));
    // A missing answer counts no more than that.
    answer_all(&mut script, Duration::from_hours(1), &FetchOutcome::Failed);
    let said = answer_all(&mut script, Duration::from_hours(1), &lie);
    assert_eq!(told(&said), (0, 0));
    let truth = script.fresh(10, &[1, 2]);
    let said = answer_all(&mut script, Duration::from_hours(2), &truth);
    assert_eq!(told(&said), (0, 6));
    let said = answer_all(&mut script, Duration::from_hours(1), &lie);
    assert_eq!(told(&said), (6, 0));
}

#[test]
fn is_too_old_three_hours_after_it_was_made_not_fetched() {
    let mut script = Script::started(&[("s", &["a", "b"])]);
    script.copy("b", relay(100), 1, &[9]);
    let published = script.now.wall.minus(2 * 3600);
    let old = DescriptorCopy { revision: 10, published, period: 1, points: vec![Key::new(1)] };
    script.fetched("a", relay(100), FetchOutcome::Copy(old.clone()));
    assert_eq!(script.last().points, [1, 9]);
    let post = script.last();
    script.stored(&post, 1);
    // Further sightings do not make it younger.
    answer_all(&mut script, Duration::from_mins(59), &FetchOutcome::Copy(old.clone()));
    assert_eq!(state(&script), BackendState::Live);
    answer_all(&mut script, Duration::from_mins(2), &FetchOutcome::Copy(old.clone()));
    assert_eq!(state(&script), BackendState::Gone(Gone::TooOld));
    assert_eq!(script.last().points, [9]);
    // An older copy does not count as a sign of life, a newer one does.
    let copy =
        |revision, published| FetchOutcome::Copy(DescriptorCopy { revision, published, ..old.clone() });
    script.fetched("a", relay(101), copy(9, script.now.wall));
    assert_eq!(state(&script), BackendState::Gone(Gone::TooOld));
    script.fetched("a", relay(101), copy(11, script.now.wall));
    assert_eq!(state(&script), BackendState::Live);
}

#[test]
fn another_period_is_looked_for_at_once_and_counts_from_anew() {
    let mut script = found();
    let mut next = view(ONE, &[(1, 1..9)]);
    next.backends.insert("a".into(), BackendView { period: 2, sources: sources(103..109) });
    assert_eq!(asked(&script.send(Event::Network(next.clone())), "a").len(), 1);
    let of = |period, revision, point| {
        FetchOutcome::Copy(DescriptorCopy {
            revision,
            published: UnixTime(START),
            period,
            points: vec![Key::new(point)],
        })
    };
    // A lower revision of the new period supersedes a higher one of the old period, but not the other way
    // round.
    script.fetched("a", relay(103), of(2, 3, 5));
    script.fetched("a", relay(104), of(1, 30, 6));
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [5]);
    assert!(asked(&script.send(Event::Network(next)), "a").is_empty());
}

#[test]
fn an_hsdir_of_another_period_that_lags_behind_ends_no_living_backend() {
    let mut script = found();
    let mut next = view(ONE, &[(1, 1..9)]);
    next.backends.insert("a".into(), BackendView { period: 2, sources: sources(103..109) });
    script.send(Event::Network(next));
    let now = script.now.wall;
    let of = |revision, published, point| {
        FetchOutcome::Copy(DescriptorCopy { revision, published, period: 2, points: vec![Key::new(point)] })
    };
    script.fetched("a", relay(103), of(3, now.minus(5 * 3600), 5));
    assert_eq!(state(&script), BackendState::Live);
    script.fetched("a", relay(104), of(4, now, 6));
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [6]);
}

#[test]
fn the_same_period_with_other_hsdirs_is_not_looked_for_at_once() {
    let mut script = found();
    let mut next = view(ONE, &[(1, 1..9)]);
    next.backends.insert("a".into(), BackendView { period: 1, sources: sources(103..109) });
    assert!(script.send(Event::Network(next)).is_empty());
    let asked: Vec<_> = script.status("s").backends[0].sources.iter().map(|status| status.source).collect();
    assert_eq!(asked, sources(103..109));
}

#[test]
fn a_step_of_the_wall_clock_neither_kills_nor_stalls() {
    for step in [-86400i64, 86400] {
        let mut script = found();
        script.now.wall = UnixTime(script.now.wall.0.checked_add_signed(step).unwrap());
        let published = UnixTime(START);
        let same =
            DescriptorCopy { revision: 10, published, period: 1, points: vec![Key::new(1), Key::new(2)] };
        let said = answer_all(&mut script, Duration::from_mins(170), &FetchOutcome::Copy(same.clone()));
        let looks = said.iter().filter(|action| matches!(action, Action::Fetch { .. })).count();
        assert!((15..=19).contains(&looks), "{looks} looks after a step by {step}");
        assert_eq!(state(&script), BackendState::Live);
        answer_all(&mut script, Duration::from_mins(20), &FetchOutcome::Copy(same));
        assert_eq!(state(&script), BackendState::Gone(Gone::TooOld), "a step by {step}");
    }
}

#[test]
fn what_backends_publish_while_our_clock_makes_them_look_dead_is_listed() {
    let mut script = found();
    script.now.wall = script.now.wall.plus(86_400);
    let moved = DescriptorCopy {
        revision: 11,
        published: UnixTime(START),
        period: 1,
        points: vec![Key::new(2), Key::new(3)],
    };
    let said = script.fetched("a", relay(101), FetchOutcome::Copy(moved.clone()));
    assert!(notices(&said).contains(&Notice::BackendGone { backend: "a".into(), why: Gone::TooOld }));
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [2, 3]);
    // The same happens again while the backend counts as gone.
    let moved = DescriptorCopy { revision: 12, points: vec![Key::new(3), Key::new(4)], ..moved };
    script.fetched("a", relay(102), FetchOutcome::Copy(moved));
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [3, 4]);
    assert!(script.status("s").stale_for.is_some());
}

#[test]
fn nobody_is_buried_on_the_word_of_one_hsdir_that_lags_behind() {
    let mut script = found();
    let lagging = FetchOutcome::Copy(DescriptorCopy {
        revision: 10,
        published: UnixTime(START),
        period: 1,
        points: vec![Key::new(1), Key::new(2)],
    });
    // All HSDirs have the copy except this one until shortly before it is too old. Then only one HSDir has
    // it, which its backend did not reach.
    answer_all(&mut script, Duration::from_mins(162), &lagging);
    let look = next_look(&mut script);
    assert_eq!(look.len(), 1);
    let rest = asked(&script.fetched("a", look[0], lagging), "a");
    assert_eq!(rest.len(), 5, "everyone else");
    script.copy("a", rest[0], 11, &[1, 2]);
    script.pass(Duration::from_mins(20));
    assert_eq!(state(&script), BackendState::Live);
}

#[test]
fn whoever_asks_through_tor_only_asks_again_soon_before_a_copy_is_too_old() {
    let mut script = through_tor();
    let (old, new) = (script.fresh(10, &[1]), script.fresh(11, &[1]));
    let answer = |script: &mut Script, time, outcome: &FetchOutcome<Key>| {
        script.run(time, |script, action| {
            if let Action::Fetch { backend, from } = action {
                let (backend, source) = (backend.clone(), from[0]);
                script.send(Event::Fetched { backend, source, outcome: outcome.clone() });
            }
        })
    };
    script.send(Event::Fetched { backend: "a".into(), source: Source::Any, outcome: old.clone() });
    answer(&mut script, Duration::from_mins(160), &old);
    let again = answer(&mut script, Duration::from_mins(15), &old);
    assert!((4..=8).contains(&again.iter().filter(|action| matches!(action, Action::Fetch { .. })).count()));
    // It was published an hour after the old one, which some HSDir has kept.
    let FetchOutcome::Copy(copy) = new else { panic!() };
    let newer = FetchOutcome::Copy(DescriptorCopy { published: copy.published.plus(3600), ..copy });
    answer(&mut script, Duration::from_mins(30), &newer);
    assert_eq!(state(&script), BackendState::Live);
}

#[test]
fn a_look_asks_others_in_place_of_hsdirs_that_vanish() {
    let mut script = Script::started(ONE);
    assert_eq!(asked(&all(&script), "a").len(), 2);
    let mut other = view(ONE, &[(1, 1..9)]);
    other.backends.insert("a".into(), BackendView { period: 1, sources: sources(200..206) });
    let others = asked(&script.send(Event::Network(other)), "a");
    assert_eq!(others.len(), 2, "one for each");
    script.copy("a", others[0], 10, &[1]);
    assert_eq!(state(&script), BackendState::Live);
}
