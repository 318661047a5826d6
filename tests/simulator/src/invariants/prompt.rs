//! Promises of the engine that are due within seconds, unless requests wait for their turn at tor.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{Point, Revision, Timing};
use onionbalance_proto::relay::Fingerprint;
use rustc_hash::{FxHashMap, FxHashSet};

use super::super::balancer::Call;
use super::super::network::cache::Key;
use super::super::onion_version::{OnionVersion, PointId};
use super::super::service::Spot;
use super::super::time::Moment;
use super::super::world::{Happening, World};
use super::Invariant;

/// The state of the promises that are due within seconds.
pub struct Prompt<V> {
    backends: Vec<Looked<V>>,
    /// The services that were published since they were configured, in this life of the balancer.
    begun: FxHashSet<usize>,
    /// The copy of a backend's descriptor that the engine is about to get.
    offered: Option<(usize, Rc<[V]>)>,
    /// True if a request has waited for its turn since the last event.
    waits: bool,
    /// The last event until which a request had to wait for its turn.
    waited: Moment,
    /// The last time at which tor was back, or the machine woke up.
    resumed: Moment,
    /// Descriptors that were never published.
    awaited: FxHashMap<Key, Awaited>,
}

/// A descriptor that was never published.
#[derive(Clone, Copy)]
struct Awaited {
    /// The time since which the engine has known it.
    since: Moment,
    /// True if another descriptor of its service has been published all the time since then.
    is_next: bool,
}

/// The engine's last notice of a backend, and its last questions.
struct Looked<V> {
    /// The introduction points that it lists; `None` while it does not take the backend for alive.
    points: Option<Rc<[V]>>,
    /// The points before that.
    before: Option<Rc<[V]>>,
    /// The last time of its notice that the points are others, or that the backend is gone.
    changed: Moment,
    /// The first time that it asked since its last notice that the backend lives: it may have missed it since
    /// then.
    asked_first: Option<Moment>,
    /// The last time it asked; `None` if the question was interrupted.
    asked_last: Option<Moment>,
    /// The number of looks since then that came before their time.
    forced: u32,
    /// The last time it was given a copy.
    given: Moment,
    /// The period that it looks at.
    period: Option<u64>,
    /// The time since which it has to ask because the period is another; `None` if it does not.
    look_owed: Option<Moment>,
}

impl<V> Prompt<V> {
    /// The state before the first notice, for this number of backends.
    pub fn new(backends: usize) -> Self {
        let looked = || Looked {
            points: None,
            before: None,
            changed: Moment::ZERO,
            asked_first: None,
            asked_last: None,
            forced: 0,
            given: Moment::ZERO,
            period: None,
            look_owed: None,
        };
        Self {
            backends: (0..backends).map(|_| looked()).collect(),
            begun: FxHashSet::default(),
            offered: None,
            waits: false,
            waited: Moment::ZERO,
            resumed: Moment::ZERO,
            awaited: FxHashMap::default(),
        }
    }

    /// True if a request has had to wait for its turn after this moment. A line is as long as after the last
    /// event, which may be a while ago: with a slow signer, or if HSDirs do not answer.
    fn has_waited_since(&self, moment: Moment) -> bool {
        self.waits || self.waited > moment
    }

    /// True if the engine's last notice of a backend was that it is live.
    pub fn is_live(&self, backend: usize) -> bool {
        self.backends[backend].points.is_some()
    }

    /// Notes that the engine is about to get this copy, of this period. An HSDir that was asked for another
    /// period may give it: then no look is owed.
    pub fn offer(&mut self, backend: usize, period: u64, points: Rc<[V]>, now: Moment) {
        let looked = &mut self.backends[backend];
        looked.given = now;
        looked.look_owed = looked.look_owed.filter(|_| looked.period != Some(period));
        self.offered = Some((backend, points));
    }

    /// Notes that tor is gone, and with it the line of requests.
    pub fn tor_lost(&mut self, now: Moment) {
        self.interrupt(now);
        self.awaited.clear();
    }

