//! The newest descriptor of a backend: its HSDirs, and the time until which it counts.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use rand_core::RngCore;

use super::super::context::Context;
use super::super::event::{DescriptorCopy, Now};
use super::super::id::Source;
use super::super::newest::Newest;

/// The newest descriptor.
pub(super) struct Held<P> {
    pub(super) copy: DescriptorCopy<P>,
    /// The HSDirs that gave it. If one of these gives other points under the same revision, those are newer.
    pub(super) from: Sources,
    /// The HSDirs that gave other points under the same revision, which may be newer or older.
    pub(super) others: Sources,
    /// The earlier points under the same revision: known to be older.
    pub(super) outdated: Vec<P>,
    /// The last time at which an HSDir gave it while it was young enough, or the latest that it can have been.
    pub(super) seen: Now,
    pub(super) received: Duration,
    /// The time since which it has these points.
    pub(super) changed: Duration,
    /// The time until which it is good by the wall clock.
    good_until: Duration,
    /// The latest time until which it is good by the monotonic clock: the wall clock may be wrong.
    good_until_at_most: Duration,
    /// `None`: the wall clock has not gone forward by itself.
    awake: Option<Box<Awake>>,
}

/// Some of a backend's HSDirs, each once. They are so few that a search among all of them costs less than an
/// order would, and less memory.
#[derive(Default)]
pub(super) struct Sources(Vec<Source>);

/// The state after the wall clock has gone forward by itself: the machine has slept, or the clock was set.
/// HSDirs show which of the two, because they drop a copy after
/// [`Timing::hsdir_keeps`](super::super::Timing). An HSDir that still gives a copy which is older by the wall
/// clock shows that the clock was set.
struct Awake {
    /// The time until which the copy is good if the clock was set.
    good_until: Duration,
    /// The HSDirs that have given the copy since, although by the wall clock they should have dropped it.
    given: Sources,
    /// The HSDirs that have since answered that they have none.
    denied: Sources,
}

impl<P> Held<P> {
    /// A copy that has just come from `from`.
    pub(super) fn new(
        cx: &Context<impl RngCore>,
        copy: DescriptorCopy<P>,
        from: Source,
        good_until: Duration,
    ) -> Self {
        let now = cx.now.elapsed;
        Self {
            copy,
            from: Sources(vec![from]),
            others: Sources::default(),
            outdated: Vec::new(),
            seen: cx.now_at_most(),
            received: now,
            changed: now,
            good_until,
            good_until_at_most: now + cx.timing.max_age,
            awake: None,
        }
    }

    /// The time until which it is good: by the wall clock, unless most HSDirs show that the clock was set.
    pub(super) fn good_until(&self) -> Duration {
        let awake = self.awake.as_ref().filter(|awake| awake.given.len() > awake.denied.len());
        awake.map_or(self.good_until, |awake| awake.good_until.max(self.good_until))
    }

    /// Notes that an HSDir gave the same copy again, which is good until `good_until` by the wall clock. The
    /// clock may have been wrong at first sight.
    pub(super) fn given_by(&mut self, cx: &Context<impl RngCore>, source: Source, good_until: Duration) {
        self.others.remove(source);
        self.from.insert(source);
        if let Some(awake) = &mut self.awake {
            awake.denied.remove(source);
            if cx.age(self.copy.published) >= cx.timing.hsdir_keeps {
                awake.given.insert(source);
            }
        }
        self.good_until = self.good_until.max(good_until.min(self.good_until_at_most));
    }

    /// Notes that an HSDir has none. This matters for the age only after the wall clock has gone forward.
    pub(super) fn denied_by(&mut self, source: Source) {
        if let Some(awake) = &mut self.awake {
            awake.given.remove(source);
            awake.denied.insert(source);
        }
    }

    /// Forgets the HSDirs that are no longer responsible.
    pub(super) fn keep_sources(&mut self, sources: &[Source]) {
        let sets = [&mut self.from, &mut self.others].into_iter();
        let since = self.awake.iter_mut().flat_map(|awake| [&mut awake.given, &mut awake.denied]);
        for set in sets.chain(since) {
            set.0.retain(|source| sources.contains(source));
        }
    }

    /// Notes that `slept` has passed unnoticed until `now`, or that the wall clock was set forward. A copy
    /// that is therefore too old counts until it has been looked for once, within `refresh`.
    pub(super) fn wake_up(&mut self, now: Duration, slept: Duration, refresh: Duration) {
        let good_until = self.good_until().saturating_add(slept);
        self.good_until = good_until.min(self.good_until.max(now + refresh));
        let (given, denied) = (Sources::default(), Sources::default());
        self.awake = Some(Box::new(Awake { good_until, given, denied }));
        self.good_until_at_most = self.good_until_at_most.saturating_add(slept);
        self.seen.elapsed = self.seen.elapsed.saturating_add(slept);
    }

    /// The part that outlives the engine.
    pub(super) fn newest(&self) -> Newest {
        let DescriptorCopy { revision, published, period, .. } = self.copy;
        let seen = UnixTime(self.seen.wall.0.checked_next_multiple_of(HOUR).unwrap_or(u64::MAX));
        Newest { period, revision, published, seen }
    }
}

impl Sources {
    pub(super) fn insert(&mut self, source: Source) {
        if !self.contains(source) {
            self.0.push(source);
        }
    }

    pub(super) fn remove(&mut self, source: Source) {
        self.0.retain(|known| *known != source);
    }

    pub(super) fn contains(&self, source: Source) -> bool {
        self.0.contains(&source)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// An hour in seconds.
const HOUR: u64 = 60 * 60;
