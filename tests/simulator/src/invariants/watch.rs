//! The invariants' memory of the engine's events and actions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{Action, Post};
use rustc_hash::{FxHashMap, FxHasher};

use super::super::network::cache::{Key, Text};
use super::super::network::id::RelayId;
use super::super::network::relay::Said;
use super::super::onion_version::{OnionVersion, PointId};
use super::super::service::{Service, Spot};
use super::super::time::Moment;
use super::first::First;
use super::probes::Probes;
use super::prompt::Prompt;

/// The memory of events and actions.
pub struct Watch<V> {
    hasher: FxHasher,
    /// The requests that come once in this life of the balancer, which the counts below leave out.
    pub first: First,
    /// The times in the last minute at which an HSDir was asked for a backend's descriptor.
    pub fetches: VecDeque<Moment>,
    /// The times in the last minute at which an HSDir was asked for a service's own descriptor.
    pub read_backs: VecDeque<Moment>,
    /// The times in the last minute at which a descriptor was posted.
    pub posts: VecDeque<Moment>,
    /// The newest descriptors that were handed to the engine: of each backend, by period.
    newest: Vec<BTreeMap<u64, Newest<V>>>,
    /// The descriptors that HSDirs are known to have, by descriptor of a service.
    pub held: FxHashMap<Key, Held<V>>,
    /// The time of the engine's last notice that a backend was found, had changed or was gone; one for each
    /// backend.
    pub changed: Vec<Moment>,
    /// The renewals of the last minutes.
    pub renewals: VecDeque<Moment>,
    /// The promises that are due within seconds.
    pub prompt: Prompt<V>,
    /// The results of probes.
    pub health: Probes,
}

/// The newest descriptor of a period, and others of the same revision.
struct Newest<V> {
    revision: u64,
    points: Vec<Rc<[V]>>,
    /// The time at which it was last delivered, young enough by the balancer's clock.
    seen: Moment,
    /// Other revisions and points that may count: those from before an earlier period was looked at again,
    /// those that a lower revision replaced, those that came before the engine looked in their period, and
    /// those that were too old to replace another one. None of them counts once something newer has come.
    before: Vec<(u64, Vec<Rc<[V]>>)>,
}

/// The time for which a descriptor binds after it was last seen: no HSDir of version 3 can hold it any
/// longer. A lower revision replaces it then: the clock of a backend whose clock was ahead may have been set
/// right. If the balancer's clock is a day behind, an old descriptor at an HSDir of version 2 looks like
/// that, as long as no HSDir has the newest.
const BINDS: Duration = Duration::from_mins(3 * 60 + 15);

/// The state before the first descriptor.
impl<V> Default for Newest<V> {
    fn default() -> Self {
        Self { revision: 0, points: Vec::new(), seen: Moment::ZERO, before: Vec::new() }
    }
}

/// The known state of one descriptor of a service.
pub struct Held<V> {
    /// The points that each HSDir is known to have.
    pub by: FxHashMap<RelayId, Rc<[V]>>,
    /// The time of the last upload to each HSDir.
    pub sent: FxHashMap<RelayId, Moment>,
    /// The time of the last read-back at each HSDir.
    pub asked: FxHashMap<RelayId, Moment>,
    /// The last time at which it was published to HSDirs that had it already.
    pub renewed: Option<Moment>,
    /// The end of the last time in which there was a reason to publish it to all HSDirs with a new revision.
    pub excused: Moment,
    /// The number of its HSDirs.
    hsdirs: usize,
    /// True if tor did not know one of them, whose set was not signed.
    pub unknown: bool,
    /// The highest revision that was read back.
    pub seen: u64,
    /// The highest revision with which it was posted.
    pub highest: u64,
    /// The points of all sets with which it was last signed, in order and each once.
    pub listed: Vec<PointId>,
    /// The time at which the signer was last asked for it.
    pub ordered: Moment,
    /// The number of the set that each HSDir has been sent since then.
    pub sets: FxHashMap<RelayId, usize>,
    /// The HSDirs that have refused it since all of them had it.
    refusing: BTreeSet<RelayId>,
    /// True if these were most of them at some time.
    pub may_guess: bool,
    /// The times of its posts in the last hour.
    pub posts: VecDeque<Moment>,
}