    /// Tor will answer none of the questions, or the machine wakes up.
    pub fn interrupt(&mut self, now: Moment) {
        self.resumed = now;
        for looked in &mut self.backends {
            (looked.asked_last, looked.look_owed) = (None, None);
        }
    }

    /// Forgets a backend that serves no service.
    pub fn forget_backend(&mut self, backend: usize) {
        let period = self.backends[backend].period;
        self.backends[backend] = Looked { period, ..Self::new(1).backends.remove(0) };
    }

    /// The points of a backend that the engine takes for live; empty for others.
    pub fn points_of(&self, backend: usize) -> &[V] {
        self.backends[backend].points.as_deref().unwrap_or_default()
    }

    /// Forgets a service that is not configured.
    pub fn forget_service(&mut self, service: usize) {
        self.begun.remove(&service);
        self.awaited.retain(|key, _| key.owner != service);
    }

    /// Notes that a descriptor is published.
    pub fn publishes(&mut self, key: Key) {
        self.begun.insert(key.owner);
        self.awaited.remove(&key);
    }

    /// Notes that the engine is about to be shown descriptors, of which these were never published. The flag
    /// is true if another descriptor of the service was.
    pub fn shown_descriptors(&mut self, unpublished: impl Iterator<Item = (Key, bool)>, now: Moment) {
        let known = std::mem::take(&mut self.awaited);
        let awaited = |(key, is_next)| {
            let before = known.get(&key).copied().unwrap_or(Awaited { since: now, is_next });
            // When its period has begun and the other one is over, clients look for it.
            (key, Awaited { is_next: before.is_next && is_next, ..before })
        };
        self.awaited = unpublished.map(awaited).collect();
    }

    /// Notes that a backend may be looked for, because the results of its probes are others than before.
    pub fn may_look(&mut self, backend: usize) {
        self.backends[backend].forced += 1;
    }

    /// Notes that a service may offer a backend that it has not offered, or no longer.
    pub fn offer_changed(&mut self, backend: usize, now: Moment) {
        let looked = &mut self.backends[backend];
        looked.forced += 1;
        if looked.changed < now {
            looked.before.clone_from(&looked.points);
            looked.changed = now;
        }
    }

    /// Notes that all backends are looked for, because tor is back or a clock has stepped.
    pub fn force_looks(&mut self) {
        self.backends.iter_mut().for_each(|looked| looked.forced += 1);
    }

    /// Notes that tor is back: descriptors join the line, and all backends are looked for.
    pub fn resume(&mut self, now: Moment) {
        self.force_looks();
        self.awaited.values_mut().for_each(|awaited| awaited.since = now);
        self.resumed = now;
    }

    /// Notes that the engine is shown the period in which to look for a backend; it looks at once if it
    /// `can`.
    pub fn shown(&mut self, backend: usize, period: u64, can: bool, now: Moment) {
        let looked = &mut self.backends[backend];
        let is_other = looked.period.replace(period) != Some(period);
        if is_other && can {
            looked.look_owed = Some(now);
            looked.forced += 1;
        }
    }
}

/// The slack for work that does not have to wait.
const AT_ONCE: Duration = Duration::from_millis(200);
/// The longest time of a look: each of eight HSDirs may be silent for 15 s, one after the other.
const LONGEST: Duration = Duration::from_mins(2);
/// The time within which a backend is looked for in another period.
const LOOK: Duration = Duration::from_secs(30);

impl<V: OnionVersion> World<V> {
    /// True if the engine can do at once whatever is due.
    pub(super) fn is_free(&self) -> bool {
        let engine = self.balancer.engine().filter(|_| self.balancer.asleep.is_none());
        engine.is_some() && self.balancer.told_ready
    }

    /// Notes if requests have to wait for their turn.
    pub fn note_load(&mut self) {
        let now = self.balancer.now(self.now);
        let load = self.balancer.engine().map(|engine| engine.load(now));
        let waits = load.is_some_and(|load| load.posts_waiting + load.looks_waiting > 0);
        let prompt = &mut self.watch.prompt;
        if std::mem::replace(&mut prompt.waits, waits) || waits {
            prompt.waited = self.now;
        }
        self.note_waiting_probes(load.map_or(0, |load| load.probes_waiting));
    }

