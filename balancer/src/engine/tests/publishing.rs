//! Publishing: which descriptors, to which HSDirs, when, and when again.

use std::slice::from_ref;
use std::time::Duration;

use super::super::testing::*;
use super::super::*;

const TWO: &[(&str, &[&str])] = &[("s", &["a", "b"])];

/// A started script with two backends, whose first publication is stored everywhere.
fn settled() -> Script {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 10, &[1]);
    script.copy("b", relay(100), 10, &[2]);
    let post = script.last();
    let said = script.stored(&post, 1);
    let (service, slot) = ("s".into(), slot(1));
    assert_eq!(
        notices(&said),
        [Notice::DescriptorComplete { service, slot, hsdirs: 8, after: Duration::ZERO }]
    );
    script
}

/// Lets time pass, in which both backends stay as they are and `respond` gets each publication. Returns the
/// publications.
fn live_on(
    script: &mut Script,
    time: Duration,
    mut respond: impl FnMut(&mut Script, &Published),
) -> Vec<Published> {
    let before = script.published().len();
    script.run(time, |script, action| match action {
        Action::Fetch { backend, from } => {
            let point = if *backend == "a".into() { 1 } else { 2 };
            script.copy(&backend.0, hsdir_of(from[0]), script.now.wall.0, &[point]);
        }
        Action::Publish { .. } => respond(script, &published(from_ref(action))[0]),
        _ => {}
    });
    script.published().split_off(before)
}

fn hsdir(script: &Script, number: u8) -> UploadState {
    let descriptors = script.status("s").descriptors;
    descriptors[0].hsdirs.iter().find(|hsdir| hsdir.hsdir == relay(number)).expect("no such HSDir").state
}

#[test]
fn publishes_again_between_one_and_two_hours_later() {
    let mut script = settled();
    let before = script.said.len();
    let posts = live_on(&mut script, Duration::from_hours(24), |script, post| {
        script.stored(post, post.id.0);
    });
    assert!(posts.len() >= 12 && posts.len() <= 24);
    let mut last = Duration::ZERO;
    for post in posts {
        assert_eq!(post.to.len(), 8);
        let apart = post.at.saturating_sub(last);
        assert!(apart >= Duration::from_hours(1) && apart <= Duration::from_hours(2), "{apart:?}");
        last = post.at;
    }
    let said: Vec<_> = script.said[before..].iter().map(|(_, action)| action.clone()).collect();
    assert!(notices(&said).is_empty(), "a renewal is no news");
}

/// The upload in progress counts as the renewal, and the next one comes in its time.
#[test]
fn a_renewal_that_falls_into_an_upload_is_not_the_last() {
    let renewal = live_on(&mut settled(), Duration::from_hours(2), |_, _| ()).first().map(|post| post.at);
    let renewal = renewal.expect("no renewal");
    let mut script = settled();
    let before = renewal.saturating_sub(Duration::from_secs(10));
    let left = before.saturating_sub(script.now.elapsed);
    assert!(live_on(&mut script, left, |_, _| ()).is_empty());
    script.send(Event::Network(view(TWO, &[(1, 20..28)])));
    let post = script.last();
    assert_eq!((post.at, &post.to), (before, &relays(20..28)));
    assert!(live_on(&mut script, Duration::from_secs(20), |_, _| ()).is_empty());
    script.stored(&post, 2);
    assert!(!live_on(&mut script, Duration::from_hours(2), |_, _| ()).is_empty());
}

/// Stores at once everything that was published, and everything that is published within this time.
fn store_all(script: &mut Script, time: Duration) {
    let mut stored = 0;
    while let Some(post) = script.published().get(stored) {
        script.stored(post, 1);
        stored += 1;
    }
    script.run(time, |script, action| {
        for post in published(from_ref(action)) {
            script.stored(&post, 1);
        }
    });
}

