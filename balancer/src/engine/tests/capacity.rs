//! The number of requests at tor at a time, their order, and the behaviour when tor is too slow.

use std::collections::BTreeSet;
use std::ops::Range;
use std::slice;
use std::time::Duration;

use super::super::testing::*;
use super::super::*;
use super::slow_tor::{SlowTor, names};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A started script of one service with these backends.
fn crowd(names: &[String]) -> Script {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Script::started(&[("s", &names)])
}

/// The number of HSDirs that these actions ask for backends' descriptors.
fn asked_count(actions: &[Action<Key>]) -> usize {
    let count = |action: &Action<Key>| match action {
        Action::Fetch { from, .. } => from.len(),
        _ => 0,
    };
    actions.iter().map(count).sum()
}

/// The time of each fetch.
fn times_of_fetches(script: &Script) -> Vec<Duration> {
    let times = |(at, action): &(Duration, Action<Key>)| match action {
        Action::Fetch { from, .. } => vec![*at; from.len()],
        _ => Vec::new(),
    };
    script.said.iter().flat_map(times).collect()
}

/// The time of each fetch that was not the first for its backend.
fn times_of_repeated_fetches(script: &Script) -> Vec<Duration> {
    let mut known = BTreeSet::new();
    let mut times = |(at, action): &(Duration, Action<Key>)| match action {
        Action::Fetch { backend, from } => {
            vec![*at; from.len() - usize::from(known.insert(backend.clone()))]
        }
        _ => Vec::new(),
    };
    script.said.iter().flat_map(&mut times).collect()
}

/// The numbers of requests of each kind from the index `since` on: uploads, fetches, read-backs.
fn counts(script: &Script, since: usize) -> [usize; 3] {
    let mut counts = [0; 3];
    for (_, action) in &script.said[since..] {
        match action {
            Action::Publish { posts, .. } => {
                counts[0] += posts.iter().map(|post| post.to.len()).sum::<usize>();
            }
            Action::Fetch { from, .. } => counts[1] += from.len(),
            Action::ReadBack { .. } => counts[2] += 1,
            Action::Probe { .. } | Action::Notice(_) => {}
        }
    }
    counts
}

#[test]
fn no_more_requests_are_outstanding_at_tor_than_it_can_work_at() {
    let mut script = crowd(&names(300));
    assert_eq!(asked_count(&script.pass(Duration::ZERO)), 0);
    assert_eq!(times_of_fetches(&script).len(), 24);
    // Tor reports nothing of circuits that fail: it may be busy for longer than the engine waits.
    script.pass(Duration::from_millis(59_999));
    assert_eq!(times_of_fetches(&script).len(), 24);
    script.pass(SECOND * 20);
    assert_eq!(times_of_fetches(&script).len(), 48);
    assert_eq!(script.engine.load(script.now).in_flight, 24);
}

#[test]
fn an_answer_makes_room_for_the_next() {
    let mut script = crowd(&names(300));
    script.pass(SECOND * 10);
    let said = script.copy("b0000", asked(&all(&script), "b0000")[0], 1, &[1]);
    assert_eq!(asked_count(&said), 1);
    // A late answer frees its slot as well, but an answer that is not awaited does not.
    let mut script = crowd(&names(300));
    script.pass(SECOND * 20);
    let late = asked(&all(&script), "b0001")[0];
    assert_eq!(asked_count(&script.copy("b0001", late, 1, &[1])), 1);
    assert_eq!(asked_count(&script.copy("b0001", late, 1, &[1])), 0);
}

#[test]
fn a_post_takes_as_many_circuits_as_it_has_hsdirs() {
    let services: Vec<(String, String)> =
        (0..10).map(|number| (format!("s{number}"), format!("b000{number}"))).collect();
    let backends: Vec<[&str; 1]> = services.iter().map(|(_, backend)| [backend.as_str()]).collect();
    let services: Vec<(&str, &[&str])> =
        services.iter().zip(&backends).map(|((name, _), backends)| (name.as_str(), &backends[..])).collect();
    let mut script = Script::started(&services);
    for (_, backends) in &services {
        for hsdir in asked(&all(&script), backends[0]) {
            script.copy(backends[0], hsdir, 1, &[1]);
        }
    }
    assert_eq!(script.published().iter().map(|post| post.to.len()).sum::<usize>(), 24);
    assert_eq!(script.published().len(), 3);
    let first = script.published().remove(0);
    script.uploaded(first.id, &first.to[..7], &UploadOutcome::Stored);
    assert_eq!(script.published().len(), 3);
    script.uploaded(first.id, &first.to[7..], &UploadOutcome::Failed);
    assert_eq!(script.published().len(), 4);
    // The signer refuses, so tor was never asked.
    let second = script.published().remove(1);
    script.send(Event::NotPosted { id: second.id, problem: "no".into() });
    assert_eq!(script.published().len(), 5);
}