    /// Notes that the engine has reported a backend with other introduction points, or as gone. Its services
    /// list that soon.
    pub fn backend_changed(&mut self, number: usize, lives: bool) {
        let offered = self.watch.prompt.offered.take().filter(|(backend, _)| lives && *backend == number);
        let looked = &mut self.watch.prompt.backends[number];
        if !lives && looked.points.is_none() {
            return;
        }
        looked.before = std::mem::replace(&mut looked.points, offered.map(|(_, points)| points));
        looked.changed = self.now;
        if lives {
            (looked.asked_first, looked.forced) = (None, 0);
        }
        for service in self.users[number].clone() {
            self.plan_prompt_look(service);
        }
    }

    /// Plans a look at a service after the time in which it gathers changes.
    pub fn plan_prompt_look(&mut self, service: usize) {
        let look = Happening::PromptLook(self.balancer.call, service);
        self.queue.plan(self.now.after(self.gathers_for(service) + AT_ONCE), look);
    }

    /// The time for which changes are gathered before a service lists them.
    fn gathers_for(&self, service: usize) -> Duration {
        let Timing { settle, first_answer, debounce, .. } = self.timing;
        if self.watch.prompt.begun.contains(&service) { debounce } else { settle.max(first_answer) }
    }

    /// Checks that after the time to gather changes those of that age are listed.
    pub fn check_listed(&mut self, call: Call, number: usize) {
        let since = Moment(self.now.0 - Moment::ZERO.after(self.gathers_for(number) + AT_ONCE).0);
        let configured = self.services[number].configured.is_some_and(|at| at <= since);
        let has_waited = self.watch.prompt.has_waited_since(since);
        let is_unsure = has_waited || self.watch.health.is_unsure(number);
        if call != self.balancer.call || !configured || !self.is_free() || is_unsure {
            return;
        }
        let service = &self.services[number];
        let looked = |backend: &usize| &self.watch.prompt.backends[*backend];
        let points = |backend: &usize| looked(backend).points.iter().flat_map(|points| points.iter());
        let before = |backend: &usize| {
            let before = Some(looked(backend)).filter(|looked| looked.changed > since);
            before.and_then(|looked| looked.before.as_ref()).into_iter().flat_map(|points| points.iter())
        };
        let all = || service.backends.iter().flat_map(|backend| points(backend).chain(before(backend)));
        let relays: BTreeSet<Fingerprint> = all().map(Point::relay).collect();
        // Otherwise some of them may find no place, or the last set stays.
        let have_room = all().count() <= V::MAX_POINTS && relays.len() == all().count();
        let is_out = |backend: &usize| self.watch.health.is_out(number, *backend);
        let old = || service.serving().filter(|backend| looked(backend).changed <= since);
        let live = || service.serving().filter(|backend| points(backend).next().is_some());
        // One that was well may have gone just now.
        let are_unchanged = service.serving().all(|backend| looked(backend).changed <= since);
        if are_unchanged && live().next().is_some() && live().all(is_out) {
            let of = service.id.0.clone();
            return self.fail(Invariant::Health, &of, "all are unwell, and not all are offered".into());
        }
        if !have_room || old().filter(|backend| !is_out(backend)).flat_map(points).next().is_none() {
            return;
        }
        // With different weights some points are left out, and a backend may be in one of several sets only.
        let are_weighted = service.has_different_weights();
        let is_listed = |key: Key, backend: &usize| {
            let listed = self.watch.held.get(&key).map(|held| &held.listed);
            let of_it = |point: &&PointId| self.fates[**point as usize].backend == *backend;
            let listed: Option<BTreeSet<PointId>> =
                listed.map(|all| all.iter().filter(of_it).copied().collect());
            listed.is_some_and(|listed| match service.weight(*backend) {
                0 => listed.is_empty(),
                _ if is_out(backend) => listed.is_empty(),
                _ if are_weighted => {
                    service.distinct || !listed.is_empty() || points(backend).next().is_none()
                }
                _ => listed == points(backend).map(Point::id).collect(),
            })
        };
        let drained = service.backends.iter().filter(|backend| service.weight(**backend) == 0);
        // Tor may know none of the HSDirs of a slot.
        let can_be_posted = |spot: &&Spot| spot.hsdirs.iter().any(|(hsdir, _)| self.is_known_to_tor(*hsdir));
        let slots = || service.spots.iter().filter(can_be_posted).map(|spot| spot.slot);
        let missing = old()
            .chain(drained)
            .flat_map(|backend| slots().map(move |slot| (backend, slot)))
            .find(|(backend, slot)| !is_listed(Key { owner: number, slot: *slot }, backend));
        if let Some((backend, slot)) = missing {
            let (of, backend) = (service.id.0.clone(), &self.backends[*backend].id);
            let expected = format!("{slot:?} lists what is known of {backend} since {since}");
            self.fail(Invariant::Prompt, &of, expected);
        }
    }

