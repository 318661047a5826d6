//! Copies of a backend's descriptor: the choice of the one that counts.

use std::time::Duration;

use super::super::testing::*;
use super::super::*;
use super::looks::{all, found, through_tor};

#[test]
fn the_newest_revision_wins_whoever_has_it() {
    let mut script = found();
    script.copy("a", relay(103), 12, &[3]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [3]);
    assert_eq!(
        notices(&all(&script)).last(),
        Some(&Notice::BackendChanged { backend: "a".into(), points: 1 })
    );
    script.copy("a", relay(104), 11, &[4]);
    script.copy("a", relay(105), 10, &[1, 2]);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.last().points, [3]);
    assert_eq!(script.status("s").backends[0].revision, Some(12));
}

#[test]
fn other_points_under_the_same_revision_count_where_the_old_ones_came_from() {
    let mut script = found();
    let from = asked(&all(&script), "a")[0];
    let other = relays(100..106).into_iter().find(|hsdir| *hsdir != from).unwrap();
    script.copy("a", other, 10, &[5]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [1, 2]);
    script.copy("a", from, 10, &[5]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [5]);
}

#[test]
fn other_points_under_the_same_revision_count_where_most_hsdirs_have_them() {
    let mut script = found();
    let first = asked(&all(&script), "a");
    let others: Vec<_> = relays(100..106).into_iter().filter(|hsdir| !first.contains(hsdir)).collect();
    // The HSDirs that gave the old points are no longer responsible, so none of them can be seen to replace
    // them.
    let mut next = view(&[("s", &["a"])], &[(1, 1..9)]);
    next.backends.get_mut(&"a".into()).unwrap().sources = others.iter().copied().map(source).collect();
    script.send(Event::Network(next));
    script.copy("a", others[0], 10, &[5]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [5]);
    // As many HSDirs that the new points have not reached change nothing.
    script.copy("a", others[1], 10, &[1, 2]);
    script.copy("a", others[2], 10, &[5]);
    script.copy("a", others[3], 10, &[1, 2]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [5]);
}

#[test]
fn other_points_under_the_same_revision_count_wherever_the_old_ones_were_seen() {
    let mut script = found();
    let first = asked(&all(&script), "a")[0];
    let others: Vec<_> = relays(100..106).into_iter().filter(|hsdir| *hsdir != first).collect();
    // The other points are seen there, too. The first HSDir is then the only one that the backend does not
    // reach.
    script.copy("a", others[0], 10, &[1, 2]);
    script.copy("a", others[1], 10, &[5]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [1, 2]);
    script.copy("a", others[0], 10, &[5]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [5]);
    // It still has the old points, which are not new to the engine.
    script.copy("a", first, 10, &[1, 2]);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.last().points, [5]);
}

/// The HSDirs have two descriptors of one hour, and tor returns one or the other.
#[test]
fn points_that_were_given_up_do_not_come_back_through_tor() {
    let mut script = through_tor();
    for (points, listed) in [([1], 1), ([5], 5), ([1], 5), ([5], 5), ([1], 5)] {
        let outcome = script.fresh(10, &points);
        script.send(Event::Fetched { backend: "a".into(), source: Source::Any, outcome });
        script.pass(Duration::from_secs(2));
        assert_eq!(script.last().points, [listed]);
    }
}
