//! Higher revisions on the HSDirs, left by another publisher of the same service.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;

use super::super::testing::*;
use super::super::*;

const ONE: &[(&str, &[&str])] = &[("s", &["a"])];

/// A started script whose first publication had revision 1000.
fn posted() -> (Script, Published) {
    let mut script = Script::started(ONE);
    script.copy("a", relay(100), 10, &[1]);
    let post = script.last();
    script.send(Event::Posted { id: post.id, revision: 1000 });
    (script, post)
}

fn refusal() -> UploadOutcome {
    UploadOutcome::Refused("HTTP 400".into())
}

/// The HSDirs that these actions read back.
fn asked_back(actions: &[Action<Key>]) -> Vec<Fingerprint> {
    read_backs(actions).into_iter().map(|(_, hsdir)| hsdir).collect()
}

fn seen(revision: u64) -> Event<Key> {
    let found = Found::Copy { revision, points: vec![1] };
    Event::ReadBack { service: "s".into(), slot: slot(1), hsdir: relay(1), found }
}

fn unseen() -> Event<Key> {
    Event::ReadBack { service: "s".into(), slot: slot(1), hsdir: relay(1), found: Found::Failed }
}

#[test]
fn a_refusal_is_read_back_once_and_followed_by_one_post_above_it() {
    let (mut script, post) = posted();
    let said = script.uploaded(post.id, &relays(1..4), &refusal());
    assert_eq!(asked_back(&said), [relay(1)]);
    assert_eq!(notices(&said).len(), 3);
    script.send(seen(5000));
    // These refusals come before the next post: no further read-back is needed.
    assert!(asked_back(&script.uploaded(post.id, &relays(4..9), &refusal())).is_empty());
    let posts = published(&script.pass(Duration::from_secs(2)));
    assert_eq!(posts.len(), 1);
    assert_eq!((&posts[0].to, posts[0].floor), (&relays(1..9), Some(5000)));
    let said = script.stored(&posts[0], 5001);
    let told = notices(&said);
    assert!(
        matches!(told[..], [Notice::DescriptorComplete { hsdirs: 8, .. }, Notice::AllStored { .. }]),
        "{told:?}"
    );
}

#[test]
fn what_is_known_beforehand_is_exceeded_at_once() {
    let mut script = Script::started(ONE);
    script.send(seen(7000));
    script.send(seen(6000));
    script.copy("a", relay(100), 10, &[1]);
    assert_eq!(script.last().floor, Some(7000));
}

#[test]
fn a_signer_that_begins_anew_goes_on_above_what_it_gave() {
    let (mut script, post) = posted();
    script.stored(&post, 1000);
    // A signer that was started in the meantime does not know this revision.
    script.pass(Duration::from_hours(2));
    assert_eq!(script.last().floor, Some(1000));
}

/// HSDirs drop what an earlier life of the balancer stored there three hours after that.
#[test]
fn an_hsdir_that_holds_a_revision_which_is_given_again_gets_a_higher_one() {
    let (mut script, post) = posted();
    script.uploaded(post.id, &relays(2..9), &UploadOutcome::Stored);
    script.uploaded(post.id, &relays(1..2), &refusal());
    script.send(seen(1000));
    script.pass(Duration::from_secs(3));
    let next = script.last();
    assert_eq!((next.to, next.floor), (relays(1..9), Some(1000)));
}

#[test]
fn a_refusal_for_another_reason_waits_longer_and_longer() {
    let (mut script, post) = posted();
    script.uploaded(post.id, &relays(1..9), &refusal());
    script.send(seen(900));
    let mut last = script.now.elapsed;
    for round in 1..6u32 {
        script.pass(Duration::from_secs(3) * 2u32.pow(round));
        let post = script.last();
        assert!(post.at > last);
        last = post.at;
        script.send(Event::Posted { id: post.id, revision: 1000 + u64::from(round) });
        let said = script.uploaded(post.id, &relays(1..9), &refusal());
        assert!(notices(&said).is_empty(), "told once");
        assert_eq!(asked_back(&said).len(), 1);
        script.send(seen(900));
    }
}