    /// Checks that the engine looks for a backend. After a look in vain the next one follows soon, and each
    /// further one after twice the time.
    pub(super) fn check_look(&mut self, number: usize) {
        let now = self.now;
        let looked = &mut self.watch.prompt.backends[number];
        let first = *looked.asked_first.get_or_insert(now);
        let last = looked.asked_last.replace(now);
        looked.look_owed = None;
        let in_vain = looked.given.after(LONGEST);
        let Some(last) = last.filter(|last| self.watch.prompt.waited.max(in_vain) < *last) else { return };
        let timing = &self.timing;
        // Each look in vain that came before its time has doubled the wait as well.
        let doubled = 1 << looked.forced.min(9);
        let wait = (timing.look_again + last.since(first).mul_f64(1.2)).mul_f64(1.1) * doubled;
        let most = timing.fetch_timeout + wait + timing.look_again / 6;
        // A backend with client authorization is fetched as a client, for which tor may return an old copy:
        // the look is in vain nevertheless.
        if now.since(last) > most && !self.backends[number].sealed {
            let of = self.backends[number].id.0.clone();
            let expected =
                format!("it was looked for in vain from {first} to {last}, and not again within {most:?}");
            self.fail(Invariant::Prompt, &of, expected);
        }
    }

    /// Checks that no descriptor waits in line behind a published one that should be posted earlier. The
    /// first descriptor of a service should go as soon as its points are known, and one of the next period
    /// within half the time after which the first renewals come. A renewal should go before the latter if
    /// HSDirs forget the descriptor in less than an hour.
    pub(super) fn check_order(&mut self, key: Key, revision: Revision) {
        let load = self.balancer.engine().map(|engine| engine.load(self.balancer.now(self.now)));
        if !self.is_free() || load.is_none_or(|load| load.posts_waiting == 0) {
            return;
        }
        let Some(until) = self.post_by(key, revision) else { return };
        let resumed = self.watch.prompt.resumed;
        let is_overtaken =
            |since: Moment, by: Moment| since.max(resumed).after(AT_ONCE) < self.now && by < until;
        // They have soon after the start, and this is asked at each post.
        let have_all_begun = self.watch.prompt.begun.len() == self.services.len();
        let numbers = if have_all_begun { 0..0 } else { 0..self.services.len() };
        let firsts = numbers.filter_map(|number| Some((number, self.first_due(number)?)));
        let mut firsts = firsts
            .filter(|(_, since)| is_overtaken(*since, *since))
            .map(|(number, since)| (number, format!("its first descriptor, due since {since}")));
        let has_points = |service: usize, since: Moment| {
            let looked = |backend: &usize| &self.watch.prompt.backends[*backend];
            let mut looked = self.services[service].serving().map(looked);
            looked.any(|looked| looked.points.is_some() && looked.changed < since)
        };
        let mut next = self.watch.prompt.awaited.iter().filter_map(|(next, Awaited { since, is_next })| {
            // A service may get its first points by a backend that it gets.
            let since = *since.max(&self.services[next.owner].configured?);
            // A machine that sleeps hears of it when it wakes up.
            let by = since.max(resumed).after(self.timing.republish_from / 2);
            let is_late = *is_next && is_overtaken(since, by) && has_points(next.owner, since);
            is_late.then(|| (next.owner, format!("{:?}, known since {since}", next.slot)))
        });
        // Those of the next period all come at once, so that a renewal which is due later may wait for many
        // of them.
        let is_next = !self.watch.held.contains_key(&key);
        let mut renewals = self.watch.held.iter().filter(|_| is_next).filter_map(|(renewal, held)| {
            let (_, published) =
                self.balancer.given.get(renewal).filter(|(_, at)| *at > self.clock_stepped)?;
            let by = published.after(self.timing.republish_to);
            let is_late = is_overtaken(by, by) && held.is_everywhere() && has_points(renewal.owner, by);
            is_late.then(|| (renewal.owner, format!("{:?}, to be renewed since {by}", renewal.slot)))
        });
        if let Some((number, overtaken)) = firsts.next().or_else(|| next.next()).or_else(|| renewals.next()) {
            let of = self.services[number].id.0.clone();
            self.fail(Invariant::Prompt, &of, format!("{overtaken}, is posted before {key:?}"));
        }
    }

