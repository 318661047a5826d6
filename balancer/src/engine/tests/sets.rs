//! More introduction points than one descriptor lists: each HSDir gets a set of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;

use super::super::testing::*;
use super::super::*;

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

/// The publications of a script, in their order.
fn publications(script: &Script) -> Vec<(PublicationId, Revision, Vec<Post<Key>>)> {
    let publication = |(_, action): &(Duration, Action<Key>)| match action {
        Action::Publish { id, posts, revision, .. } => Some((*id, *revision, posts.clone())),
        _ => None,
    };
    script.said.iter().filter_map(publication).collect()
}

/// A service of three backends with ten points each, which need two sets for eight HSDirs.
const THREE: &[(&str, &[&str])] = &[("s", &["a", "b", "c"])];

fn thirty_points() -> Script {
    let mut script = Script::new(THREE);
    let spec = ServiceSpec { distinct: true, ..specs(THREE).remove(0) };
    script.configure(vec![spec]);
    script.send(Event::Network(view(THREE, &[(1, 1..9)])));
    script.send(Event::TorReady);
    for (number, name) in (0..).zip(THREE[0].1) {
        let points: Vec<u32> = (number * 10..number * 10 + 10).collect();
        script.copy(name, relay(100), 10, &points);
    }
    script
}

#[test]
fn all_sets_are_signed_together_and_equal_ones_share_a_post() {
    let script = thirty_points();
    let [(_, revision, posts)] = &publications(&script)[..] else { panic!("not one publication") };
    assert_eq!(*revision, Revision::New { floor: None });
    assert_eq!(posts.iter().map(|post| (post.set, post.to.len())).collect::<Vec<_>>(), [(0, 4), (1, 4)]);
    assert_ne!(posts[0].points, posts[1].points);
}

/// Tor's clients discard a descriptor whose revision is below that of the one that they hold.
#[test]
fn an_hsdir_that_lacks_the_round_gets_it_with_its_revision() {
    let mut script = thirty_points();
    let (id, _, posts) = publications(&script).remove(0);
    script.send(Event::Posted { id, revision: 700 });
    let to: Vec<Fingerprint> = posts.iter().flat_map(|post| post.to.clone()).collect();
    script.uploaded(id, &to[1..], &UploadOutcome::Stored);
    script.uploaded(id, &to[..1], &UploadOutcome::Failed);
    script.pass(Duration::from_secs(3));
    let (id, revision, again) = publications(&script).pop().unwrap();
    assert_eq!((revision, &again[0].to), (Revision::Kept(700), &to[..1].to_vec()));
    assert_eq!(again[0].points, posts[0].points);
    script.send(Event::Posted { id, revision: 700 });
    script.uploaded(id, &to[..1], &UploadOutcome::Stored);

    // One relay leaves, and another one takes its number.
    script.send(Event::Network(view(THREE, &[(1, 2..10)])));
    let (_, revision, posts) = publications(&script).pop().unwrap();
    assert_eq!(revision, Revision::Kept(700));
    assert_eq!(posts.iter().map(|post| post.to.clone()).collect::<Vec<_>>(), [[relay(9)]]);
}

#[test]
fn what_cannot_be_posted_again_as_it_was_is_signed_for_all() {
    let mut script = thirty_points();
    let (id, _, posts) = publications(&script).remove(0);
    script.send(Event::Posted { id, revision: 700 });
    let to: Vec<Fingerprint> = posts.iter().flat_map(|post| post.to.clone()).collect();
    script.uploaded(id, &to, &UploadOutcome::Stored);
    script.send(Event::Network(view(THREE, &[(1, 2..10)])));
    let (id, ..) = publications(&script).pop().unwrap();
    script.send(Event::NotKept { id });
    let (_, revision, posts) = publications(&script).pop().unwrap();
    assert_eq!(revision, Revision::New { floor: Some(700) });
    assert_eq!(posts.iter().map(|post| post.to.len()).sum::<usize>(), 8);
}

/// Lets 50 minutes pass in which one HSDir leaves the first uploads of new rounds without an answer, as many
/// as `lost`, and refuses what is uploaded again. `shows` is what it shows if it is read back: `None` is the
/// last round. Returns for each publication whether it was a new round, and the last state of that HSDir.
fn one_loses_answers(lost: usize, shows: Option<&Found<u32>>) -> (Vec<bool>, UploadState) {
    let odd = relay(8);
    let mut script = thirty_points();
    let (id, ..) = publications(&script).remove(0);
    script.send(Event::NotPosted { id, problem: "the signer is away".into() });
    let mut rounds = Vec::new();
    let mut found = Found::Nothing;
    script.run(Duration::from_mins(50), |script, action| match action {
        Action::Publish { id, posts, revision, .. } => {
            let (given, is_new) = match revision {
                Revision::New { .. } => (1000 + id.0, true),
                Revision::Kept(revision) => (*revision, false),
            };
            script.send(Event::Posted { id: *id, revision: given });
            for Post { points, to, .. } in posts {
                let others: Vec<_> = to.iter().copied().filter(|hsdir| *hsdir != odd).collect();
                script.uploaded(*id, &others, &UploadOutcome::Stored);
                if others.len() < to.len() {
                    let points = points.iter().map(|chosen| chosen.point.id()).collect();
                    found = Found::Copy { revision: given, points };
                }
            }
            rounds.push(is_new);
            if !is_new {
                script.uploaded(*id, &[odd], &UploadOutcome::Refused("HTTP 400".into()));
            } else if rounds.iter().filter(|is_new| **is_new).count() > lost {
                script.uploaded(*id, &[odd], &UploadOutcome::Stored);
            }
        }
        Action::ReadBack { slot, hsdir, .. } => {
            script.read_back(*slot, *hsdir, shows.unwrap_or(&found).clone());
        }
        Action::Fetch { .. } | Action::Probe { .. } | Action::Notice(_) => {}
    });
    let hsdirs = script.status("s").descriptors.remove(0).hsdirs;
    let state = |hsdir: &HsdirStatus| hsdir.state;
    assert!(hsdirs.iter().all(|hsdir| hsdir.hsdir == odd || hsdir.state == UploadState::Stored));
    (rounds, hsdirs.iter().find(|hsdir| hsdir.hsdir == odd).map(state).unwrap())
}

