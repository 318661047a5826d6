//! Invariants of the engine's actions.

use std::time::Duration;

use onionbalance::engine::{Action, Chosen, Gone, Notice, Now, Point, Post, Revision};
use onionbalance_proto::relay::Fingerprint;

use super::super::balancer::number_of;
use super::super::network::cache::Key;
use super::super::network::id::RelayId;
use super::super::onion_version::OnionVersion;
use super::super::time::Moment;
use super::super::world::World;
use super::watch::Watch;
use super::{Failure, Invariant};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// The time within which only a part of all renewals may come; they are spread over an hour.
const STEP: Duration = Duration::from_mins(5);

impl<V: OnionVersion> World<V> {
    /// Notes the first broken promise. It is cold, so that the compiler moves the texts of failures out of the
    /// way of what runs at every event: instructions that do not fit the processor's cache take a tenth of a
    /// simulation.
    #[cold]
    pub fn fail(&mut self, invariant: Invariant, of: &str, expected: String) {
        let replay = self.scenario.to_string();
        self.failure.get_or_insert(Failure { invariant, at: self.now, of: of.into(), expected, replay });
    }

    /// Checks that the engine does not ask to be woken at once, which would never end.
    pub fn check_deadline(&mut self, now: Now, deadline: Option<Duration>) {
        if let Some(deadline) = deadline.filter(|deadline| *deadline <= now.elapsed) {
            let expected = format!("the next deadline is {deadline:?}, which is not after {:?}", now.elapsed);
            self.fail(Invariant::Deadline, "engine", expected);
        }
    }

    /// Checks an action.
    pub fn check_action(&mut self, action: &Action<V>) {
        match action {
            Action::Fetch { backend, from } => {
                let number = number_of(&backend.0);
                for _ in from.iter().skip(usize::from(self.watch.first.asks(number))) {
                    self.check_fetch_budget();
                }
                self.check_look(number);
            }
            Action::ReadBack { service, slot, hsdir } => {
                self.check_read_back_budget();
                let relay = self.relays.find(*hsdir);
                let held =
                    self.watch.held.entry(Key { owner: number_of(&service.0), slot: *slot }).or_default();
                held.asked.insert(relay, self.now);
            }
            Action::Publish { service, slot, posts, revision, .. } => {
                let number = number_of(&service.0);
                let is_first = self.watch.first.publishes(number, *slot);
                for Post { points, .. } in posts {
                    if !is_first {
                        self.check_post_budget();
                    }
                    self.check_set(number, points);
                }
                self.check_last_set(number);
                let key = Key { owner: number, slot: *slot };
                if !is_first {
                    self.check_order(key, *revision);
                }
                self.check_to(key, posts, *revision);
                self.check_revision(key, *revision);
                self.note_sets(key, posts, *revision);
            }
            Action::Probe { .. } => {}
            Action::Notice(notice) => self.check_notice(notice),
        }
    }

    fn check_notice(&mut self, notice: &Notice) {
        self.check_drain_end(notice);
        if let Notice::Health(notice) = notice {
            self.check_health_notice(notice);
        }
        if let Notice::BackendGone { backend, why: Gone::TooOld } = notice {
            self.check_alive(number_of(&backend.0));
        }
        if let Notice::BackendFound { backend, .. }
        | Notice::BackendBack { backend, .. }
        | Notice::BackendChanged { backend, .. }
        | Notice::BackendGone { backend, .. } = notice
        {
            let (number, lives) = (number_of(&backend.0), !matches!(notice, Notice::BackendGone { .. }));
            if lives {
                let is_other = matches!(notice, Notice::BackendChanged { .. });
                self.watch.health.points_changed(number, is_other);
            }
            self.watch.changed[number] = self.now;
            self.backend_changed(number, lives);
        }
    }

    /// Notes the sets of a descriptor, and their HSDirs.
    fn note_sets(&mut self, key: Key, posts: &[Post<V>], revision: Revision) {
        self.watch.prompt.publishes(key);
        let Some(held) = self.watch.held.get_mut(&key) else { return };
        if matches!(revision, Revision::New { .. }) {
            held.ordered = self.now;
            held.sets.clear();
            held.listed =
                posts.iter().flat_map(|post| &post.points).map(|chosen| chosen.point.id()).collect();
            held.listed.sort_unstable();
            held.listed.dedup();
        }
        for Post { set, to, .. } in posts {
            held.sets.extend(to.iter().map(|hsdir| (self.relays.find(*hsdir), *set)));
        }
    }