#[test]
fn guesses_when_most_refuse_and_nothing_can_be_seen() {
    let (mut script, mut post) = posted();
    let mut floors = Vec::new();
    for _ in 0..4 {
        script.uploaded(post.id, &post.to.clone(), &refusal());
        // Every read-back fails. The fourth refusal makes more than half of the HSDirs refuse.
        for _ in 0..8 {
            script.send(unseen());
        }
        script.pass(Duration::from_secs(30));
        post = script.last();
        let floor = post.floor.expect("a guess");
        floors.push((floor - 1000) / 32768);
        script.send(Event::Posted { id: post.id, revision: floor + 1 });
    }
    assert_eq!(floors, [600, 1200, 2400, 4800]);
    // There is no higher guess: only time helps.
    script.uploaded(post.id, &post.to.clone(), &refusal());
    script.send(unseen());
    script.pass(Duration::from_secs(30));
    assert_eq!(script.last().floor, Some(1000 + 4800 * 32768 + 1));
}

/// The hours of the signer's counter differ in length. The last revision of a signer that was asked for its
/// maximum is an hour ahead of a clock that has gone on since.
#[test]
fn exceeds_unseen_what_a_signer_gave_an_hour_ahead() {
    let (mut script, mut post) = posted();
    let ahead = |elapsed: Duration| 3700 * 32768 + elapsed.as_secs() * 32768;
    let hostile = ahead(script.now.elapsed) + 60;
    let begin = script.now.elapsed;
    let mut revision = 1000;
    while revision <= hostile {
        script.uploaded(post.id, &post.to.clone(), &refusal());
        script.send(unseen());
        script.pass(Duration::from_secs(30));
        assert!(script.now.elapsed < begin + Duration::from_mins(5), "{revision} does not exceed {hostile}");
        post = script.last();
        revision = post.floor.unwrap_or(0).min(ahead(script.now.elapsed)) + 1;
        script.send(Event::Posted { id: post.id, revision });
    }
    // The next publication follows the published revision, and not the guess.
    script.stored(&post, revision);
    script.pass(Duration::from_hours(2));
    assert_eq!(script.last().floor, Some(revision));
}

/// The signer may not have reached the guess. Points that are chosen during the uploads do not keep it.
#[test]
fn a_guess_ends_when_all_hsdirs_take_a_round_that_another_one_is_to_follow() {
    assert_eq!(floor_after_a_guess(1001), Some(1001));
    // HSDirs have forgotten what they had, and a signer that was restarted gives less.
    assert_eq!(floor_after_a_guess(900), Some(1000));
}

/// The floor of the round that follows a guess. All HSDirs took 1000, refuse the next round, and take the
/// guess with this `revision`, while other points have been chosen.
fn floor_after_a_guess(revision: u64) -> Option<u64> {
    let mut script = Script::with(ONE, Settings { posts_per_minute: 1, ..Settings::default() });
    script.send(Event::Network(view(ONE, &[(1, 1..9)])));
    script.send(Event::TorReady);
    for hsdir in relays(100..106) {
        script.copy("a", hsdir, 10, &[1]);
    }
    let post = script.last();
    script.stored(&post, 1000);
    script.copy("a", relay(100), 11, &[3]);
    script.pass(Duration::from_secs(3));
    let post = script.last();
    script.send(Event::Posted { id: post.id, revision: 999 });
    script.uploaded(post.id, &post.to, &refusal());
    script.send(unseen());
    script.pass(Duration::from_mins(1));
    let post = script.last();
    assert_eq!(post.floor, Some(999 + 600 * 32768));
    script.send(Event::Posted { id: post.id, revision });
    script.copy("a", relay(100), 12, &[2]);
    script.pass(Duration::from_secs(3));
    assert_eq!(script.last().id, post.id);
    script.uploaded(post.id, &post.to, &UploadOutcome::Stored);
    script.pass(Duration::from_mins(1));
    let next = script.last();
    assert_eq!(next.points, [2]);
    next.floor
}

#[test]
fn a_single_refusing_hsdir_does_not_drive_the_revision_up() {
    let (mut script, post) = posted();
    script.uploaded(post.id, &relays(2..9), &UploadOutcome::Stored);
    assert_eq!(asked_back(&script.uploaded(post.id, &relays(1..2), &refusal())), [relay(1)]);
    script.send(unseen());
    script.pass(Duration::from_secs(3));
    let post = script.last();
    assert_eq!((&post.to, post.kept), (&relays(1..2), Some(1000)));
}