    /// The earliest time by which a descriptor should have been posted that is posted now; `None` if that is
    /// not known.
    fn post_by(&self, key: Key, revision: Revision) -> Option<Moment> {
        let timing = &self.timing;
        let Some(held) = self.watch.held.get(&key) else {
            let next = self.watch.prompt.awaited.get(&key).filter(|awaited| awaited.is_next)?;
            return Some(next.since.after(timing.republish_from / 2));
        };
        // A clock that is set forward makes renewals overdue, also that of a descriptor which is being signed.
        let handed_out = held.sent.values().max().filter(|handed_out| **handed_out > self.clock_stepped)?;
        let (_, published) = self.balancer.given.get(&key).filter(|(_, at)| *at > self.clock_stepped)?;
        let changed = self.services[key.owner].backends.iter().map(|backend| self.watch.changed[*backend]);
        let reason = changed.fold(held.excused, Moment::max);
        let is_renewal =
            matches!(revision, Revision::New { .. }) && held.is_everywhere() && reason < *published;
        if is_renewal {
            return Some(published.after(timing.republish_to));
        }
        // A retry may join the line before the last post is signed, or before another retry is handed out.
        Some(published.min(handed_out).after(timing.republish_from / 2))
    }

    /// The time from which a service should have been published that was not since it was configured, in this
    /// life of the balancer. `None` if it was, or if none of its backends is known to be live.
    fn first_due(&self, number: usize) -> Option<Moment> {
        let prompt = &self.watch.prompt;
        let configured = self.services[number].configured.filter(|_| !prompt.begun.contains(&number))?;
        let looked = self.services[number].serving().map(|backend| &prompt.backends[*backend]);
        let found = looked.filter(|looked| looked.points.is_some()).map(|looked| looked.changed).min()?;
        let Timing { settle, first_requests, .. } = self.timing;
        Some(found.max(configured).max(prompt.resumed).after(settle + first_requests))
    }

    /// Checks that in a new period backends are looked for at once.
    pub(super) fn check_new_period(&mut self) {
        let since = Moment(self.now.0.saturating_sub(Moment::ZERO.after(LOOK).0));
        if !self.is_free() || self.watch.prompt.has_waited_since(since) {
            return;
        }
        let is_late = |looked: &Looked<V>| looked.look_owed.is_some_and(|owed| owed <= since);
        let late = self.watch.prompt.backends.iter().position(is_late);
        if let Some(late) = late.filter(|backend| !self.users[*backend].is_empty()) {
            let of = self.backends[late].id.0.clone();
            self.fail(
                Invariant::Prompt,
                &of,
                format!("it is looked for in its new period, seen before {since}"),
            );
        }
    }
}