#[test]
fn services_do_not_renew_in_step() {
    let names: Vec<String> = (0..20).map(|number| format!("s{number:02}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["a"][..])).collect();
    let mut script = Script::started(&services);
    script.copy("a", relay(100), 1, &[1]);
    store_all(&mut script, Duration::from_mins(1));
    let first = script.published().len();
    assert_eq!(first, 20);
    script.copy("a", relay(100), 2, &[1]);
    store_all(&mut script, Duration::from_mins(121));
    let times: BTreeSet<u64> =
        script.published().split_off(first).iter().map(|post| post.at.as_secs() / 60).collect();
    assert!(times.len() > 10, "{times:?}");
}

#[test]
fn a_changed_onion_key_is_no_change_but_the_next_round_has_it() {
    let mut script = settled();
    let mut point = Key::new(1);
    point.onion = 77;
    let made = script.now.wall;
    let copy = DescriptorCopy { revision: 11, published: made, period: 1, points: vec![point] };
    script.fetched("a", relay(101), FetchOutcome::Copy(copy));
    assert!(published(&script.pass(Duration::from_secs(10))).is_empty());
    // A relay that becomes responsible gets the revision of the others; the renewal has the onion key that is
    // known by then.
    let said = script.send(Event::Network(view(TWO, &[(1, 1..10)])));
    assert_eq!(published(&said)[0].kept, Some(1));
    script.stored(&published(&said)[0], 1);
    let posts = published(&script.pass(Duration::from_hours(2)));
    assert_eq!((posts[0].kept, posts[0].to.len(), &posts[0].onions), (None, 9, &vec![77, 0]));
}

#[test]
fn a_renewal_has_the_points_of_the_newest_descriptors() {
    let mut script = settled();
    let mut point = Key::new(1);
    point.onion = 77;
    let made = script.now.wall;
    let copy = DescriptorCopy { revision: 11, published: made, period: 1, points: vec![point] };
    script.fetched("a", relay(101), FetchOutcome::Copy(copy));
    let posts = published(&script.pass(Duration::from_hours(2)));
    assert_eq!((posts[0].kept, &posts[0].onions), (None, &vec![77, 0]));
}

#[test]
fn changes_are_gathered_and_replace_what_is_under_way() {
    let mut script = settled();
    script.copy("a", relay(101), 11, &[3]);
    script.pass(Duration::from_secs(1));
    script.copy("b", relay(101), 11, &[4]);
    let posts = published(&script.pass(Duration::from_secs(5)));
    assert_eq!(posts.len(), 1);
    assert_eq!((&posts[0].points, &posts[0].to), (&vec![3, 4], &relays(1..9)));
    let old = posts[0].id;
    script.send(Event::Posted { id: old, revision: 20 });

    script.copy("a", relay(101), 12, &[5]);
    script.pass(Duration::from_secs(2));
    let new = script.last();
    assert_eq!((&new.points, &new.to), (&vec![4, 5], &relays(1..9)));
    assert!(new.id > old);
    script.send(Event::Posted { id: new.id, revision: 30 });
    // The end of the old publication changes nothing, except that an acknowledged revision is known.
    script.uploaded(old, &[relay(1)], &UploadOutcome::Stored);
    script.uploaded(old, &[relay(2)], &UploadOutcome::Failed);
    let said = script.uploaded(old, &[relay(3)], &UploadOutcome::Refused("400".into()));
    assert!(said.is_empty());
    for number in 1..4 {
        assert_eq!(hsdir(&script, number), UploadState::Uploading);
    }
    assert_eq!(script.status("s").descriptors[0].hsdirs[0].revision, Some(20));
    // A late success of the old one does not count for the new one.
    script.uploaded(new.id, &[relay(4)], &UploadOutcome::Failed);
    script.uploaded(old, &[relay(4)], &UploadOutcome::Stored);
    assert_eq!(hsdir(&script, 4), UploadState::Pending { failures: 1 });
    // A refusal after a later success changes nothing.
    script.uploaded(new.id, &relays(1..9), &UploadOutcome::Stored);
    assert!(script.uploaded(old, &[relay(3)], &UploadOutcome::Refused("400".into())).is_empty());
    assert_eq!(hsdir(&script, 3), UploadState::Stored);
}

#[test]
fn only_relays_that_became_responsible_get_a_post() {
    let mut script = settled();
    let posts = published(&script.send(Event::Network(view(TWO, &[(1, 3..11)]))));
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].to, relays(9..11));
    assert_eq!(posts[0].points, [1, 2]);
    script.stored(&posts[0], 2);
    assert!(script.send(Event::Network(view(TWO, &[(1, 3..11)]))).is_empty());
}