    /// Checks the number of posts of a descriptor within an hour, because tor leaks memory at each. There are
    /// no more than it takes to try every failing HSDir as often as is useful, and to publish every change.
    pub fn check_leak(&mut self, key: Key, count: usize) {
        let (now, most) = (self.now, self.promises.limits.posts_of_a_descriptor);
        let hour = self.scenario.calendar.shrunk(HOUR);
        let Some(held) = self.watch.held.get_mut(&key) else { return };
        let posts = (0..count).map(|_| Watch::<V>::count(&mut held.posts, now, hour)).last().unwrap_or(0);
        self.report.most_posts = self.report.most_posts.max(posts);
        if posts > most {
            let of = self.services[key.owner].id.0.clone();
            self.fail(
                Invariant::Budget,
                &of,
                format!("{posts} posts of {:?} within an hour, {most} may be", key.slot),
            );
        }
    }

    /// Checks the number of requests that are outstanding at tor.
    pub fn check_in_flight(&mut self) {
        let (count, most) = (self.balancer.tor.outstanding(self.now), self.promises.limits.in_flight);
        if count > most {
            let load = self.balancer.engine().map(|engine| engine.load(self.balancer.now(self.now)));
            let counted = load.map_or(0, |load| load.in_flight);
            let expected =
                format!("{count} requests are outstanding, {most} may be, and the engine counts {counted}");
            self.fail(Invariant::InFlight, "tor", expected);
        }
    }

    fn check_fetch_budget(&mut self) {
        let count = Watch::<V>::count(&mut self.watch.fetches, self.now, MINUTE);
        self.check_budget("fetches", count, self.promises.limits.fetches_per_minute);
    }

    fn check_read_back_budget(&mut self) {
        let count = Watch::<V>::count(&mut self.watch.read_backs, self.now, MINUTE);
        self.check_budget("read-backs", count, self.promises.limits.read_backs_per_minute);
    }

    fn check_post_budget(&mut self) {
        let count = Watch::<V>::count(&mut self.watch.posts, self.now, MINUTE);
        self.check_budget("posts", count, self.promises.limits.posts_per_minute);
    }

    fn check_budget(&mut self, of_what: &str, count: usize, per_minute: usize) {
        // A burst may come after a rest, and all sets of a descriptor go together.
        let most = per_minute + per_minute.min(self.promises.limits.in_flight) + V::HSDIRS / V::DESCRIPTORS;
        if count > most {
            self.fail(Invariant::Budget, "tor", format!("{count} {of_what} within a minute, {most} may be"));
        }
    }

    fn check_set(&mut self, number: usize, points: &[Chosen<V>]) {
        if points.is_empty() || points.len() > V::MAX_POINTS {
            let of = self.services[number].id.0.clone();
            self.fail(Invariant::Sets, &of, format!("a set of {} points", points.len()));
        }
        let relays: Vec<Fingerprint> = points.iter().map(|chosen| chosen.point.relay()).collect();
        for (place, chosen) in points.iter().enumerate() {
            let alone = || points.iter().filter(|other| other.backend == chosen.backend).count() == 1;
            // If clients strike a failed point off, a backend's only point may be the second one at a relay.
            let first = !relays[..place].contains(&relays[place]);
            if !(first || V::FAILED_IS_STRUCK_OFF && alone()) {
                let of = self.services[number].id.0.clone();
                self.fail(Invariant::Sets, &of, format!("two points at {}", chosen.point.relay()));
            }
            let backend = number_of(&chosen.backend.0);
            let id = chosen.point.id();
            if !self.services[number].backends.contains(&backend) {
                let of = self.services[number].id.0.clone();
                let expected = format!("a point of {}, which is not its backend", chosen.backend);
                self.fail(Invariant::Configured, &of, expected);
            }
            if self.fates[id as usize].backend != backend || !self.watch.is_of_the_newest(backend, id) {
                let of = self.services[number].id.0.clone();
                let expected = format!("point {id} is not in the newest descriptor of {}", chosen.backend);
                self.fail(Invariant::Newest, &of, expected);
            }
        }
    }

    /// Checks that after the death of all backends the last set is published for the promised time and no
    /// longer.
    fn check_last_set(&mut self, number: usize) {
        let backends = self.services[number].backends.iter().map(|backend| &self.backends[*backend]);
        let dead = backends.map(|backend| if backend.is_alive() { self.now } else { backend.since }).max();
        // After a restart, or with another clock, the balancer takes a copy for younger than it is.
        let dead = dead.max(Some(self.undisturbed.max(self.services[number].undisturbed)));
        let promised = self.promises.buried + self.promises.last_set + self.promises.renewed;
        if dead.is_some_and(|dead| self.now.since(dead) > promised) {
            let of = self.services[number].id.0.clone();
            self.fail(Invariant::LastSet, &of, format!("all backends have been dead for {promised:?}"));
        }
    }