#[test]
fn what_a_minute_allows_goes_out_evenly() {
    let names = names(600);
    let mut script = crowd(&names);
    SlowTor::new(Duration::from_millis(10)).run(&mut script, MINUTE);
    let times = times_of_repeated_fetches(&script);
    assert!((140..=145).contains(&times.len()), "{}", times.len());
    for (place, at) in times.iter().enumerate() {
        let within = times[place..].iter().take_while(|later| **later < *at + SECOND).count();
        assert!(within <= 24 + 2, "{within} within a second of {at:?}");
    }
}

#[test]
fn only_the_first_request_for_a_backend_leaves_at_no_pace() {
    let names = names(200);
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut script = crowd(&names);
    let nobody_has_any = |_: &Script, _: &BackendId| FetchOutcome::NotFound;
    answer_looks(&mut script, 0, MINUTE, nobody_has_any);
    let fetches = times_of_fetches(&script).len();
    assert!((200 + 24 + 59..=200 + 24 + 60).contains(&fetches), "{fetches} fetches");
    // Neither a restart of tor nor another period begins them again.
    for period in [1, 2] {
        let since = script.said.len();
        script.send(Event::TorLost);
        let mut next = view(&[("s", &list)], &[(1, 1..9)]);
        next.backends.values_mut().for_each(|backend| backend.period = period);
        script.send(Event::Network(next));
        script.send(Event::TorReady);
        answer_looks(&mut script, since, MINUTE, nobody_has_any);
        let fetches = counts(&script, since)[1];
        assert!(fetches <= 60 + 24, "{fetches} fetches");
    }
}

#[test]
fn a_backend_that_is_not_found_at_its_first_hsdir_is_asked_for_before_others_again() {
    let missing = BackendId::from("b0199");
    let mut script = crowd(&names(200));
    answer_looks(&mut script, 0, SECOND * 10, |script, backend| {
        if *backend == missing { FetchOutcome::NotFound } else { script.fresh(1, &[1]) }
    });
    // Its six HSDirs, though those of 199 others wait in line, one a second.
    assert_eq!(asked(&all(&script), &missing.0).len(), 6);
    assert!(script.engine.load(script.now).looks_waiting > 150);
}

/// Lets time pass, in which HSDirs answer looks at once. `since` is the index of the first request that was
/// not answered yet.
fn answer_looks(
    script: &mut Script,
    since: usize,
    time: Duration,
    answer: impl Fn(&Script, &BackendId) -> FetchOutcome<Key>,
) {
    let end = script.now.elapsed + time;
    let mut next = since;
    loop {
        while let Some((_, action)) = script.said.get(next).cloned() {
            next += 1;
            if let Action::Fetch { backend, from } = action {
                for source in from {
                    let outcome = answer(script, &backend);
                    script.fetched(&backend.0, hsdir_of(source), outcome);
                }
            }
        }
        let Some(deadline) = script.engine.next_deadline().filter(|deadline| *deadline <= end) else { break };
        script.advance(deadline);
        script.send(Event::Tick);
    }
    script.advance(end);
}

/// 400 version-2 services with five backends each: work of some minutes for a tor that takes 3 s for each
/// request.
fn under_pressure() -> (Script, usize) {
    let backends = names(2000);
    let services: Vec<String> = (0..400).map(|number| format!("s{number:03}")).collect();
    let lists: Vec<Vec<&str>> =
        backends.chunks(5).map(|chunk| chunk.iter().map(String::as_str).collect()).collect();
    let services: Vec<(&str, &[&str])> =
        services.iter().zip(&lists).map(|(name, list)| (name.as_str(), &list[..])).collect();
    let mut script = Script::of_v2(&services);
    let mut tor = SlowTor::new(SECOND * 3);
    tor.run(&mut script, MINUTE * 2);
    let since = script.said.len();
    tor.run(&mut script, MINUTE * 5);
    assert!(tor.most <= 24, "{} at a time", tor.most);
    (script, since)
}