/// The revision that these HSDirs hold is not known: they can only take a higher one.
#[test]
fn where_most_refuse_the_one_that_does_not_gets_each_new_revision_too() {
    let (mut script, post) = posted();
    script.uploaded(post.id, &[relay(8)], &UploadOutcome::Stored);
    script.uploaded(post.id, &relays(1..8), &refusal());
    for round in 1..4 {
        // The revision is not above the refused one.
        script.send(seen(900));
        script.pass(Duration::from_secs(3) * 2u32.pow(round));
        let post = script.last();
        assert_eq!((&post.to, post.kept), (&relays(1..9), None));
        script.send(Event::Posted { id: post.id, revision: 1000 + u64::from(round) });
        script.uploaded(post.id, &[relay(8)], &UploadOutcome::Stored);
        script.uploaded(post.id, &relays(1..8), &refusal());
    }
}

#[test]
fn a_read_back_without_answer_ends_after_15_seconds() {
    let (mut script, post) = posted();
    script.uploaded(post.id, &relays(1..9), &refusal());
    assert!(published(&script.pass(Duration::from_millis(14_999))).is_empty());
    let posts = published(&script.pass(Duration::from_secs(2)));
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].floor, Some(1000 + 600 * 32768));
}

#[test]
fn an_hsdir_that_acknowledged_a_revision_late_and_refuses_it_then_has_it() {
    let mut script = Script::started(ONE);
    for number in 100..106 {
        script.copy("a", relay(number), 1, &[1]);
    }
    let post = script.last();
    script.send(Event::Posted { id: post.id, revision: 7 });
    script.uploaded(post.id, &post.to[1..], &UploadOutcome::Stored);
    script.pass(Duration::from_secs(80));
    let again = script.last();
    assert_eq!((again.kept, &again.to[..]), (Some(7), &post.to[..1]));
    script.send(Event::Posted { id: again.id, revision: 7 });
    script.uploaded(post.id, &again.to, &UploadOutcome::Stored);
    let said = script.uploaded(again.id, &again.to, &UploadOutcome::Refused("400".into()));
    assert!(read_backs(&said).is_empty());
    let hsdirs = &script.status("s").descriptors[0].hsdirs;
    assert!(hsdirs.iter().all(|hsdir| hsdir.state == UploadState::Stored));
}

/// A signer whose clock was ahead, and that was restarted when its clock was right, gives the same revision
/// twice. HSDirs refuse the second descriptor and keep the first.
#[test]
fn an_hsdir_that_acknowledged_the_revision_of_another_descriptor_does_not_have_this_one() {
    let (mut script, post) = posted();
    script.stored(&post, 1000);
    script.copy("a", relay(100), 11, &[2]);
    let posts = published(&script.pass(Duration::from_secs(2)));
    script.send(Event::Posted { id: posts[0].id, revision: 1000 });
    script.uploaded(posts[0].id, &posts[0].to, &refusal());
    let hsdirs = &script.status("s").descriptors[0].hsdirs;
    assert!(hsdirs.iter().all(|hsdir| hsdir.state != UploadState::Stored), "{hsdirs:?}");
}

#[test]
fn an_hsdir_that_had_ours_and_holds_a_higher_revision_has_another_publishers() {
    let (mut script, post) = posted();
    script.uploaded(post.id, &relays(1..9), &UploadOutcome::Stored);
    assert_eq!(script.status("s").descriptors[0].other_ago, None);
    script.copy("a", relay(100), 11, &[2]);
    let next = published(&script.pass(Duration::from_secs(2))).remove(0);
    script.send(Event::Posted { id: next.id, revision: 1500 });
    script.uploaded(next.id, &relays(1..2), &refusal());
    let said = script.send(seen(5000));
    let notice = Notice::OtherPublisher { service: "s".into(), slot: slot(1), hsdir: relay(1) };
    assert!(notices(&said).contains(&notice), "{said:?}");
    script.pass(Duration::from_secs(1));
    assert!(script.status("s").descriptors[0].other_ago.is_some());
}

#[test]
fn a_higher_revision_from_before_the_start_is_not_another_publishers() {
    let (mut script, post) = posted();
    script.uploaded(post.id, &relays(1..2), &refusal());
    let said = script.send(seen(5000));
    assert!(!notices(&said).iter().any(|notice| matches!(notice, Notice::OtherPublisher { .. })), "{said:?}");
    assert_eq!(script.status("s").descriptors[0].other_ago, None);
}
