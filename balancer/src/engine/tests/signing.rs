//! Publications that wait for the signer. They have no time-out, so that a slow signer does not get more work
//! than it can do.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::testing::*;
use super::super::*;

const ONE: &[(&str, &[&str])] = &[("s", &["a"])];

fn states(script: &Script) -> Vec<UploadState> {
    script.status("s").descriptors[0].hsdirs.iter().map(|hsdir| hsdir.state).collect()
}

#[test]
fn orders_do_not_pile_up_at_a_slow_signer() {
    const SIGNATURE: Duration = Duration::from_secs(9);
    let names: Vec<String> = (0..30).map(|number| format!("s{number:02}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["a"][..])).collect();
    let mut script = Script::started(&services);
    let mut queue: VecDeque<Published> = VecDeque::new();
    let (mut ordered, mut longest, mut signed) = (0, 0, 0);
    for _ in 0..Duration::from_hours(12).as_secs() / SIGNATURE.as_secs() {
        script.run(SIGNATURE, |script, action| {
            if let Action::Fetch { backend, from } = action {
                script.copy(&backend.0, hsdir_of(from[0]), script.now.wall.0, &[1]);
            }
        });
        // An answer may release the next publication at once.
        let orders = script.published();
        queue.extend(orders[ordered..].iter().cloned());
        ordered = orders.len();
        longest = longest.max(queue.len());
        if let Some(order) = queue.pop_front() {
            signed += 1;
            script.stored(&order, order.id.0);
        }
    }
    assert!(longest <= services.len(), "{longest} orders wait");
    // Once at the start, and then once in one to two hours.
    assert!((30 * 6..=30 * 12).contains(&signed), "{signed} signatures");
    for name in &names {
        let stored = script.status(name).descriptors[0].stored_ago.unwrap();
        assert!(stored <= Duration::from_hours(2) + SIGNATURE * 30, "{name}: {stored:?}");
    }
}

#[test]
fn a_signature_is_awaited_however_long_it_takes() {
    let mut script = Script::started(ONE);
    script.copy("a", relay(100), 10, &[1]);
    let order = script.last();
    assert!(published(&script.pass(Duration::from_hours(2))).is_empty());
    assert!(states(&script).iter().all(|state| *state == UploadState::Signing));
    script.send(Event::Posted { id: order.id, revision: 7 });
    // From here on HSDirs have their time.
    script.pass(Duration::from_secs(74));
    assert!(states(&script).iter().all(|state| *state == UploadState::Uploading));
    script.uploaded(order.id, &order.to, &UploadOutcome::Stored);
    assert!(states(&script).iter().all(|state| *state == UploadState::Stored));
    assert_eq!(script.status("s").descriptors[0].hsdirs[0].revision, Some(7));
}

#[test]
fn a_later_order_takes_the_place_of_one_that_waits() {
    let mut script = Script::started(ONE);
    script.copy("a", relay(100), 10, &[1]);
    let old = script.last();
    script.copy("a", relay(101), 11, &[2]);
    script.pass(Duration::from_secs(2));
    let new = script.last();
    assert_eq!((&new.points, &new.to), (&vec![2], &old.to));
    // The end of the old publication is not worth a notice, and nothing is tried again.
    let problem = "a later publication took its place".to_owned();
    assert!(script.send(Event::NotPosted { id: old.id, problem }).is_empty());
    assert!(states(&script).iter().all(|state| *state == UploadState::Signing));
    script.stored(&new, 1);
    assert!(states(&script).iter().all(|state| *state == UploadState::Stored));
}

#[test]
fn an_hsdir_that_comes_meanwhile_gets_what_was_signed() {
    let mut script = Script::started(ONE);
    script.copy("a", relay(100), 10, &[1]);
    let order = script.last();
    assert_eq!(order.to, relays(1..9));
    assert!(published(&script.send(Event::Network(view(ONE, &[(1, 1..10)])))).is_empty());
    script.send(Event::Posted { id: order.id, revision: 1 });
    script.pass(Duration::from_secs(1));
    assert_eq!(script.last().to, relays(9..10));
}