/// The answer may have been lost, and not the descriptor.
#[test]
fn an_hsdir_whose_answers_are_lost_costs_one_round_and_no_more() {
    assert_eq!(one_loses_answers(2, None), (vec![true, false, true, false], UploadState::Stored));
}

/// Tor fetches no version-3 descriptor of the next period.
#[test]
fn an_hsdir_whose_answers_are_lost_and_that_cannot_be_read_gets_another_round() {
    let (rounds, state) = one_loses_answers(2, Some(&Found::Failed));
    assert_eq!((rounds, state), (vec![true, false, true, false, true], UploadState::Stored));
}

#[test]
fn an_hsdir_that_is_silent_and_refuses_without_the_descriptor_is_tried_again() {
    let (rounds, state) = one_loses_answers(2, Some(&Found::Nothing));
    assert_eq!(rounds.iter().filter(|is_new| **is_new).count(), 2, "{rounds:?}");
    assert!(rounds.len() > 10, "{rounds:?}");
    assert!(matches!(state, UploadState::Pending { .. }), "{state:?}");
}

#[test]
fn a_renewal_counts_for_all_posts() {
    let mut script = thirty_points();
    settle_all(&mut script);
    let mut times = Vec::new();
    script.run(Duration::from_hours(6), |script, action| match action {
        Action::Fetch { backend, from } => {
            let number =
                u32::try_from(THREE[0].1.iter().position(|name| *backend == (*name).into()).unwrap());
            let first = number.unwrap() * 10;
            let points: Vec<u32> = (first..first + 10).collect();
            script.copy(&backend.0, hsdir_of(from[0]), script.now.wall.0, &points);
        }
        Action::Publish { id, posts, .. } => {
            assert_eq!(posts.iter().map(|post| post.to.len()).sum::<usize>(), 8);
            times.push(script.now.elapsed);
            script.send(Event::Posted { id: *id, revision: id.0 });
            for post in posts {
                script.uploaded(*id, &post.to, &UploadOutcome::Stored);
            }
        }
        _ => {}
    });
    assert!(times.len() >= 3);
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + Duration::from_hours(1)), "{times:?}");
}

/// Has every HSDir take the descriptors that it was sent.
fn settle_all(script: &mut Script) {
    for (id, _, posts) in publications(script) {
        script.send(Event::Posted { id, revision: id.0 });
        for post in posts {
            script.uploaded(id, &post.to, &UploadOutcome::Stored);
        }
    }
}

/// The last set that was published to each HSDir.
fn sets(script: &Script) -> BTreeMap<Fingerprint, Vec<u32>> {
    let posts = script.published().into_iter();
    posts.flat_map(|post| post.to.into_iter().map(move |hsdir| (hsdir, post.points.clone()))).collect()
}

/// Has every HSDir take the descriptors that it is sent, and hold them.
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
        Action::Publish { id, slot, posts, .. } => {
            script.send(Event::Posted { id: *id, revision: 1 });
            for Post { points, to, .. } in posts {
                let points: Vec<u32> = points.iter().map(|chosen| chosen.point.id()).collect();
                last.extend(to.iter().map(|hsdir| ((*slot, *hsdir), points.clone())));
                script.uploaded(*id, to, &UploadOutcome::Stored);
            }
        }
        Action::ReadBack { slot, hsdir, .. } => {
            let points = last[&(*slot, *hsdir)].clone();
            script.read_back(*slot, *hsdir, Found::Copy { revision: 1, points });
        }
        Action::Probe { .. } | Action::Notice(_) => {}
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
    // Relay 2 leaves, and relay 9 comes.
    slots.insert(replica(1, 0), vec![relay(1), relay(9), relay(3)]);
    let posts = published(&script.send(Event::Network(view)));
    assert_eq!(posts.len(), 1);
    assert_eq!((&posts[0].to, &posts[0].points), (&vec![relay(9)], &before[&relay(2)]));
}

#[test]
fn the_switch_gives_all_hsdirs_the_same() {
    let mut script = found();
    let spec = ServiceSpec { distinct: false, ..specs(TWELVE).remove(0) };
    script.configure(vec![ServiceSpec { max_points: 10, proof: Proof::ReadBack, ..spec }]);
    script.pass(Duration::from_mins(3));
    let sets = sets(&script);
    assert_eq!(sets.values().collect::<BTreeSet<_>>().len(), 1);
}
