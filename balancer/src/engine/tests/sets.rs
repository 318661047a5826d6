//! More introduction points than a descriptor lists: each HSDir gets its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::testing::*;
use super::super::*;
use crate::relay::Fingerprint;

const TWELVE: &[(&str, &[&str])] = &[("s", &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"])];

/// Three points of each backend: 1, 2, 3 of the first, 11, 12, 13 of the second and so on.
fn points(backend: usize) -> Vec<u32> {
    let first = u32::try_from(backend).unwrap() * 10;
    (first + 1..first + 4).collect()
}

/// A script that has found all twelve backends.
fn found() -> Script {
    let mut script = Script::of_v2(TWELVE);
    for (number, name) in TWELVE[0].1.iter().enumerate() {
        script.copy(name, relay(100), 10, &points(number));
    }
    script
}

#[test]
fn an_hsdir_that_fails_keeps_no_other_waiting() {
    let settings = Settings { timing: Timing::v2(), posts_per_minute: 2, ..Settings::default() };
    let mut script = Script::of_v2_with(TWELVE, settings);
    for (number, name) in TWELVE[0].1.iter().enumerate() {
        script.copy(name, relay(100), 10, &points(number));
    }
    script.run(Duration::from_mins(5), |script, action| {
        if let Action::Publish { id, to, .. } = action {
            script.send(Event::Posted { id: *id, revision: 1 });
            script.uploaded(*id, to, &UploadOutcome::Failed);
        }
    });
    // Each is due again before the next post may go.
    let first: BTreeSet<Fingerprint> = script.published().iter().take(6).map(|post| post.to[0]).collect();
    assert_eq!(first.len(), 6);
}

/// The last set that was published to each HSDir.
fn sets(script: &Script) -> BTreeMap<Fingerprint, Vec<u32>> {
    let posts = script.published().into_iter();
    posts.flat_map(|post| post.to.into_iter().map(move |hsdir| (hsdir, post.points.clone()))).collect()
}

/// Lets every HSDir take what it is sent, and have it.
fn settle(script: &mut Script, time: Duration) {
    let mut last = BTreeMap::new();
    for post in script.published() {
        last.extend(post.to.iter().map(|hsdir| ((post.slot, *hsdir), post.points.clone())));
        script.stored(&post, 1);
    }
    script.run(time, |script, action| match action {
        Action::Fetch { backend, from } => {
            let number = TWELVE[0].1.iter().position(|name| *backend == (*name).into()).unwrap();
            script.copy(&backend.0, hsdir_of(from[0]), 10, &points(number));
        }
        Action::Publish { id, slot, points, to, .. } => {
            let points: Vec<u32> = points.iter().map(|chosen| chosen.point.id()).collect();
            last.extend(to.iter().map(|hsdir| ((*slot, *hsdir), points.clone())));
            script.send(Event::Posted { id: *id, revision: 1 });
            script.uploaded(*id, to, &UploadOutcome::Stored);
        }
        Action::ReadBack { slot, hsdir, .. } => {
            let points = last[&(*slot, *hsdir)].clone();
            script.read_back(*slot, *hsdir, Found::Copy { revision: 1, points });
        }
        Action::Notice(_) => {}
    });
}

#[test]
fn six_hsdirs_get_six_sets_that_list_everybody() {
    let mut script = found();
    settle(&mut script, Duration::from_mins(2));
    let sets = sets(&script);
    assert_eq!(sets.len(), 6);
    assert!(sets.values().all(|set| set.len() == 10));
    assert_eq!(sets.values().collect::<BTreeSet<_>>().len(), 6);
    let listed: BTreeSet<u32> = sets.values().flatten().copied().collect();
    assert_eq!(listed.len(), 36);
    let share = |backend: usize| sets.values().flatten().filter(|id| points(backend).contains(id)).count();
    assert!((0..12).all(|backend| share(backend) == 5));
    let status = script.status("s");
    assert_eq!(status.points, 36);
    assert!(
        status
            .descriptors
            .iter()
            .flat_map(|descriptor| &descriptor.hsdirs)
            .all(|hsdir| hsdir.state == UploadState::Stored)
    );
}

#[test]
fn a_new_hsdir_gets_the_set_of_the_one_that_left_and_nobody_else_anything() {
    let mut script = found();
    settle(&mut script, Duration::from_mins(2));
    let before = sets(&script);
    let mut view = view_v2(TWELVE, &[1]);
    let slots = view.services.get_mut(&"s".into()).unwrap();
    // Relay 2 leaves, relay 9 comes.
    slots.insert(replica(1, 0), vec![relay(1), relay(9), relay(3)]);
    let posts = published(&script.send(Event::Network(view)));
    assert_eq!(posts.len(), 1);
    assert_eq!((&posts[0].to, &posts[0].points), (&vec![relay(9)], &before[&relay(2)]));
}

#[test]
fn the_switch_gives_all_hsdirs_the_same() {
    let mut script = found();
    let spec = ServiceSpec { distinct: false, ..specs(TWELVE).remove(0) };
    script.send(Event::Configuration(vec![ServiceSpec { max_points: 10, proof: Proof::ReadBack, ..spec }]));
    script.pass(Duration::from_mins(3));
    let sets = sets(&script);
    assert_eq!(sets.values().collect::<BTreeSet<_>>().len(), 1);
}
