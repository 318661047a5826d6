//! HSDirs whose acknowledgement is not enough: their descriptors are read back.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;

use super::super::testing::*;
use super::super::*;

const ONE: &[(&str, &[&str])] = &[("s", &["a"])];
/// The revision of the first publications.
const REVISION: u64 = 3600;

/// A script whose one backend has points 1 and 2, which all six HSDirs have acknowledged, and the HSDirs that
/// it reads back.
fn acknowledged() -> (Script, Vec<(DescriptorSlot, Fingerprint)>) {
    let mut script = Script::of_v2(ONE);
    script.copy("a", relay(100), 10, &[1, 2]);
    let posts = script.published();
    assert_eq!(posts.len(), 2, "one for each replica");
    let mut asked = Vec::new();
    for post in &posts {
        assert_eq!(post.points, [1, 2]);
        let said = script.stored(post, REVISION);
        assert!(notices(&said).is_empty());
        asked.extend(read_backs(&said));
    }
    (script, asked)
}

fn copy(revision: u64, points: &[u32]) -> Found<u32> {
    Found::Copy { revision, points: points.to_vec() }
}

fn states(script: &Script) -> Vec<UploadState> {
    let descriptors = script.status("s").descriptors;
    descriptors.iter().flat_map(|descriptor| &descriptor.hsdirs).map(|hsdir| hsdir.state).collect()
}

#[test]
fn a_descriptor_is_published_when_every_hsdir_has_been_seen_to_have_it() {
    let (mut script, asked) = acknowledged();
    let expected: Vec<_> = [(0, 1..4), (1, 4..7)]
        .into_iter()
        .flat_map(|(number, hsdirs)| relays(hsdirs).into_iter().map(move |hsdir| (replica(1, number), hsdir)))
        .collect();
    assert_eq!(asked, expected);
    assert_eq!(states(&script), [UploadState::Acknowledged; 6]);
    let mut complete = 0;
    for (slot, hsdir) in asked {
        complete += notices(&script.read_back(slot, hsdir, copy(REVISION, &[1, 2]))).len();
    }
    assert_eq!((complete, states(&script)), (2, vec![UploadState::Stored; 6]));
    // Nothing is left to do, and late or foreign answers change nothing.
    script.read_back(replica(1, 0), relay(1), Found::Nothing);
    script.read_back(replica(1, 0), relay(9), Found::Nothing);
    assert_eq!(states(&script), [UploadState::Stored; 6]);
}

/// A v2 HSDir takes an equal revision. So its refusal has another reason, and it does not hold the
/// descriptor.
#[test]
fn an_hsdir_that_refuses_other_points_within_the_hour_is_tried_again() {
    let (mut script, asked) = acknowledged();
    for (slot, hsdir) in asked {
        script.read_back(slot, hsdir, copy(REVISION, &[1, 2]));
    }
    script.copy("a", relay(100), 11, &[3]);
    let post = published(&script.pass(Duration::from_secs(2))).remove(0);
    script.send(Event::Posted { id: post.id, revision: REVISION });
    script.uploaded(post.id, &relays(1..2), &UploadOutcome::Refused("HTTP 400".into()));
    assert_eq!(states(&script)[0], UploadState::Refused);
    assert_eq!(script.status("s").descriptors[0].hsdirs[0].problem, Some(UploadProblem::Refused));
    script.read_back(post.slot, relay(1), copy(REVISION, &[1, 2]));
    let again = published(&script.pass(Duration::from_mins(6))).remove(0);
    assert!(again.slot == post.slot && again.to.contains(&relay(1)), "{again:?}");
    script.stored(&again, REVISION);
    script.read_back(post.slot, relay(1), copy(REVISION, &[3]));
    assert_eq!(states(&script)[0], UploadState::Stored);
}

#[test]
fn what_tor_does_not_hand_out_is_believed_to_be_there() {
    let (mut script, asked) = acknowledged();
    for (slot, hsdir) in asked {
        script.read_back(slot, hsdir, Found::Sealed);
    }
    assert_eq!(states(&script), [UploadState::Stored; 6]);
}

#[test]
fn a_broken_word_is_told_once_and_the_upload_done_again() {
    for (found, expected) in [
        (Found::Nothing, None),
        (copy(REVISION, &[3]), Some(false)),
        (copy(REVISION - 3600, &[1, 2]), Some(false)),
        (copy(REVISION + 7200, &[1, 2, 3]), Some(true)),
    ] {
        let (mut script, asked) = acknowledged();
        for (slot, hsdir) in &asked[1..] {
            script.read_back(*slot, *hsdir, copy(REVISION, &[1, 2]));
        }
        let (slot, hsdir) = asked[0];
        let notice = match expected {
            None => Notice::HsdirHasNone { service: "s".into(), slot, hsdir },
            Some(later) => Notice::HsdirHasOther { service: "s".into(), slot, hsdir, later },
        };
        assert_eq!(notices(&script.read_back(slot, hsdir, found.clone())), [notice]);
        // The second try has the same result.
        let posts = published(&script.pass(Duration::from_secs(3)));
        assert_eq!(posts.len(), 1, "{found:?}");
        assert_eq!((posts[0].slot, &posts[0].to), (slot, &vec![hsdir]));
        let said = script.stored(&posts[0], REVISION);
        assert_eq!(read_backs(&said), [(slot, hsdir)]);
        assert!(notices(&script.read_back(slot, hsdir, found)).is_empty(), "told once");
        // The third try succeeds.
        let posts = published(&script.pass(Duration::from_secs(6)));
        script.stored(&posts[0], REVISION);
        let said = script.read_back(slot, hsdir, copy(REVISION, &[1, 2]));
        let told = notices(&said);
        assert!(
            matches!(told[..], [Notice::DescriptorComplete { .. }, Notice::AllStored { .. }]),
            "{told:?}"
        );
    }
}