/// The state before the first publication.
impl<V> Default for Held<V> {
    fn default() -> Self {
        let (by, sent, asked, sets) = Default::default();
        let (listed, refusing) = Default::default();
        Self {
            by,
            sent,
            asked,
            ordered: Moment::ZERO,
            renewed: None,
            excused: Moment::ZERO,
            hsdirs: 0,
            unknown: false,
            seen: 0,
            highest: 0,
            listed,
            sets,
            refusing,
            may_guess: false,
            posts: VecDeque::new(),
        }
    }
}

impl<V> Held<V> {
    /// True if all its HSDirs are known to have it.
    pub fn is_everywhere(&self) -> bool {
        self.hsdirs > 0 && self.by.len() == self.hsdirs
    }

    /// True if an HSDir was asked for its descriptor after the last upload to it, and the engine may still
    /// wait for the answer.
    fn is_awaited(&self, relay: RelayId, now: Moment, patience: Duration) -> bool {
        let asked = self.asked.get(&relay).filter(|asked| now.since(**asked) < patience);
        asked.is_some() && asked > self.sent.get(&relay)
    }
}

impl<V: OnionVersion> Watch<V> {
    /// The state before the first event.
    pub fn new(backends: usize) -> Self {
        Self {
            hasher: FxHasher::default(),
            first: First::default(),
            fetches: VecDeque::new(),
            read_backs: VecDeque::new(),
            posts: VecDeque::new(),
            newest: (0..backends).map(|_| BTreeMap::new()).collect(),
            held: FxHashMap::default(),
            changed: vec![Moment::ZERO; backends],
            renewals: VecDeque::new(),
            prompt: Prompt::new(backends),
            health: Probes::default(),
        }
    }

    /// A digest of all actions.
    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    /// Forgets what HSDirs have, of which a new life of the balancer knows nothing.
    pub fn balancer_started(&mut self) {
        self.held.clear();
        self.first = First::default();
        self.fetches.clear();
        self.read_backs.clear();
        self.posts.clear();
        self.prompt = Prompt::new(self.changed.len());
        self.health = Probes::default();
    }

    /// Notes other responsible HSDirs: what the former ones have does not matter, and will have to be sent
    /// again if they become responsible again.
    pub fn network_shown(&mut self, now: Moment, services: &[Service]) {
        let mut changed = BTreeSet::new();
        self.held.retain(|key, held| {
            let mut spots = services[key.owner].spots.iter();
            let spot = spots.find(|spot| spot.slot == key.slot);
            let hsdirs = spot.map_or(0, |spot| spot.hsdirs.len());
            // Otherwise none of them has left: another one would have come in its place.
            let is_new = |spot: &Spot| spot.hsdirs.iter().any(|(_, since)| *since == now);
            if held.hsdirs != hsdirs || spot.is_none_or(is_new) {
                let stays =
                    |id: &RelayId| spot.is_some_and(|spot| spot.hsdirs.iter().any(|(hsdir, _)| hsdir == id));
                held.by.retain(|id, _| stays(id));
                held.sent.retain(|id, _| stays(id));
                held.sets.retain(|id, _| stays(id));
            }
            if std::mem::take(&mut held.unknown) {
                held.excused = now;
            }
            if std::mem::replace(&mut held.hsdirs, hsdirs) != hsdirs {
                changed.insert(key.owner);
            }
            spot.is_some()
        });
        for service in changed {
            self.excuse_all(service, now);
        }
        let held = &self.held;
        let unpublished = services.iter().enumerate().flat_map(|(owner, service)| {
            let keys = service.spots.iter().map(move |spot| Key { owner, slot: spot.slot });
            let is_next = keys.clone().any(|key| held.contains_key(&key));
            keys.filter(|key| !held.contains_key(key)).map(move |key| (key, is_next))
        });
        self.prompt.shown_descriptors(unpublished, now);
    }