#[test]
fn everybody_has_a_share_of_tor_and_read_backs_keep_no_look_waiting() {
    let (script, since) = under_pressure();
    let load = script.engine.load(script.now);
    assert!(load.looks_waiting > 0 && load.read_backs_waiting > 0, "{load:?}");
    // A hundred for each slot: looks have four, read-backs have three.
    let [uploads, fetches, read_backs] = counts(&script, since);
    assert!(uploads >= 1000, "{uploads} uploads");
    assert!(fetches >= 380, "{fetches} fetches");
    assert!(read_backs >= 270, "{read_backs} read-backs");
}

#[test]
fn posts_go_first_then_looks_then_read_backs() {
    let settings = Settings { in_flight: 9, timing: Timing::v2(), ..Settings::default() };
    let others = ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let mut script = Script::of_v2_with(&[("s", &["a"]), ("t", &others)], settings);
    let answer = |script: &mut Script, name: &str| {
        let from = asked(&all(script), name)[0];
        script.copy(name, from, 1, &[1])
    };
    // Looks have taken all slots.
    assert_eq!(asked_count(&all(&script)), 9);
    // Each post of s takes three slots and takes precedence over looks, which have been waiting for longer.
    answer(&mut script, "a");
    answer(&mut script, "b");
    assert_eq!((script.published().len(), asked_count(&all(&script))), (0, 9));
    answer(&mut script, "c");
    assert_eq!((script.published().len(), asked_count(&all(&script))), (1, 9));
    // Its HSDirs have acknowledged it, which has to be proven; the second post comes before that.
    let post = script.last();
    script.send(Event::Posted { id: post.id, revision: 1 });
    script.uploaded(post.id, &post.to, &UploadOutcome::Stored);
    let said = answer(&mut script, "d");
    assert_eq!((published(&said).len(), read_backs(&said).len(), asked_count(&said)), (1, 1, 0));
    // Looks come before read-backs.
    let said = answer(&mut script, "e");
    assert_eq!((read_backs(&said).len(), asked_count(&said)), (0, 1));
}

#[test]
fn one_silent_hsdir_has_one_other_asked() {
    for outcome in [None, Some(FetchOutcome::Failed)] {
        let mut script = crowd(&names(1));
        for hsdir in asked(&all(&script), "b0000") {
            script.copy("b0000", hsdir, 1, &[1]);
        }
        let mut said = script.pass(MINUTE * 9);
        while asked_count(&said) == 0 {
            said = script.pass(SECOND);
        }
        let look = asked(&said, "b0000");
        assert_eq!(look.len(), 1);
        let others = match outcome {
            Some(outcome) => script.fetched("b0000", look[0], outcome),
            None => script.pass(SECOND * 15),
        };
        let others = asked(&others, "b0000");
        assert_eq!(others.len(), 1);
        assert_ne!(others, look);
        // That HSDir has it, so no other one is asked.
        assert_eq!(asked_count(&script.copy("b0000", others[0], 1, &[1])), 0);
        assert_eq!(asked_count(&script.pass(MINUTE * 8)), 0);
    }
}

#[test]
fn while_nobody_answers_anybody_nothing_is_widened() {
    let names = names(20);
    let mut script = crowd(&names);
    let mut tor = SlowTor::new(SECOND);
    tor.run(&mut script, MINUTE * 5);
    // From here on no HSDir answers.
    let since = script.said.len();
    script.pass(MINUTE * 12);
    let [_, fetches, _] = counts(&script, since);
    // One look each, eight others at first, and then one look each again, half a minute, a minute and two
    // minutes later.
    assert!(fetches <= 20 + 8 + 20 * 3, "{fetches} fetches");
    let states = script.status("s").backends;
    assert!(states.iter().all(|backend| backend.state == BackendState::Live));
    // After one answer single silences count again.
    let from = asked(&all(&script), "b0000")[0];
    script.copy("b0000", from, u64::MAX / 2, &[1]);
    let since = script.said.len();
    script.pass(MINUTE * 3);
    let twice = names.iter().filter(|name| asked(&after(&script, since), name).len() > 1).count();
    assert!(twice > 0);
}