#[test]
fn a_slot_keeps_its_hsdirs_when_it_becomes_the_first() {
    let mut script = Script::new(TWO);
    script.send(Event::Network(view(TWO, &[(1, 1..9), (2, 11..19)])));
    script.send(Event::TorReady);
    script.copy("a", relay(100), 10, &[1]);
    script.copy("b", relay(100), 10, &[2]);
    for post in script.published() {
        script.stored(&post, 1);
    }
    let posts = published(&script.send(Event::Network(view(TWO, &[(2, 11..19), (3, 21..29)]))));
    assert_eq!(posts.len(), 1);
    assert_eq!((posts[0].slot, &posts[0].to), (slot(3), &relays(21..29)));
    let slots: Vec<_> = script.status("s").descriptors.iter().map(|descriptor| descriptor.slot).collect();
    assert_eq!(slots, [slot(2), slot(3)]);
}

#[test]
fn failed_uploads_are_tried_again_later_and_later_in_one_post() {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 10, &[1]);
    script.copy("b", relay(100), 10, &[2]);
    let post = script.last();
    script.send(Event::Posted { id: post.id, revision: 1 });
    script.uploaded(post.id, &relays(1..6), &UploadOutcome::Stored);
    script.uploaded(post.id, &relays(6..9), &UploadOutcome::Failed);
    let posts = live_on(&mut script, Duration::from_mins(50), |script, post| {
        script.send(Event::Posted { id: post.id, revision: post.id.0 });
        script.uploaded(post.id, &post.to, &UploadOutcome::Failed);
    });
    assert!(
        posts.iter().all(|post| post.to == relays(6..9)),
        "one post for all that are due at about the same time"
    );
    let mut expected = Duration::from_secs(2);
    let mut last = Duration::ZERO;
    for post in &posts {
        let wait = post.at.saturating_sub(last);
        assert!(wait >= expected.mul_f64(0.9) && wait <= expected.mul_f64(1.1), "{wait:?} for {expected:?}");
        expected = (expected * 2).min(Duration::from_mins(5));
        last = post.at;
    }
    assert!((15..=18).contains(&posts.len()), "{}", posts.len());
}

#[test]
fn no_answer_is_a_failure_after_75_seconds() {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 10, &[1]);
    script.copy("b", relay(100), 10, &[2]);
    let post = script.last();
    script.pass(Duration::from_secs(5));
    script.send(Event::Posted { id: post.id, revision: 1 });
    script.uploaded(post.id, &relays(1..8), &UploadOutcome::Stored);
    script.pass(Duration::from_millis(74_999));
    assert_eq!(hsdir(&script, 8), UploadState::Uploading);
    script.pass(Duration::from_millis(1));
    assert_eq!(hsdir(&script, 8), UploadState::Pending { failures: 1 });
    // A late success still counts.
    script.uploaded(post.id, &[relay(8)], &UploadOutcome::Stored);
    assert_eq!(hsdir(&script, 8), UploadState::Stored);
}