    /// Notes a reason to publish a descriptor to all HSDirs with a new revision, which lasts until `until`.
    pub fn excuse(&mut self, key: Key, until: Moment) {
        if let Some(held) = self.held.get_mut(&key) {
            held.excused = held.excused.max(until);
        }
    }

    /// Notes that all descriptors may have to be renewed: time has passed, or seems to have.
    pub fn excuse_everything(&mut self, now: Moment) {
        for held in self.held.values_mut() {
            held.excused = now;
        }
    }

    /// Notes that other sets may be chosen for a service.
    fn excuse_all(&mut self, service: usize, now: Moment) {
        for (_, held) in self.held.iter_mut().filter(|(key, _)| key.owner == service) {
            held.excused = now;
        }
    }

    /// Notes that a service was changed or removed. Backends that serve no service any more are forgotten.
    pub fn reconfigured(&mut self, now: Moment, service: usize, configured: bool, users: &[BTreeSet<usize>]) {
        self.excuse_all(service, now);
        if !configured {
            self.held.retain(|key, _| key.owner != service);
            self.prompt.forget_service(service);
            self.first.forget_service(service);
        }
        for (number, (newest, users)) in self.newest.iter_mut().zip(users).enumerate() {
            if users.is_empty() {
                newest.clear();
                self.prompt.forget_backend(number);
                self.first.forget_backend(number);
            }
        }
    }

    /// Notes the engine's actions.
    pub fn heard(&mut self, now: Moment, actions: &[Action<V>]) {
        for action in actions {
            now.0.hash(&mut self.hasher);
            match action {
                Action::Fetch { backend, from } => (&backend.0, from).hash(&mut self.hasher),
                Action::Publish { id, service, slot, posts, revision } => {
                    (id, &service.0, slot, revision).hash(&mut self.hasher);
                    for Post { set, points, to } in posts {
                        (set, to).hash(&mut self.hasher);
                        for chosen in points {
                            chosen.point.id().hash(&mut self.hasher);
                        }
                    }
                }
                Action::ReadBack { service, slot, hsdir } => (&service.0, slot, hsdir).hash(&mut self.hasher),
                Action::Probe { id, backend, .. } => (id, &backend.0).hash(&mut self.hasher),
                Action::Notice(notice) => std::mem::discriminant(notice).hash(&mut self.hasher),
            }
        }
    }

    /// Notes that a backend's descriptor is handed to the engine. `is_young` is true if it is young enough by
    /// the balancer's clock to be a sign of life. `is_asked_for` is true if it is of the period in which the
    /// engine looks: tor may be ahead of that, and the engine need not take it then. Returns true if it
    /// may replace other points.
    pub fn delivered(
        &mut self,
        backend: usize,
        period: u64,
        text: &Text<V>,
        (is_young, is_asked_for): (bool, bool),
        now: Moment,
    ) -> bool {
        let newest = &mut self.newest[backend];
        let known = newest.entry(period).or_default();
        // A twin of one of these comes before or after it.
        known.before.retain(|(revision, _)| *revision >= text.revision);
        // A backend that lives by a copy of another period gets none that is too old in its place.
        let is_passed_over = !is_young && known.revision == 0 && self.prompt.is_live(backend);
        if !is_asked_for || is_passed_over {
            known.before.push((text.revision, vec![text.points.clone()]));
            return true;
        }
        if text.revision < known.revision && is_young && known.seen.after(BINDS) <= now {
            known.before.push((known.revision, std::mem::take(&mut known.points)));
            known.revision = text.revision;
        }
        if text.revision > known.revision {
            known.revision = text.revision;
            known.points.clear();
        }
        let is_newest = text.revision == known.revision;
        let is_other = is_newest && !known.points.iter().any(|points| Rc::ptr_eq(points, &text.points));
        if is_newest && is_young {
            known.seen = now;
        }
        if is_other {
            known.points.push(text.points.clone());
        }
        while newest.len() > 3 {
            newest.pop_first();
        }
        is_other
    }