#[test]
fn looks_go_to_the_copy_that_expires_first_then_to_who_has_waited_longest() {
    let settings = Settings { in_flight: 3, ..Settings::default() };
    let names = names(30);
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    let services: &[(&str, &[&str])] = &[("s", &list)];
    let mut script = Script::with(services, settings);
    script.send(Event::Network(view(services, &[(1, 1..2)])));
    script.send(Event::TorReady);
    // All are found; b0007's copy is about to become too old.
    script.run(MINUTE * 5, |script, action| {
        for post in published(slice::from_ref(action)) {
            script.stored(&post, 1);
        }
        if let Action::Fetch { backend, from } = action {
            let age = if *backend == "b0007".into() { 170 * 60 } else { 0 };
            let published = script.now.wall.minus(age);
            let copy = DescriptorCopy { revision: 1, published, period: 1, points: vec![Key::new(1)] };
            for source in from {
                script.fetched(&backend.0, hsdir_of(*source), FetchOutcome::Copy(copy.clone()));
            }
        }
    });
    // A new period has all backends looked for at once, and tor has room for three.
    let mut next = view(services, &[(1, 1..2)]);
    for backend in next.backends.values_mut() {
        backend.period = 2;
    }
    let said = script.send(Event::Network(next));
    let first: Vec<_> = names.iter().filter(|name| !asked(&said, name).is_empty()).collect();
    assert!(first.contains(&&names[7]), "{first:?}");
    assert_eq!(first.len(), 3);
    // The others come in the order of joining.
    assert_eq!(first[..2], [&names[0], &names[1]]);
}

/// Hours of this number of backends, 10 to a service, at a tor that takes 3 s for each request.
fn hours_of(backends: usize, hours: u32) -> (Script, SlowTor) {
    let backends = names(backends);
    let services: Vec<String> = (0..backends.len() / 10).map(|number| format!("s{number:03}")).collect();
    let lists: Vec<Vec<&str>> =
        backends.chunks(10).map(|chunk| chunk.iter().map(String::as_str).collect()).collect();
    let services: Vec<(&str, &[&str])> =
        services.iter().zip(&lists).map(|(name, list)| (name.as_str(), &list[..])).collect();
    let mut script = Script::started(&services);
    let mut tor = SlowTor::new(SECOND * 3);
    tor.run(&mut script, MINUTE * 60 * hours);
    (script, tor)
}

#[test]
fn nobody_who_lives_is_taken_for_dead_where_tor_can_look_at_everybody_once_an_hour() {
    let (script, tor) = hours_of(7000, 5);
    let gone = notices(&all(&script));
    let gone = gone.iter().filter(|notice| matches!(notice, Notice::BackendGone { .. })).count();
    assert_eq!(gone, 0);
    assert_eq!(tor.late, 0);
    let mut live = 0;
    for service in script.engine.status(script.now) {
        live += service.backends.iter().filter(|backend| backend.state == BackendState::Live).count();
    }
    assert_eq!(live, 7000);
}

#[test]
fn that_it_is_behind_is_said_once_and_so_is_its_end() {
    let names = names(900);
    let mut script = crowd(&names);
    // No HSDir answers: 24 a minute are asked.
    script.pass(MINUTE * 30);
    let said = |script: &Script| -> Vec<Notice> {
        let load = |notice: &Notice| matches!(notice, Notice::Behind { .. } | Notice::CaughtUp { .. });
        notices(&all(script)).into_iter().filter(load).collect()
    };
    let [Notice::Behind { load }] = &said(&script)[..] else { panic!("{:?}", said(&script)) };
    assert!(load.looks_waiting > 300 && load.in_flight == 24, "{load:?}");
    assert!(load.longest_wait >= MINUTE * 20 && load.longest_wait < MINUTE * 21);
    let load = script.engine.load(script.now);
    assert!(load.behind_for.is_some_and(|time| time >= MINUTE * 9));
    let mut tor = SlowTor::new(SECOND);
    tor.told = 1;
    tor.run(&mut script, MINUTE * 30);
    let said = said(&script);
    assert!(matches!(&said[..], [Notice::Behind { .. }, Notice::CaughtUp { after }] if *after > MINUTE * 10));
    assert_eq!(script.engine.load(script.now).behind_for, None);
}