#[test]
fn silence_is_told_once_and_so_is_its_end() {
    let mut script = settled();
    let before = script.said.len();
    live_on(&mut script, Duration::from_hours(5), |script, post| {
        script.send(Event::Posted { id: post.id, revision: post.id.0 });
        script.uploaded(post.id, &relays(1..8), &UploadOutcome::Stored);
    });
    let (service, slot, silent) = ("s".into(), slot(1), vec![relay(8)]);
    let told: Vec<_> = script.said[before..].iter().map(|(_, action)| action.clone()).collect();
    assert_eq!(notices(&told), [Notice::HsdirsSilent { service, slot, hsdirs: silent }]);
    let before = script.said.len();
    live_on(&mut script, Duration::from_hours(5), |script, post| {
        script.stored(post, post.id.0);
    });
    let told: Vec<_> = script.said[before..].iter().map(|(_, action)| action.clone()).collect();
    let [Notice::DescriptorComplete { hsdirs: 8, after, .. }, Notice::AllStored { after: since, .. }] =
        notices(&told)[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(after, since);
}

#[test]
fn what_comes_after_an_unanswered_upload_does_not_hide_the_silence() {
    let mut script = settled();
    let mut silent = Vec::new();
    for change in 0..3 {
        let number = change + 3;
        silent.extend(notices(&script.copy("a", relay(100), 11 + u64::from(change), &[number])));
        silent.extend(notices(&script.pass(Duration::from_secs(5))));
        let post = script.last();
        script.send(Event::Posted { id: post.id, revision: post.id.0 });
        script.uploaded(post.id, &relays(1..8), &UploadOutcome::Stored);
        silent.extend(notices(&script.pass(Duration::from_secs(45))));
    }
    silent.retain(|notice| matches!(notice, Notice::HsdirsSilent { .. }));
    let (service, slot) = ("s".into(), slot(1));
    assert_eq!(silent, [Notice::HsdirsSilent { service, slot, hsdirs: vec![relay(8)] }]);
}

#[test]
fn what_may_be_stored_is_uploaded_again_soon() {
    let mut script = settled();
    live_on(&mut script, Duration::from_hours(5), |script, post| {
        script.send(Event::Posted { id: post.id, revision: post.id.0 });
        script.uploaded(post.id, &relays(1..8), &UploadOutcome::Stored);
    });
    while hsdir(&script, 8) != UploadState::Signing {
        live_on(&mut script, Duration::from_secs(1), |_, _| {});
    }
    let last = script.last();
    script.uploaded(last.id, &[relay(8)], &UploadOutcome::Unclear);
    let posts = live_on(&mut script, Duration::from_secs(3), |_, _| {});
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].to, [relay(8)]);
    script.stored(&posts[0], posts[0].id.0);
    assert_eq!(hsdir(&script, 8), UploadState::Stored);
}

#[test]
fn a_relay_that_tor_does_not_know_waits_for_the_next_consensus() {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 10, &[1]);
    script.copy("b", relay(100), 10, &[2]);
    let post = script.last();
    script.uploaded(post.id, &[relay(8)], &UploadOutcome::Unknown);
    script.send(Event::Posted { id: post.id, revision: 1 });
    let said = script.uploaded(post.id, &relays(1..8), &UploadOutcome::Stored);
    assert!(matches!(notices(&said)[..], [Notice::DescriptorComplete { hsdirs: 7, .. }]));
    assert!(live_on(&mut script, Duration::from_mins(50), |_, _| {}).is_empty());
    let posts = published(&script.send(Event::Network(view(TWO, &[(1, 1..9)]))));
    assert_eq!(posts[0].to, relays(8..9));
}

#[test]
fn what_cannot_be_signed_is_tried_again_and_told_once() {
    let mut script = Script::started(TWO);
    script.copy("a", relay(100), 10, &[1]);
    script.copy("b", relay(100), 10, &[2]);
    let post = script.last();
    let problem = || "the signer is away".to_owned();
    let mut told = notices(&script.send(Event::NotPosted { id: post.id, problem: problem() })).len();
    let posts = live_on(&mut script, Duration::from_hours(3), |script, post| {
        assert_eq!(post.to.len(), 8);
        told += notices(&script.send(Event::NotPosted { id: post.id, problem: problem() })).len();
    });
    let descriptor = script.status("s").descriptors.remove(0);
    assert!(descriptor.published_ago < Some(Duration::from_secs(34)) && descriptor.stored_ago.is_none());
    // A retry every 27 to 33 s after the first few.
    assert!((320..410).contains(&posts.len()), "{}", posts.len());
    assert_eq!(told, 1);
    let mut told = Vec::new();
    live_on(&mut script, Duration::from_mins(6), |script, post| {
        told.extend(notices(&script.stored(post, 1)));
    });
    assert_eq!(hsdir(&script, 1), UploadState::Stored);
    let [Notice::DescriptorComplete { .. }, Notice::AllStored { after, .. }] = told[..] else {
        panic!("{told:?}")
    };
    assert!(after > Duration::from_hours(3), "{after:?}");
}