    /// Notes that an earlier period may be looked at again: later descriptors determine if the newest of it
    /// is still remembered.
    pub fn period_changed_back(&mut self) {
        for newest in self.newest.iter_mut().flat_map(BTreeMap::values_mut) {
            let revision = std::mem::take(&mut newest.revision);
            newest.before.push((revision, newest.points.clone()));
        }
    }

    /// True if a point is in the newest descriptor of its backend that the engine has seen.
    pub fn is_of_the_newest(&self, backend: usize, point: PointId) -> bool {
        let has = |descriptors: &[Rc<[V]>]| {
            descriptors.iter().flat_map(|points| &**points).any(|known| known.id() == point)
        };
        let periods = self.newest[backend].values();
        periods.rev().any(|newest| has(&newest.points) || newest.before.iter().any(|(_, points)| has(points)))
    }

    /// Notes that an HSDir has stored a descriptor. If it is known to have another one, an earlier upload was
    /// slower than a later one.
    pub fn stored(&mut self, key: Key, relay: RelayId, text: &Text<V>) {
        let Some(held) = self.held.get_mut(&key) else { return };
        if held.by.get(&relay).is_some_and(|known| !Rc::ptr_eq(known, &text.points)) {
            held.by.remove(&relay);
        }
    }

    /// Notes an HSDir's answer to an upload, which the engine gets. If an acknowledgement is not enough, it
    /// has no effect yet.
    pub fn answered(
        &mut self,
        key: Key,
        relay: RelayId,
        text: &Text<V>,
        (said, posted): (Said, Moment),
        now: Moment,
    ) {
        match said {
            Said::Stored if V::TELLS => self.hold(key, relay, text, posted),
            Said::Refused => {
                self.excuse(key, now);
                self.refused(key, relay);
            }
            _ => {}
        }
    }

    /// Notes that an HSDir has refused a descriptor. If most have, the engine may guess the reason.
    fn refused(&mut self, key: Key, relay: RelayId) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.refusing.insert(relay);
        held.may_guess |= held.refusing.len() * 2 >= held.hsdirs.max(1);
    }

    /// Notes that the engine gets the descriptor that an HSDir has. In version 2 a stranger's may have the
    /// same revision.
    pub fn read_back(&mut self, key: Key, relay: RelayId, text: &Text<V>, now: Moment) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let is_listed = |point: &V| held.listed.binary_search(&point.id()).is_ok();
        if V::TELLS {
            held.seen = held.seen.max(text.revision);
        } else if !text.points.iter().all(is_listed) {
            held.by.remove(&relay);
        } else if held.is_awaited(relay, now, V::timing().fetch_timeout) {
            self.hold(key, relay, text, text.made);
        }
    }

    /// Notes that an HSDir holds the text that tor was given at `posted`, which takes some time to sign,
    /// unless it was sent another one since. That may come after the service was removed.
    fn hold(&mut self, key: Key, relay: RelayId, text: &Text<V>, posted: Moment) {
        let Some(held) = self.held.get_mut(&key) else { return };
        if held.sent.get(&relay).is_some_and(|sent| *sent < posted) {
            held.by.insert(relay, text.points.clone());
        }
        // The engine forgets its guess once all HSDirs have the last publication.
        if held.is_everywhere() {
            held.refusing.clear();
            held.may_guess = false;
        }
    }

    /// Adds `now` to a list of moments, and drops those that are older than `window`. Returns their number.
    pub fn count(row: &mut VecDeque<Moment>, now: Moment, window: Duration) -> usize {
        row.push_back(now);
        while row.front().is_some_and(|first| now.since(*first) >= window) {
            row.pop_front();
        }
        row.len()
    }
}