#[test]
fn a_later_copy_of_the_same_points_is_as_good() {
    let (mut script, asked) = acknowledged();
    for (slot, hsdir) in asked {
        script.read_back(slot, hsdir, copy(REVISION + 3600, &[1, 2]));
    }
    assert_eq!(states(&script), [UploadState::Stored; 6]);
}

#[test]
fn who_cannot_be_read_is_asked_again_before_he_gets_it_anew() {
    let (mut script, asked) = acknowledged();
    let (slot, hsdir) = asked[0];
    for (slot, hsdir) in &asked[1..] {
        script.read_back(*slot, *hsdir, copy(REVISION, &[1, 2]));
    }
    for _ in 0..3 {
        script.read_back(slot, hsdir, Found::Failed);
        let said = script.pass(Duration::from_secs(30));
        assert_eq!(read_backs(&said).first(), Some(&(slot, hsdir)));
        assert!(published(&said).is_empty());
        // The first read-back was given up after 15 seconds, and repeated.
        if read_backs(&said).len() > 1 {
            break;
        }
    }
    let said = script.pass(Duration::from_mins(2));
    assert_eq!(published(&said).first().map(|post| post.to.clone()), Some(vec![hsdir]));
}

/// Tor answers a read-back that was given up after later ones have failed.
#[test]
fn a_copy_is_proof_however_late_it_comes() {
    for failures in 1..=4 {
        let (mut script, asked) = acknowledged();
        let (slot, hsdir) = asked[0];
        for (slot, hsdir) in &asked[1..] {
            script.read_back(*slot, *hsdir, copy(REVISION, &[1, 2]));
        }
        script.read_back(slot, hsdir, Found::Failed);
        for wait in [2300, 4600, 9200].into_iter().take(failures - 1) {
            let said = script.pass(Duration::from_millis(wait));
            assert_eq!(read_backs(&said), [(slot, hsdir)]);
            script.read_back(slot, hsdir, Found::Failed);
        }
        assert_ne!(states(&script)[0], UploadState::Stored);
        script.read_back(slot, hsdir, copy(REVISION - 3600, &[1, 2]));
        script.read_back(slot, hsdir, Found::Nothing);
        assert_ne!(states(&script)[0], UploadState::Stored, "{failures}: an earlier copy is no proof");
        script.read_back(slot, hsdir, copy(REVISION, &[1, 2]));
        assert_eq!(states(&script), [UploadState::Stored; 6], "{failures}");
        assert!(published(&script.pass(Duration::from_mins(2))).is_empty());
    }
}

#[test]
fn tor_may_go_and_come_back_between_word_and_proof() {
    let (mut script, asked) = acknowledged();
    let (slot, hsdir) = asked[0];
    script.read_back(slot, hsdir, copy(REVISION, &[1, 2]));
    script.send(Event::TorLost);
    assert!(script.pass(Duration::from_secs(20)).is_empty());
    let said = script.send(Event::TorReady);
    assert_eq!(read_backs(&said), asked[1..]);
    assert!(published(&said).is_empty(), "what was acknowledged need not be posted again");
}

#[test]
fn new_points_overtake_what_is_being_proven() {
    let (mut script, asked) = acknowledged();
    script.copy("a", relay(100), 11, &[1, 7]);
    let posts = published(&script.pass(Duration::from_secs(2)));
    assert_eq!(posts.len(), 2);
    for (slot, hsdir) in &asked {
        assert!(notices(&script.read_back(*slot, *hsdir, copy(REVISION, &[1, 2]))).is_empty());
    }
    assert!(states(&script).iter().all(|state| *state == UploadState::Signing));
}

#[test]
fn the_next_period_joins_and_the_old_one_leaves() {
    let (mut script, asked) = acknowledged();
    for (slot, hsdir) in asked {
        script.read_back(slot, hsdir, copy(REVISION, &[1, 2]));
    }
    let posts = published(&script.send(Event::Network(view_v2(ONE, &[1, 2]))));
    let slots: Vec<_> = posts.iter().map(|post| post.slot).collect();
    assert_eq!(slots, [replica(2, 0), replica(2, 1)], "at once, and nothing else");
    for post in posts {
        for (slot, hsdir) in read_backs(&script.stored(&post, REVISION)) {
            script.read_back(slot, hsdir, copy(REVISION, &[1, 2]));
        }
    }
    assert!(published(&script.send(Event::Network(view_v2(ONE, &[2])))).is_empty());
    assert_eq!(states(&script), [UploadState::Stored; 6]);
}

#[test]
fn a_backend_is_dead_two_hours_and_a_quarter_after_its_hour() {
    let (mut script, _) = acknowledged();
    let said = script.pass(Duration::from_mins(134));
    assert!(!notices(&said).iter().any(|notice| matches!(notice, Notice::BackendGone { .. })));
    let said = script.pass(Duration::from_mins(2));
    assert!(notices(&said).iter().any(|notice| matches!(notice, Notice::BackendGone { .. })));
}

#[test]
fn who_can_be_asked_through_tor_only_is() {
    let mut script = Script::of_v2(ONE);
    let mut view = view_v2(ONE, &[1]);
    view.backends.insert("a".into(), BackendView { period: 1, sources: vec![Source::Any] });
    script.send(Event::Network(view));
    let said = script.send(Event::TorReady);
    assert!(matches!(&said[..], [Action::Fetch { from, .. }] if *from == [Source::Any]), "{said:?}");
    let outcome = script.fresh(10, &[1]);
    script.send(Event::Fetched { backend: "a".into(), source: Source::Any, outcome });
    assert_eq!(script.published().len(), 2);
}