#[test]
fn a_descriptor_with_more_hsdirs_than_posts_have_slots_goes_out_as_one() {
    let services: &[(&str, &[&str])] = &[("s", &["a"])];
    let mut script = Script::new(services);
    script.send(Event::Network(view(services, &[(1, 1..31)])));
    script.send(Event::TorReady);
    for hsdir in asked(&all(&script), "a") {
        script.copy("a", hsdir, 1, &[1]);
    }
    assert_eq!(script.last().to.len(), 30);
}

/// A clock that goes back and forth takes the descriptors of a period away and brings them back.
#[test]
fn a_descriptor_that_comes_back_does_not_wait_in_line_twice() {
    let services: &[(&str, &[&str])] = &[("s", &["a"])];
    let mut script = Script::with(services, Settings { in_flight: 8, ..Settings::default() });
    script.send(Event::Network(view(services, &[(1, 1..9)])));
    script.send(Event::TorReady);
    for hsdir in asked(&all(&script), "a") {
        script.copy("a", hsdir, 1, &[1]);
    }
    assert_eq!(script.engine.load(script.now).in_flight, 8, "the first descriptor has taken all slots");
    for (slots, waiting) in [(2, 1), (1, 0), (2, 1)] {
        let slots = &[(1, 1..9), (2, 11..19)][..slots];
        script.send(Event::Network(view(services, slots)));
        assert_eq!(script.engine.load(script.now).posts_waiting, waiting);
    }
}

const TWO: &[(&str, &[&str])] = &[("s", &["a"]), ("t", &["b"])];

/// A network of [`TWO`] whose periods are so long that timers do not shrink with them.
fn days(slots: &[(u64, Range<u8>)]) -> Event<Key> {
    Event::Network(NetworkView { period_length: MINUTE * 60 * 48, ..view(TWO, slots) })
}

/// The two services two minutes after the start, each stored everywhere. A post may leave every minute, and
/// no renewal comes before 115 minutes.
fn two_services() -> Script {
    let timing = Timing { republish_from: MINUTE * 115, ..Timing::default() };
    let mut script = Script::with(TWO, Settings { posts_per_minute: 1, timing, ..Settings::default() });
    script.send(days(&[(1, 1..9)]));
    script.send(Event::TorReady);
    script.copy("a", relay(100), 10, &[1]);
    script.copy("b", relay(100), 10, &[2]);
    script.pass(MINUTE * 2);
    for post in script.published() {
        script.stored(&post, 1);
    }
    script
}

/// Before another period all services get another descriptor at the same time, which no client looks for yet.
#[test]
fn the_next_periods_descriptors_wait_for_one_that_hsdirs_are_about_to_forget() {
    let mut script = two_services();
    script.pass(MINUTE * 98);
    assert_eq!(script.published().len(), 2);
    let before = script.said.len();
    script.copy("a", relay(101), 11, &[3]);
    script.send(days(&[(1, 1..9), (2, 11..19)]));
    script.pass(MINUTE * 2);
    let periods: Vec<u64> = published(&after(&script, before)).iter().map(|post| post.slot.period).collect();
    assert_eq!(periods, [1, 2]);
}

/// Other points are no reason to let HSDirs forget the descriptor that they have.
#[test]
fn a_changed_descriptor_that_hsdirs_are_about_to_forget_goes_before_those_of_the_next_period() {
    let mut script = two_services();
    script.pass(MINUTE * 108);
    script.copy("a", relay(101), 11, &[3]);
    script.copy("b", relay(101), 11, &[4]);
    script.send(Event::TorLost);
    script.send(days(&[(1, 1..9), (2, 11..19)]));
    script.pass(MINUTE * 2);
    let before = script.said.len();
    script.send(Event::TorReady);
    script.pass(MINUTE * 4);
    let periods: Vec<u64> = published(&after(&script, before)).iter().map(|post| post.slot.period).collect();
    assert_eq!(periods, [1, 1, 2], "these take all slots");
}

fn all(script: &Script) -> Vec<Action<Key>> {
    after(script, 0)
}

/// All actions from this index on.
fn after(script: &Script, place: usize) -> Vec<Action<Key>> {
    script.said[place..].iter().map(|(_, action)| action.clone()).collect()
}