    /// Checks that a new revision exceeds all that were read back, and that a kept one is that of all other
    /// HSDirs.
    fn check_revision(&mut self, key: Key, revision: Revision) {
        let of = self.services[key.owner].id.0.clone();
        let held = self.watch.held.get(&key);
        let seen = held.map_or(0, |held| held.seen);
        let known = held.map_or(0, |held| held.highest.max(seen));
        let may_guess = !V::TELLS || held.is_none_or(|held| held.may_guess);
        match revision {
            Revision::New { floor } if floor.unwrap_or(0) > known && !may_guess => {
                let expected =
                    format!("most HSDirs refuse, or the revision has to exceed no more than {known}");
                self.fail(Invariant::Guess, &of, expected);
            }
            Revision::New { floor } if floor.unwrap_or(0) < seen => {
                let expected = format!("the revision has to exceed {seen}, which was read back");
                self.fail(Invariant::Revision, &of, expected);
            }
            Revision::Kept(kept) if self.balancer.given.get(&key).is_none_or(|given| given.0 != kept) => {
                let expected = format!("{kept} is not the revision that was given last");
                self.fail(Invariant::Height, &of, expected);
            }
            _ => {}
        }
    }

    /// Checks that an HSDir which has a set gets it again only when all get a new revision: for the renewal,
    /// or for a reason. An HSDir that has the set with an earlier revision, since the later upload failed,
    /// gets it again with the later one.
    fn check_to(&mut self, key: Key, posts: &[Post<V>], revision: Revision) {
        let number = key.owner;
        let of = self.services[number].id.0.clone();
        if posts.iter().any(|post| post.to.is_empty()) {
            self.fail(Invariant::Sets, &of, "published to nobody".into());
        }
        let same = |known: &[V], points: &[Chosen<V>]| {
            known.iter().map(Point::id).eq(points.iter().map(|chosen| chosen.point.id()))
        };
        let held = self.watch.held.entry(key).or_default();
        let first = *held.renewed.get_or_insert(self.now);
        // A set may have been chosen and given up before any HSDir got it. The set before it then counts no
        // more, even if its end is reported later. If HSDirs have sets of their own, getting such a set back
        // is not a renewal.
        let backends = self.services[number].backends.iter();
        let changed = backends.map(|backend| self.watch.changed[*backend]).max().unwrap_or(Moment::ZERO);
        let sent = posts.iter().flat_map(|post| post.to.iter().map(move |hsdir| (&post.points, hsdir)));
        let sent = sent.map(|(points, hsdir)| (points, self.relays.find(*hsdir)));
        // Each HSDir, and whether it gets the points that it is known to have.
        let sent: Vec<(RelayId, Option<bool>)> =
            sent.map(|(points, id)| (id, held.by.get(&id).map(|known| same(known, points)))).collect();
        let again: Vec<_> = sent
            .iter()
            .filter(|(_, same)| *same == Some(true))
            .filter_map(|(id, _)| Some((*id, *held.sent.get(id)?)))
            .filter(|(_, sent)| !self.services[number].distinct || *sent >= changed)
            .filter(|(id, _)| !self.relays.is_below(*id, key, revision, self.now))
            .collect();
        // If one HSDir gets other points, all get the new revision.
        let news = sent.iter().any(|(_, same)| *same == Some(false));
        // An upload in progress replaces the set on the HSDir, or fails without a report.
        for (id, _) in sent {
            held.by.remove(&id);
            held.sent.insert(id, self.now);
        }
        if again.is_empty() || news {
            return;
        }
        // A post at the moment of an excuse may have come just before it.
        let is_needless = |sent: Moment| sent >= first.max(changed) && sent > held.excused;
        if self.now.since(first) >= self.promises.unchanged {
            held.renewed = Some(self.now);
            self.check_spread();
        } else if let Some((id, _)) = again.iter().find(|(_, sent)| is_needless(*sent)) {
            let expected =
                format!("HSDir {id} has it, and was sent it again within {:?}", self.promises.unchanged);
            self.fail(Invariant::Needless, &of, expected);
        }
    }

    /// Checks that without trouble renewals are spread over the time in which they may come.
    fn check_spread(&mut self) {
        let step = self.scenario.calendar.shrunk(STEP);
        let count = Watch::<V>::count(&mut self.watch.renewals, self.now, step);
        let descriptors = self.services.iter().map(|service| service.spots.len()).sum::<usize>();
        // After a step forward, descriptors that may have expired are renewed at once.
        let has_stepped = self.clock_stepped > Moment::ZERO && self.now < self.clock_stepped.after(step * 2);
        if !self.scenario.trouble && !has_stepped && descriptors >= MANY && count * 3 > descriptors {
            let expected = format!("{count} of {descriptors} descriptors were renewed within {step:?}");
            self.fail(Invariant::Spread, "all services", expected);
        }
    }
}

/// The number of descriptors from which on chance does not put them in step.
const MANY: usize = 30;