#[test]
fn what_was_stored_stays_stored_at_its_time_while_nothing_can_be_signed() {
    let mut script = settled();
    live_on(&mut script, Duration::from_hours(5), |script, post| {
        script.send(Event::NotPosted { id: post.id, problem: "the signer is away".into() });
    });
    let descriptor = script.status("s").descriptors.remove(0);
    let stored = descriptor.stored_ago.unwrap();
    assert!(descriptor.published_ago.unwrap() < Duration::from_secs(34));
    assert!(stored >= Duration::from_hours(5), "{stored:?}");
}

#[test]
fn the_last_set_stays_for_18_hours_and_no_longer() {
    let mut script = settled();
    for post in published(&script.pass(Duration::from_hours(4))) {
        script.stored(&post, 1);
    }
    assert!(script.status("s").stale_for.is_some());
    assert_eq!(script.status("s").points, 2);
    let keeping = |script: &Script| {
        let said: Vec<_> = script.said.iter().map(|(_, action)| action.clone()).collect();
        notices(&said)
            .into_iter()
            .filter(|notice| *notice == Notice::KeepingLastSet { service: "s".into() })
            .count()
    };
    assert_eq!(keeping(&script), 1);
    let mut renewals = 0;
    for _ in 0..9 {
        let posts = published(&script.pass(Duration::from_hours(2)));
        if let Some(post) = posts.last() {
            assert_eq!(post.points, [1, 2]);
            script.stored(post, 1);
            renewals += 1;
        }
    }
    assert!(renewals >= 8);
    assert_eq!(keeping(&script), 1);
    let said = script.pass(Duration::from_hours(24));
    assert!(published(&said).is_empty());
    assert_eq!(script.status("s").points, 0);
    // The point comes back unchanged, and is published again.
    let posts = {
        script.copy("a", relay(100), 11, &[1]);
        script.copy("b", relay(100), 11, &[2]);
        published(&script.pass(Duration::from_secs(2)))
    };
    assert_eq!(posts.last().map(|post| post.points.clone()), Some(vec![1, 2]));
}

#[test]
fn posts_keep_to_the_budget() {
    let names: Vec<String> = (0..50).map(|number| format!("s{number:02}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["a"][..])).collect();
    let mut script = Script::started(&services);
    // The first descriptors of the services are published as soon as tor has room.
    script.copy("a", relay(100), 1, &[1]);
    store_all(&mut script, Duration::ZERO);
    assert_eq!(script.published().len(), 50);
    // Slots that come later are not.
    script.send(Event::Network(view(&services, &[(1, 1..9), (2, 11..19)])));
    store_all(&mut script, Duration::ZERO);
    assert_eq!(script.published().len(), 50 + 24);
    // The posts that wait leave at even distances, with the points that are known by then.
    script.copy("a", relay(100), 2, &[2]);
    store_all(&mut script, Duration::from_secs(60));
    let posts = script.published().split_off(50 + 24);
    assert_eq!(posts.len(), 30);
    assert!(posts.iter().all(|post| post.points == [2]));
    assert!(posts.windows(2).all(|pair| pair[1].at == pair[0].at + Duration::from_secs(2)));
}

#[test]
fn a_short_period_does_not_wait_for_a_days_budget() {
    let names: Vec<String> = (0..50).map(|number| format!("s{number:02}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["a"][..])).collect();
    let mut script = Script::new(&services);
    let period_length = Duration::from_mins(6);
    script.send(Event::Network(NetworkView { period_length, ..view(&services, &[(1, 1..9)]) }));
    script.send(Event::TorReady);
    script.copy("a", relay(100), 1, &[1]);
    store_all(&mut script, Duration::from_millis(500));
    assert_eq!(script.published().len(), services.len());
}
