//! A tor with its limits, for the tests of a crowd of backends.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::super::testing::*;
use super::super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The names of this number of backends.
pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("b{number:04}")).collect()
}

/// A tor that builds 32 circuits at a time and queues further requests.
pub(super) struct SlowTor {
    /// The time that a circuit takes.
    circuit: RangeInclusive<Duration>,
    /// The times at which the circuits become free, the earliest last.
    free: Vec<Duration>,
    /// The events that it will send, by their times and in the order of the requests.
    answers: BTreeMap<(Duration, usize), Event<Key>>,
    pub(super) told: usize,
    /// The largest number of requests that were outstanding.
    pub(super) most: usize,
    /// The number of answers that came after more than 15 s.
    pub(super) late: usize,
    /// The points of the last post to each HSDir.
    posted: BTreeMap<(ServiceId, DescriptorSlot, Fingerprint), Vec<u32>>,
}

impl SlowTor {
    /// A tor whose circuits all take the same time.
    pub(super) fn new(circuit: Duration) -> Self {
        Self::several(1, circuit..=circuit)
    }

    /// Several tors together, whose circuits take between the shortest and the longest time.
    pub(super) fn several(tors: usize, circuit: RangeInclusive<Duration>) -> Self {
        let (answers, posted) = (BTreeMap::new(), BTreeMap::new());
        Self { circuit, free: vec![Duration::ZERO; 32 * tors], answers, told: 0, most: 0, late: 0, posted }
    }

    fn ask(&mut self, now: Duration, answer: Event<Key>) {
        let free = self.free.pop().unwrap();
        let (shortest, longest) = (*self.circuit.start(), *self.circuit.end());
        let thousandths = u32::try_from(self.told * 619 % 1000).unwrap();
        let ends = free.max(now) + shortest + longest.saturating_sub(shortest) * thousandths / 1000;
        self.free.push(ends);
        self.free.sort_by_key(|free| Reverse(*free));
        self.late += usize::from(ends.saturating_sub(now) > SECOND * 15);
        self.told += 1;
        self.answers.insert((ends, self.told), answer);
        self.most = self.most.max(self.answers.len());
    }

    /// Takes an action. Every backend publishes every hour and a half, each at a time of its own.
    fn take(&mut self, script: &mut Script, action: &Action<Key>) {
        let now = script.now.elapsed;
        match action {
            Action::Fetch { backend, from } => {
                let number: u64 = backend.0.strip_prefix('b').unwrap().parse().unwrap();
                let wall = script.now.wall.0;
                let shift = number * 37 % 5400;
                let published = wall - (wall + shift) % 5400;
                let revision = published / 60;
                let points = vec![Key::new(u32::try_from(number).unwrap())];
                let copy = DescriptorCopy { revision, published: UnixTime(published), period: 1, points };
                for source in from {
                    let outcome = FetchOutcome::Copy(copy.clone());
                    self.ask(now, Event::Fetched { backend: backend.clone(), source: *source, outcome });
                }
            }
            Action::Publish { id, service, slot, posts, .. } => {
                for (post, hsdir) in posts.iter().flat_map(|post| post.to.iter().map(move |to| (post, to))) {
                    let ids = post.points.iter().map(|chosen| chosen.point.id()).collect();
                    self.posted.insert((service.clone(), *slot, *hsdir), ids);
                    let outcome = UploadOutcome::Stored;
                    self.ask(now, Event::Uploaded { id: *id, hsdir: *hsdir, outcome });
                }
                script.send(Event::Posted { id: *id, revision: now.as_secs() });
            }
            Action::ReadBack { service, slot, hsdir } => {
                let points = self.posted[&(service.clone(), *slot, *hsdir)].clone();
                let (service, slot, hsdir) = (service.clone(), *slot, *hsdir);
                let found = Found::Copy { revision: u64::MAX / 2, points };
                self.ask(now, Event::ReadBack { service, slot, hsdir, found });
            }
            Action::Probe { .. } | Action::Notice(_) => {}
        }
    }

    /// Lets this much time pass, in which tor answers.
    pub(super) fn run(&mut self, script: &mut Script, time: Duration) {
        let end = script.now.elapsed + time;
        let mut next = script.said.len();
        // The first run takes the actions from before it.
        if self.told == 0 {
            next = 0;
        }
        loop {
            while next < script.said.len() {
                let action = script.said[next].1.clone();
                next += 1;
                self.take(script, &action);
            }
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = answer.into_iter().chain(script.engine.next_deadline()).min() else { break };
            if at > end {
                break;
            }
            script.advance(at);
            let event = if answer == Some(at) { self.answers.pop_first().unwrap().1 } else { Event::Tick };
            script.send(event);
        }
        script.advance(end);
    }
}
